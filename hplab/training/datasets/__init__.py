"""Data sets: loading them whole and true, splitting and normalizing them."""

from hplab.training.datasets.load import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Dataset,
    Split,
    available,
    can_fetch,
    is_official,
    load,
    normalize,
    normalizer,
    split,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Dataset",
    "Split",
    "available",
    "can_fetch",
    "is_official",
    "load",
    "normalize",
    "normalizer",
    "split",
]
