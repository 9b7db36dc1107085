"""Models, data sets and tables that are kept, in versions, with where each is from.

    runs = hp.sweep(train, lr=[1e-3, 1e-4], seed=range(5), keep="best")
    weights = hp.artifacts.load("train:best")

An artifact has a name, and versions "v0", "v1" and so on. "train" and "train:latest" are its newest
version, "train:best" the best run, and `alias` gives names of your own. A version is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hplab.errors import HplabError
from hplab.sweeps import contents
from hplab.sweeps import store as stores
from hplab.sweeps.keeping import shelf_of
from hplab.sweeps.records import make_folder, shown, write_whole
from hplab.sweeps.shelf import Version

if TYPE_CHECKING:  # who keeps tables needs no torch
    from torch import nn

__all__ = ["Version", "alias", "find", "get", "load", "network", "save", "table"]


def save(
    name: str,
    thing: Any,
    *,
    aliases: Sequence[str] = (),
    lineage: Mapping[str, Any] | None = None,
    store: stores.Store | None = None,
) -> Version:
    """Keep a thing as the newest version of an artifact.

    Args:
        name: What it is called.
        thing: A network of torch or a mapping from names to arrays (kept as safetensors), a data
            set of hplab, a data frame, or the path of a file or folder.
        aliases: Names that are to point to this version, beside "latest".
        lineage: Where it is from: anything plain, such as the name of another artifact.
        store: The records beside which it is kept; None takes the project's own.

    Returns:
        The version. The same thing again, from the same place, is the version that is there.

    Raises:
        HplabError: If it is a thing that cannot be kept, or has no room.
    """
    return shelf_of(store).add(name, contents.item(thing), lineage or {}, aliases)


def load(ref: str, *, store: stores.Store | None = None) -> Any:
    """Return what was kept, bit for bit.

    Args:
        ref: "NAME" for the latest version, "NAME:best", "NAME:v3" or an alias of yours.
        store: The records beside which it is kept; None takes the project's own.

    Returns:
        Of weights a mapping from names to tensors or arrays, for `load_state_dict`; a data set; a
        data frame; or the bytes of files by their names.

    Raises:
        HplabError: If there is no such version, or a file of it is damaged.
    """
    shelf = shelf_of(store)
    return contents.thing(shelf.item(shelf.find(ref)))


def network(ref: str, *, store: stores.Store | None = None) -> nn.Module:
    """Return the trained network of a trial, as it was after its last epoch, in eval mode.

    Args:
        ref: A version, as `load` takes it, of weights that `hp.run` kept.
        store: The records beside which it is kept; None takes the project's own.

    Returns:
        The network, on the CPU. It predicts what it did then, to the bit on the same machine.

    Raises:
        HplabError: If there is no such version, or its weights are not those of a trial.
    """
    from hplab.training.networks import models
    from hplab.trial import Trial

    version = find(ref, store=store)
    if "shape" not in version.about:
        raise HplabError(
            f"{version.ref} is not from a trial: build the network, and give what "
            "hp.artifacts.load returns to its load_state_dict"
        )
    trial = Trial.from_config(version.lineage["config"], version.lineage["seed"])
    made = models.build(trial, tuple(version.about["shape"]), version.about["n_classes"])
    made.load_state_dict(load(version.ref, store=store))
    return made.eval()


def find(ref: str, *, store: stores.Store | None = None) -> Version:
    """Return what is known of a version: its files, where it is from, when it was made.

    Args:
        ref: A version, as `load` takes it.
        store: The records beside which it is kept; None takes the project's own.

    Returns:
        The version.

    Raises:
        HplabError: If there is none, with the nearest match.
    """
    return shelf_of(store).find(ref)


def get(ref: str, place: str | Path, *, store: stores.Store | None = None) -> list[Path]:
    """Write the files of a version into a folder.

    Args:
        ref: A version, as `load` takes it.
        place: The folder; it is made if need be.
        store: The records beside which it is kept; None takes the project's own.

    Returns:
        The files.

    Raises:
        HplabError: If there is no such version, a file of it is damaged, or one of that name is in
            the folder.
    """
    shelf, folder = shelf_of(store), Path(place)
    files = shelf.item(shelf.find(ref)).files
    paths = {folder / name: data for name, data in files.items()}
    for path in paths:
        if path.exists():
            raise HplabError(f"{shown(path)} is there already: name another folder")
    for path, data in paths.items():
        make_folder(path.parent)
        write_whole(path, data)
    return list(paths)


def alias(ref: str, name: str, *, store: stores.Store | None = None) -> Version:
    """Give a version a name of your own, so that it is not deleted to make room.

    Args:
        ref: A version, as `load` takes it.
        name: The alias; it points to no other version of the artifact from now on.
        store: The records beside which it is kept; None takes the project's own.

    Returns:
        The version.
    """
    return shelf_of(store).alias(ref, name)


def table(name: str | None = None, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return a row a version: what it is called, holds and is from.

    Args:
        name: Only this artifact; None takes all.
        store: The records beside which they are kept; None takes the project's own.

    Returns:
        Its columns are "artifact" (what `load` takes), "aliases", "kind", "bytes", "made", and
        where it is from: "run" (the key of a record) and the digests of "data" and "code".
    """
    columns = ["artifact", "aliases", "kind", "bytes", "made", "run", "data", "code"]
    rows = [
        (
            version.ref,
            ", ".join(version.aliases),
            version.kind,
            version.size,
            version.made,
            *(version.lineage.get(what) for what in ("key", "data", "code")),
        )
        for version in shelf_of(store).versions(name)
    ]
    return pd.DataFrame(rows, columns=columns)
