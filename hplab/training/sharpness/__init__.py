"""How fast the loss rises around a trained network, by several definitions.

Everything here works on any `nn.Module` and any loss that gives one value an example, leaves the
weights bit for bit as they were, and says how uncertain a sampled number is. `Objective` fixes what
is measured (network, examples, loss, batch-normalisation mode); the functions measure it. Each is
imported, and torch with it, when it is first used.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

# How many of the training images a trial's measures of curvature, of a path and of a box look at.
PATH_EXAMPLES = 2000

_PLACES = {
    "average_direction": "average",
    "average_ladder": "average",
    "directions": "average",
    "gradient": "hessian",
    "hessian_trace": "hessian",
    "hessian_vector_product": "hessian",
    "top_eigenvalues": "hessian",
    "Estimate": "objective",
    "Objective": "objective",
    "exact_matmul": "objective",
    "restored": "objective",
    "keskar": "worst",
    "sam": "worst",
    "worst_case": "worst",
}
__all__ = ["PATH_EXAMPLES", *_PLACES]


def __getattr__(name: str) -> _Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")
    return getattr(_import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
