"""A study that was "executed" by hand, so that tests can build the real book without a kernel."""

import json
from pathlib import Path

import pandas as pd

from hplab.pages import plots
from hplab.pages.site import build as site
from hplab.sweeps.store import Store

FIGURE = (
    '<figure class="hp-figure"><svg viewBox="0 0 460.8 259.2" width="614" height="346" role="img" '
    'aria-label="Accuracy falls." style="max-width: 100%"><title>Accuracy</title>'
    '<path d="M10 10H450" style="stroke: var(--hp-c1, #0072b2)"/></svg>'
    "<figcaption>Accuracy against learning rate.</figcaption></figure>"
)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"  # the name of a class, say
TEXT = """# Learning rate

A {term}`learning rate` after {cite:t}`kingma2015`, and a formula: $x_{t+1} = x_t - \\eta g_t$.

## The runs

The mean is {glue:text}`mean_acc` %, most often confused is {glue:text}`class_name`.
"""


def code_cell(source: str, *outputs: dict, tags: tuple[str, ...] = ()) -> dict:
    """A code cell that has run."""
    return {
        "cell_type": "code",
        "id": f"c{abs(hash(source)) % 10**8}",
        "execution_count": 1,
        "metadata": {"tags": list(tags)},
        "source": source,
        "outputs": list(outputs),
    }


def shown(mime: str, value: str, **metadata: object) -> dict:
    """An output that displays something."""
    data = {mime: value, "text/plain": "text"}
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def hostile_figure() -> str:
    """A figure of runs whose settings carry markup, as the package draws it."""
    settings = [{"optimizer": name, "seed": s} for name in (HOSTILE, "sgd") for s in range(3)]
    runs = pd.DataFrame(settings).assign(val_acc=[0.9, 0.91, 0.92, 0.8, 0.81, 0.82], status="ok")
    return plots.axis(runs, x="optimizer", y="val_acc").html


def write(executed: Path, *, text: str = TEXT, name: str = "01-learning-rate") -> Path:
    """Write the executed notebook below `executed`, as the runner does."""
    wide = "".join(f"<th>column_{i}</th>" for i in range(30))
    table = f'<table class="dataframe"><thead><tr>{wide}</tr></thead></table>'
    glued = [
        {
            "output_type": "display_data",
            "data": {"application/papermill.record/text/plain": repr(value)},
            "metadata": {
                "scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}
            },
        }
        for name, value in (("mean_acc", "98.7"), ("class_name", HOSTILE))
    ]
    picture = shown("text/html", FIGURE)
    cells = [
        {"cell_type": "markdown", "id": "text", "metadata": {}, "source": text},
        code_cell('preset = "laptop"', tags=("parameters",)),
        code_cell("glue(...)", *glued),
        code_cell("figure", picture, tags=("hide-input",)),
        code_cell("table", shown("text/html", table)),
        code_cell("import hplab as hp"),
        code_cell(
            'hp.plots.axis(hp.run(hp.grid(hp.Trial(data="digits"), seed=range(5))))', picture
        ),
        code_cell("print()", {"output_type": "stream", "name": "stdout", "text": "x" * 300 + "\n"}),
        code_cell(f"class_names = [{HOSTILE!r}]", shown("text/plain", HOSTILE)),
        code_cell(
            "print(*class_names)",
            {"output_type": "stream", "name": "stdout", "text": f"{HOSTILE}\n"},
            {"output_type": "stream", "name": "stderr", "text": f"{HOSTILE}\n"},
        ),
        code_cell("hostile", shown("text/html", hostile_figure())),
    ]
    stamp = {
        "preset": "laptop",
        "device": "auto",
        "started": "2026-11-22T12:00:00+00:00",
        "seconds": 31.2,
    }
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "version": "3.11.7"},
            "hplab": stamp,
        },
        "cells": cells,
    }
    path = executed / "studies" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


_built: list[Path] = []


def built(factory) -> Path:
    """Build the book once a test process; the folder that holds `html`.

    Args:
        factory: pytest's `tmp_path_factory`.
    """
    if not _built:
        folder = factory.mktemp("book")
        write(folder / "executed")
        empty = Store(folder / "results", folder / "pending")
        site.build(folder / "executed", folder / "html", store=empty)
        _built.append(folder)
    return _built[0]
