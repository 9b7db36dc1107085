"""The embedded digits: scikit-learn's 1,797 handwritten ones, 1,437 to train on, 360 to test on.

They are read from the file that scikit-learn brings along. Importing it takes a second, more than
many a run on the digits.
"""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

# Which digits are the test part: a bit an image, in hexadecimal. scikit-learn drew them (its
# StratifiedShuffleSplit with random_state 0); were it to draw others one day, these stay.
_TEST = (
    "000004883524104000064100934205001a00080100240028062c12001000940a009019120420f8a0028110a000"
    "080a8820441524494240a00a0000004004d80000818020004805c400104008a0100005404800301000020ec409"
    "000224840083a8013c20a6980a0000000b08400804a0184802024041c1008004404684376a8102160044800040"
    "42a0a4180a5000840b8561c608108008004c80c02004068e00010882008100380803c008190000100e01008410"
    "a0210033282904c044c080680e0102830082008822a6402c24042108a860809081a00c02820242120138a41500"
)


def read() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training images, uint8 `(N, 1, 8, 8)`, and labels, then those of the test part."""
    rows = _rows()
    images = np.rint(rows[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    is_test = np.unpackbits(np.frombuffer(bytes.fromhex(_TEST), np.uint8))[: len(rows)] == 1
    labels = rows[:, -1].astype(np.int64)
    return images[~is_test], labels[~is_test], images[is_test], labels[is_test]


def _rows() -> np.ndarray:
    """Return a row a digit: 64 pixels from 0 to 16, and the label."""
    path = _file()
    if path is not None and path.is_file():
        with gzip.open(path, "rt") as lines:
            return np.loadtxt(lines, delimiter=",")
    from sklearn.datasets import load_digits  # it may keep the file elsewhere one day

    digits = load_digits()
    return np.hstack([digits.data, digits.target[:, None]])


def _file() -> Path | None:
    """Return where scikit-learn has the digits, found without importing it."""
    found = find_spec("sklearn")
    origin = found.origin if found else None
    return Path(origin).parent / "datasets" / "data" / "digits.csv.gz" if origin else None
