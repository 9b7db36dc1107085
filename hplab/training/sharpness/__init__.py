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
    NormalizedLogits,
    Objective,
    cross_entropy,
    exact_matmul,
    restored,
)
from hplab.training.sharpness.slices import filter_normalized, slice_1d, slice_2d
from hplab.training.sharpness.worst import keskar, sam, worst_case

__all__ = [
    "Estimate",
    "NormalizedLogits",
    "Objective",
    "average_direction",
    "average_ladder",
    "cross_entropy",
    "directions",
    "exact_matmul",
    "filter_normalized",
    "gradient",
    "hessian_trace",
    "hessian_vector_product",
    "keskar",
    "restored",
    "sam",
    "slice_1d",
    "slice_2d",
    "top_eigenvalues",
    "worst_case",
]
