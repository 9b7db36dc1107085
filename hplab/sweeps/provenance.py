"""What a result was made with: versions, code, device and the switches that move floats.

No user or host name is among it, because records are published. The time is given as a date only:
the store names a description by its content, so one environment on one day is one file.
"""

from __future__ import annotations

import ast
import datetime
import functools
import hashlib
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hplab import __version__

PACKAGE = Path(__file__).resolve().parent.parent
# What numbers of a reader's own function depend on, as far as it is widely used.
LIBRARIES = (
    *("numpy", "scipy", "sklearn", "torch", "torchvision", "jax", "jaxlib", "tensorflow", "keras"),
    *("xgboost", "lightgbm", "catboost", "statsmodels", "pandas", "polars"),
)
# Imports go downwards only: nothing else moves a result.
RESULT_CODE = ("trial.py", "catalogue.py", "own.py", "training")


def collect_provenance(device: str = "cpu") -> dict[str, Any]:
    """Describe the environment of results trained on `device` from here on, as plain JSON.

    Args:
        device: A torch device: "cpu", "cuda", "cuda:1", "mps".
    """
    import torch

    from hplab.training import precision

    with precision.tuned(device):
        benchmark = torch.backends.cudnn.benchmark
    return {
        "hplab": __version__,
        "git": git_state(),
        "code": code_digest(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": _version("torchvision"),
        "numpy": np.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "device": _device(device),
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
        "switches": {
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
            "cudnn_benchmark": benchmark,
        },
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def of_trials(device: str) -> dict[str, Any]:
    """Describe what trials are trained with in this process: on the CPU with one thread each."""
    return collect_provenance(device) | ({"threads": 1} if device == "cpu" else {})


def of_process() -> dict[str, Any]:
    """Describe what a reader's own function ran with in this process: Python, machine, libraries.

    Imports nothing: of the libraries only those count that are loaded.
    """
    return _of_process(tuple(name for name in LIBRARIES if name in sys.modules))


@functools.lru_cache(8)
def _of_process(libraries: tuple[str, ...]) -> dict[str, Any]:
    versions = {name: str(getattr(sys.modules[name], "__version__", "")) for name in libraries}
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "device": {"type": "cpu", "name": _cpu_name()},
        "platform": f"{platform.system()} {platform.machine()}",
    }
    found |= {name: versions.pop(name) for name in ("numpy", "torch") if name in versions}
    return {**found, "libraries": versions}


def of_sweep(process: dict[str, Any]) -> dict[str, Any]:
    """Complete the description of a process that called a reader's own function."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"hplab": __version__, "git": git_state(), **process, "date": today}


def _version(package: str) -> str | None:
    """Return the version of a package without importing it; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def code_digest(package: Path = PACKAGE, parts: tuple[str, ...] = RESULT_CODE) -> str:
    """Return 16 hex digits that change when code that computes results changes.

    Comments, docstrings and layout do not count. Digests compare within one Python version only,
    because the syntax tree differs between versions.

    Args:
        package: Folder of the hplab package.
        parts: Files and folders in it that count.
    """
    paths = [package / part for part in parts]
    sources = [f for path in paths for f in ([path] if path.is_file() else path.rglob("*.py"))]
    digest = hashlib.sha256()
    for path in sorted(sources):
        tree = _without_docstrings(ast.parse(path.read_bytes()))
        digest.update(f"{path.relative_to(package).as_posix()}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:16]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body.pop(0)
    return tree


def git_state(package: Path = PACKAGE) -> dict[str, Any] | None:
    """Return commit and whether the package's files differ from it; None outside its checkout."""
    top = _git(package, "rev-parse", "--show-toplevel")
    if top is None or Path(top) != package.resolve().parent:
        return None
    commit = _git(package, "rev-parse", "HEAD")
    changes = _git(package, "status", "--porcelain", "--", str(package))
    return {"commit": commit, "dirty": bool(changes)} if commit else None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _device(device: str) -> dict[str, Any]:
    import torch

    kind = torch.device(device).type
    if kind != "cuda":
        return {"type": kind, "name": _cpu_name()}
    major, minor = torch.cuda.get_device_capability(device)
    name = torch.cuda.get_device_name(device)
    return {"type": kind, "name": name, "capability": f"{major}.{minor}"}


def _cpu_name() -> str:
    """The processor's model, as the system words it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
