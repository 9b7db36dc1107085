"""hplab: what does this hyperparameter really do?

The names below are the whole surface of a study page. Each is imported when first used, so
`import hplab` is quick and starts nothing.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

__version__ = "0.1.0"

_SURFACE = {
    "Trial": "hplab.trial:Trial",
    "HplabError": "hplab.trial:HplabError",
    "grid": "hplab.trial:grid",
    "register": "hplab.own:register",
    "train": "hplab.training.loop:train",
    "run": "hplab.sweeps.runner:run",
    "sweep": "hplab.sweeps.functions:sweep",
    "artifacts": "hplab.sweeps.artifacts",
    "export": "hplab.sweeps.trackers.export:export",
    "recorded": "hplab.sweeps.runner:recorded",
    "curves": "hplab.sweeps.series:curves",
    "steps": "hplab.sweeps.series:steps",
    "probes": "hplab.sweeps.series:probes",
    "ladder": "hplab.sweeps.series:ladder",
    "layers": "hplab.sweeps.series:layers",
    "sharpness": "hplab.training.sharpness",
    "lr_find": "hplab.analysis.lr_find:lr_find",
    "claims": "hplab.analysis.claims.judging",
    "judge": "hplab.analysis.judge.judge:judge",
    "published": "hplab.analysis.claims.published:of_report",
    "stats": "hplab.analysis.stats",
    "metrics": "hplab.analysis.curve_metrics",
    "batch_sizes": "hplab.analysis.batch_sizes",
    "luck": "hplab.pages.tables.luck",
    "setups": "hplab.analysis.claims.setups",
    "plots": "hplab.pages.plots",
    "explore": "hplab.pages.figures.explorer:explore",
    "watch": "hplab.pages.figures.watching:watch",
    "claims_table": "hplab.pages.cards:claims_table",
    "show": "hplab.pages.cards:show",
    "preset_changes": "hplab.pages.cards:preset_changes",
    "headlines": "hplab.pages.notebooks.headlines",
    "labels": "hplab.pages.labels",
    "glue": "hplab.pages.cards:glue",
    "prose": "hplab.pages.notebooks.prose:prose",
    "keep": "hplab.pages.notebooks.keep:keep",
    "provenance": "hplab.pages.cards:provenance",
    "cost": "hplab.pages.cards:cost",
}
__all__ = [*_SURFACE, "__version__"]


def __getattr__(name: str) -> _Any:
    if name not in _SURFACE:
        raise AttributeError(f"module 'hplab' has no attribute {name!r}; it has {sorted(_SURFACE)}")
    module, _, attribute = _SURFACE[name].partition(":")
    found = _import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted(__all__)
