"""Data sets: loading them whole and true, splitting and normalizing them.

torchvision, which hplab needs anyway, reads MNIST and CIFAR too. Fetching and reading them is done
here all the same, because its way lacks what records under a digest rest on:

- It knows a CIFAR by its pickled files, and opening a pickle runs what is in it. The binary files
  that are read here hold the same bytes and nothing to run; torchvision has no reader of them.
- It checks by MD5, unpacks to disk, and of MNIST believes whatever lies there unpacked. Here
  SHA-256 is checked before and after decompression, the sizes that an archive claims before memory
  is taken for them, and nothing is unpacked: an archive that lies is one line.
- It starts a broken transfer anew, of CIFAR from the only address it has. Here it goes on where it
  stopped, at the next mirror if need be, and no unfinished file has the name of a finished one.
- It knows nothing of `NAME.npz`, nor of writing the published files again from arrays, by which an
  npz is found to be official (`archives.equal_published`).

What would be left to torchvision is the reader of idx files, which is 15 lines in `readers.py`.
"""

from hplab.training.datasets.dataset import Dataset
from hplab.training.datasets.loading import available, can_fetch, is_official, load, notes
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
    "notes",
    "split",
]
