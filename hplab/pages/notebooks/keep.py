"""Where a notebook's records are, and how to keep them: what its last cell says."""

from __future__ import annotations

import html
import os

from hplab.pages import labels
from hplab.pages.figures.figure import Html
from hplab.sweeps.store import Store, default_store

DRIVE = "hplab-records"  # the folder in a reader's Google Drive


def keep(store: Store | None = None) -> Html:
    """Say where the records of the runs are and how to keep them.

    On Colab, whose machines are taken away after some hours, it gives a line to run that downloads
    them, and a cell that holds them and a folder of one's Drive together; elsewhere they stay where
    they are.

    Args:
        store: Where records are; None takes the project's own.

    Returns:
        The words, which show themselves in a notebook.
    """
    store = store or default_store()
    count = labels.count(store.status()["pending"], "record")
    said = f"The records of the runs made here are in {store.pending} ({count} so far)"
    if "COLAB_RELEASE_TAG" not in os.environ:
        later = "this notebook and all others beside it take them up from there"
        pack = "hplab pack, in .venv/bin, moves them to book/results, to be committed"
        text = f"{said}; {later}. {pack}."
        return Html(f'<p class="hp-note">{html.escape(text)}</p>', text)
    pending = str(store.pending)
    parts = [
        f"{said}. They vanish with this Colab machine. To download them, run this in a new cell:",
        f"import shutil; from google.colab import files; files.download({_archive(pending)})",
        "Unpacked into the folder .hplab/pending of a checkout, they are taken up there. To have "
        "them in your Google Drive, run this cell at the end, and at the start of the next time. "
        "It copies both ways; files are named by their content, so none overwrites another.",
        _to_drive(pending),
    ]
    text = "\n".join(parts)
    tags = ('<p class="hp-note">{}</p>', "<pre>{}</pre>") * 2
    shown = "".join(tag.format(html.escape(part)) for tag, part in zip(tags, parts, strict=True))
    return Html(shown, text)


def _archive(pending: str) -> str:
    return f'shutil.make_archive("hplab-records", "zip", {pending!r})'


def _to_drive(pending: str) -> str:
    """Return the lines of a cell that holds a folder and one in the reader's Drive together."""
    return f"""\
import os, shutil
from google.colab import drive
drive.mount("/content/drive")
here, there = {pending!r}, "/content/drive/MyDrive/{DRIVE}"
for a, b in ((there, here), (here, there)):
    if os.path.isdir(a):
        shutil.copytree(a, b, dirs_exist_ok=True)"""
