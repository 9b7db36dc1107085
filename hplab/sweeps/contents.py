"""What artifacts hold: weights, data sets, tables and files, to bytes and back, bit for bit.

Weights and data sets are safetensors: names, types, shapes and the numbers as they are in memory.
Nothing in such a file is run when it is read, as a pickle is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hplab.errors import HplabError

WEIGHTS, DATA, TABLE, FILES = KINDS = ("weights", "data", "table", "files")
_ARRAYS = ("images", "labels", "test_images", "test_labels")


class Item(NamedTuple):
    """Something to be kept.

    Attributes:
        kind: One of `KINDS`.
        files: Its bytes, by the name of the file.
        about: What is needed to make the thing of them again.
        name: What it is called; "" for the name of the sweep.
        aliases: What else points to it.
    """

    kind: str
    files: dict[str, bytes]
    about: dict[str, Any]
    name: str = ""
    aliases: tuple[str, ...] = ()


def item(thing: Any) -> Item:
    """Return what is kept of a thing.

    Args:
        thing: A network of torch, a mapping from names to arrays or tensors, a data set of hplab,
            a data frame, or the path of a file or folder.

    Raises:
        HplabError: If it is anything else, or there is no such file.
    """
    if isinstance(thing, Item):
        return thing
    if callable(getattr(thing, "to_csv", None)):
        return Item(
            TABLE, {"table.csv": thing.to_csv(index=False, lineterminator="\n").encode()}, {}
        )
    if isinstance(thing, str | Path):
        return _files(Path(thing))
    if hasattr(thing, "test_images"):
        arrays = {name: getattr(thing, name) for name in _ARRAYS}
        groups = {} if thing.groups is None else {"groups": thing.groups}
        about = {"name": thing.name, "class_names": list(thing.class_names), "data": thing.digest}
        return Item(DATA, {"data.safetensors": _tensors({**arrays, **groups})}, about)
    state = thing.state_dict() if is_weights(thing) and hasattr(thing, "state_dict") else thing
    if not isinstance(state, Mapping) or not is_weights(state):
        raise HplabError(
            f"a {type(thing).__name__} cannot be kept: give a network, a mapping from names to "
            "arrays, a data frame, or the path of a file"
        )
    return Item(WEIGHTS, {"weights.safetensors": _tensors(state)}, {})


def is_weights(value: Any) -> bool:
    """Return whether a value is a network, or a mapping from names to arrays or tensors."""
    if isinstance(value, Mapping):
        arrays = [one for one in value.values() if hasattr(one, "shape") and hasattr(one, "dtype")]
        named = all(isinstance(name, str) for name in value)
        return named and len(arrays) == len(value) and any(len(one.shape) for one in arrays)
    return callable(getattr(value, "state_dict", None)) and not isinstance(value, type)


def thing(kept: Item) -> Any:
    """Return what `item` was given; of a network its weights, by name."""
    if kept.kind == TABLE:
        import pandas as pd  # worker processes do without

        return pd.read_csv(io.BytesIO(kept.files["table.csv"]))
    if kept.kind == WEIGHTS:
        return _read(kept.files["weights.safetensors"])
    if kept.kind == DATA:
        from hplab.training.datasets.dataset import of_arrays

        found = {k: v.numpy() for k, v in _read(kept.files["data.safetensors"]).items()}
        groups = found.pop("groups", None)
        names = tuple(kept.about["class_names"])
        return of_arrays(kept.about["name"], [found[n] for n in _ARRAYS], names, groups)
    return dict(kept.files)


def _files(path: Path) -> Item:
    if path.is_dir():
        paths = {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}
    else:
        paths = {path.name: path}
    try:
        return Item(FILES, {name: one.read_bytes() for name, one in paths.items()}, {})
    except OSError as error:
        raise HplabError(f"{path}: {error.strerror}") from error


def _tensors(state: Mapping[str, Any]) -> bytes:
    """Return arrays or tensors as safetensors; which of the two they are is said in the file."""
    if all(isinstance(value, np.ndarray | np.generic) for value in state.values()):
        from safetensors.numpy import save

        arrays = {name: np.array(value, order="C") for name, value in state.items()}
        for name, one in arrays.items():
            if one.dtype.kind not in "biufc":
                raise HplabError(f"{name} is an array of {one.dtype}: give one of numbers")
        return save(arrays, metadata={"format": "np"})
    import torch
    from safetensors.torch import save as save_torch

    tensors = {name: torch.as_tensor(value).detach().cpu() for name, value in state.items()}
    # A copy each: parameters that share memory are written twice, and read back the same.
    copies = {
        name: one.clone(memory_format=torch.contiguous_format) for name, one in tensors.items()
    }
    return save_torch(copies, metadata={"format": "pt"})


def _read(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    said = json.loads(data[8 : 8 + size]).get("__metadata__", {})
    if said.get("format") == "np":
        from safetensors.numpy import load

        return load(data)
    from safetensors.torch import load as load_torch

    return load_torch(data)
