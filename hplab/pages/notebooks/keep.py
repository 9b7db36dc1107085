"""Where a notebook's records are, and how to keep them: what its last cell says."""

from __future__ import annotations

import html
import os

from hplab.pages import labels
from hplab.pages.figures.figure import Html
from hplab.sweeps.store import Store, default_store


def keep(store: Store | None = None) -> Html:
    """Say where the records of the runs are and how to keep them.

    On Colab, whose machines are taken away after some hours, it gives a line to run that downloads
    them; elsewhere they stay where they are.

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
    why = "They vanish with this Colab machine. To keep them, run this in a new cell"
    archive = f'shutil.make_archive("hplab-records", "zip", "{store.pending}")'
    line = f"import shutil; from google.colab import files; files.download({archive})"
    back = "Unpacked into the folder .hplab/pending of a checkout, they are taken up there"
    text = f"{said}. {why}:\n{line}\n{back}."
    markup = f"{said}. {why}:", line, f"{back}."
    before, code, after = map(html.escape, markup)
    shown = f'<p class="hp-note">{before}</p><pre>{code}</pre><p class="hp-note">{after}</p>'
    return Html(shown, text)
