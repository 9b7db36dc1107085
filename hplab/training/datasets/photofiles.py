"""Which files of a folder are photos: every entry is a photo, litter, or refused by name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hplab.trial import HplabError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    ".avif",
)
# What systems and programs leave beside photos, in whatever case; hidden files are litter too.
LITTER = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini", "__macosx"),
        *("@eadir", "$recycle.bin", "system volume information", "lost+found"),
    )
)
NOTES = (".txt", ".md", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".pdf")
_N_NAMED = 5  # unusable files that one message names


@dataclasses.dataclass
class Found:
    """What lies in a folder of photos.

    Attributes:
        photos: The photos of each class, in the order of their names, and so are the classes.
        litter: What is passed over: hidden files, what systems leave, and notes beside the classes.
        refused: Everything else, a sentence each.
    """

    photos: dict[str, list[Path]] = dataclasses.field(default_factory=dict)
    litter: list[Path] = dataclasses.field(default_factory=list)
    refused: list[str] = dataclasses.field(default_factory=list)


def walk(folder: Path) -> Found:
    """Return what lies in a folder with one folder a class, each entry in one of three lists."""
    found = Found()
    folders: list[Path] = []
    for path in _entries(folder, found):
        if path.is_dir():
            folders.append(path)
        elif path.suffix.lower() in NOTES and path.is_file():
            found.litter.append(path)
        else:
            found.refused.append(f"{path} {_what(path, 'lies beside the class folders, in none')}")
    for inner in folders:
        photos = found.photos[inner.name] = []
        for path in _entries(inner, found):
            if path.is_dir():
                found.refused.append(f"{path} is a folder inside a class{_hint(inner, path)}")
            elif path.is_file() and path.suffix.lower() in SUFFIXES:
                photos.append(path)
            else:
                known = f"is not an image by its name; known endings: {', '.join(SUFFIXES)}"
                found.refused.append(f"{path} {_what(path, known)}")
    return found


def checked(folder: Path) -> Found:
    """Return what lies in a folder of photos that can be used as it is.

    Raises:
        HplabError: If anything is refused, there are fewer than two classes, or one has no photo.
    """
    found = walk(folder)
    if len(found.photos) < 2:
        only = f"only {next(iter(found.photos))!r}" if found.photos else "none"
        refused = f"; {named(found.refused)}" if found.refused else ""
        raise HplabError(
            f"{folder} should hold one folder a class, at least two; it has {only}{refused}"
        )
    n_photos = sum(map(len, found.photos.values()))
    if found.refused:
        counts = f"{n_photos} photos, {len(found.litter)} passed over"
        raise HplabError(f"{named(found.refused)}: mend or remove them ({counts})")
    for name, photos in found.photos.items():
        if not photos:
            raise HplabError(f"class folder {folder / name} holds no photo")
    return found


def named(problems: Sequence[str]) -> str:
    """Return up to five sentences in one, and how many there are more."""
    more = len(problems) - _N_NAMED
    return f"{'; '.join(problems[:_N_NAMED])}{f'; and {more} more' if more > 0 else ''}"


def _entries(folder: Path, found: Found) -> Iterator[Path]:
    """Yield what is in a folder by name, the same on every system, but for litter."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith(".") or path.name.lower() in LITTER:
            found.litter.append(path)
        elif not _is_a_line(path.name):
            name = os.fsencode(path.name)
            found.refused.append(
                f"a name in {folder} is not one line of UTF-8, {name!r}; rename it"
            )
        else:
            yield path


def _is_a_line(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8 stand in the name as lone surrogates
        return False
    return name.splitlines() == [name]


def _what(path: Path, otherwise: str) -> str:
    if path.is_symlink() and not path.exists():
        return "is a link to nothing"
    return otherwise if path.is_file() else "is neither a file nor a folder"


def _hint(outer: Path, inner: Path) -> str:
    """Return what to do about train/label/photo.jpg, "" where that is not what it looks like."""
    holds = any(path.suffix.lower() in SUFFIXES for path in inner.iterdir())
    return f" (if {outer.name} is no class, move what it holds up)" if holds else ""
