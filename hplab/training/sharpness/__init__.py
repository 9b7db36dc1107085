"""How fast the loss rises around a trained network, by several definitions.

Everything here works on any `nn.Module` and any loss that gives one value an example, leaves the
weights bit for bit as they were, and says how uncertain a sampled number is. `Objective` fixes what
is measured (network, examples, loss, batch-normalisation mode); the functions measure it.
"""

from hplab.training.sharpness.average import average_direction, average_ladder, directions
from hplab.training.sharpness.hessian import (
    gradient,
    hessian_trace,
    hessian_vector_product,
    top_eigenvalues,
)
from hplab.training.sharpness.objective import (
    Estimate,
    Objective,
    exact_matmul,
    restored,
)
from hplab.training.sharpness.worst import keskar, sam, worst_case

# How many of the training images a trial's measures of curvature, of a path and of a box look at.
PATH_EXAMPLES = 2000

__all__ = [
    "PATH_EXAMPLES",
    "Estimate",
    "Objective",
    "average_direction",
    "average_ladder",
    "directions",
    "exact_matmul",
    "gradient",
    "hessian_trace",
    "hessian_vector_product",
    "keskar",
    "restored",
    "sam",
    "top_eigenvalues",
    "worst_case",
]
