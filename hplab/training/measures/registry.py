"""The table of measures; each is imported when a trial asks for it."""

from __future__ import annotations

import importlib

_CLASSES = {
    "steps": "steps:Steps",
    "diagnostics": "diagnostics:Diagnostics",
    "probes": "diagnostics:Probes",
    "confusion": "diagnostics:Confusion",
    "gradient_noise": "noise:GradientNoise",
    "sharpness": "sharpness:Sharpness",
    "sharpness_path": "sharpness:SharpnessPath",
    "curvature": "sharpness:Curvature",
    "keskar": "sharpness:Keskar",
    "norms": "layers:Norms",
    "layers": "layers:Layers",
}


def measure(name: str) -> object:
    """Return a new measure (see `protocol`) by its name, one of `hplab.trial.MEASURES`."""
    module, _, kind = _CLASSES[name].partition(":")
    return getattr(importlib.import_module(f"hplab.training.measures.{module}"), kind)()
