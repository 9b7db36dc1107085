"""Data sets: loading them whole and true, splitting and normalizing them."""

from hplab.training.datasets.dataset import Dataset
from hplab.training.datasets.loading import available, can_fetch, is_official, load
from hplab.training.datasets.normalizing import IMAGENET_MEAN, IMAGENET_STD, normalize, normalizer
from hplab.training.datasets.splits import Split, split

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
