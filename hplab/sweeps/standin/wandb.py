"""A small stand-in for `wandb`: a script's own calls work, and its metrics reach `hplab sweep`.

`hplab sweep` puts the folder of this file on the path of a script that imports `wandb` where that
is not installed. Nothing is sent anywhere. What is logged is written to standard output, one line
of JSON behind a mark that no script prints. Pictures, tables and other media are accepted and not
kept. Nothing of hplab is imported, so it works in any Python.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

__version__ = "0"  # of the stand-in; no release of wandb
MARK = "\x1e"  # the record separator of ASCII
POINT = "_HPLAB_POINT"  # the variable that holds the settings of this run, as JSON

run: Run | None = None
_lock = threading.Lock()


def _send(kind: str, values: Mapping[str, Any]) -> None:
    """Write one line for `hplab sweep`."""
    text = json.dumps({kind: values}, default=str)
    with _lock:
        sys.stdout.flush()
        os.write(1, f"\n{MARK}{text}\n".encode())


def _flat(values: Mapping[str, Any], front: str = "") -> dict[str, float]:
    """Return the numbers among values, those of inner mappings by their full name."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{front}{name}.")
            continue
        if callable(getattr(value, "item", None)) and getattr(value, "size", 1) in (1, ()):
            value = value.item()  # of NumPy
        elif callable(getattr(value, "numel", None)) and value.numel() == 1:
            value = value.item()  # of torch
        if isinstance(value, bool | int | float):
            found[f"{front}{name}"] = value
    return found


class Config(MutableMapping[str, Any]):
    """Settings of a run; those of the sweep win over what the script says."""

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}
        self._sweep: dict[str, Any] = json.loads(os.environ.get(POINT) or "{}")

    def __getitem__(self, name: str) -> Any:
        return self._sweep[name] if name in self._sweep else self._said[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._said[name] = value

    def __delitem__(self, name: str) -> None:
        del self._said[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._said, **self._sweep})

    def __len__(self) -> int:
        return len({**self._said, **self._sweep})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "nothing"
            raise AttributeError(f"wandb.config has no {name!r}; it has {known}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self[name] = value

    def update(self, *given: Any, allow_val_change: bool = False, **more: Any) -> None:
        """Add settings, from a mapping or an object with attributes such as argparse's."""
        for one in (*given, more):
            for name, value in dict(one if isinstance(one, Mapping) else vars(one)).items():
                self[name] = value

    def setdefaults(self, given: Mapping[str, Any]) -> None:
        """Add settings that are not there yet."""
        for name, value in given.items():
            self.setdefault(name, value)

    def as_dict(self) -> dict[str, Any]:
        """Return all settings."""
        return dict(self)


class Summary(dict[str, Any]):
    """Results of a run: what is set here counts beside what was logged last."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        _send("summary", _flat({name: value}))

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def update(self, *given: Any, **more: Any) -> None:
        """Set several."""
        for name, value in dict(*given, **more).items():
            self[name] = value


class Artifact:
    """Files under a name; they stay where they are, and `hplab sweep --keep` keeps copies."""

    def __init__(
        self,
        name: str,
        type: str = "",
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        self.name, self.type, self.description = name, type, description
        self.metadata = dict(metadata or {})
        self.files: dict[str, str] = {}
        self.version, self.aliases = "v0", ["latest"]

    def add_file(self, local_path: Any, name: str | None = None, **_: Any) -> None:
        """Add a file.

        Raises:
            ValueError: If there is none.
        """
        if not Path(local_path).is_file():
            raise ValueError(f"Path is not a file: {local_path}")
        self.files[name or Path(local_path).name] = str(local_path)

    def add_dir(self, local_path: Any, name: str | None = None, **_: Any) -> None:
        """Add all files of a folder.

        Raises:
            ValueError: If there is none.
        """
        if not Path(local_path).is_dir():
            raise ValueError(f"Path is not a directory: {local_path}")
        front = f"{name}/" if name else ""
        for path in sorted(Path(local_path).rglob("*")):
            if path.is_file():
                self.files[front + path.relative_to(local_path).as_posix()] = str(path)

    def add_reference(self, uri: str, *_: Any, **__: Any) -> None:
        """Accept an address, which is not followed."""

    def add(self, obj: Any, name: str, **_: Any) -> None:
        """Accept a table or a picture, which is not kept."""

    def wait(self, *_: Any, **__: Any) -> Artifact:
        """Return at once: there is nothing to wait for."""
        return self


class Run:
    """One run: what `wandb.init` returns."""

    def __init__(self, config: Any = None, **said: Any) -> None:
        self.config, self.summary = Config(), Summary()
        if config is not None:
            self.config.update(config)
        self.name = self.id = said.get("name") or said.get("id") or f"run-{os.getpid()}"
        self.project, self.group = said.get("project") or "", said.get("group") or ""
        self.entity, self.url, self.sweep_id = "", "", "local"
        self.tags = tuple(said.get("tags") or ())
        self.notes = said.get("notes") or ""
        self.dir, self.step, self.disabled = os.getcwd(), 0, False
        self._row: dict[str, float] = {}
        self._rules: dict[str, set[str]] = {}  # how a metric is summed up, by its name
        self._seen: dict[str, list[float]] = {}
        atexit.register(self._flush)  # a script need not call finish

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.finish()

    def log(
        self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None, **_: Any
    ) -> None:
        """Log numbers; calls with one step, or with commit=False, make one row."""
        if step is not None and step > self.step:
            self._flush()
            self.step = step
        self._row |= _flat(data)
        dict.update(self.summary, _flat(data))
        if commit or (commit is None and step is None):
            self._flush()
            self.step += 1

    def _flush(self) -> None:
        if self._row:
            _send("log", self._row)
        found: dict[str, float] = {}
        for name in self._rules.keys() & self._row.keys():
            values = self._seen.setdefault(name, [])
            values.append(self._row[name])
            found |= {f"{name}.{how}": _SUMS[how](values) for how in self._rules[name] & set(_SUMS)}
        self._row = {}
        if found:
            dict.update(self.summary, found)
            _send("summary", found)

    def finish(self, *_: Any, **__: Any) -> None:
        """End the run; what waits is logged."""
        global run
        self._flush()
        if run is self:
            run = None

    def log_artifact(
        self,
        artifact: Any,
        name: str | None = None,
        type: str | None = None,
        aliases: Any = None,
        *_: Any,
        **__: Any,
    ) -> Any:
        """Say which files the artifact has, for `hplab sweep --keep`, and return it.

        Of a path, one that holds it.
        """
        if not isinstance(artifact, Artifact):
            made = Artifact(name or Path(artifact).name, type or "")
            (made.add_dir if Path(artifact).is_dir() else made.add_file)(artifact)
            artifact = made
        files = {str(name): os.path.abspath(path) for name, path in artifact.files.items()}
        known = [aliases] if isinstance(aliases, str) else list(aliases or ())
        said = {"name": artifact.name, "files": files, "aliases": known}
        _send("artifact", {**said, "about": {"type": artifact.type, **artifact.metadata}})
        return artifact

    def use_artifact(self, name: Any, *_: Any, **__: Any) -> NoReturn:
        """Say that there are none."""
        raise RuntimeError(f"no artifact {name!r} here: this run has no W&B behind it")

    def log_model(
        self, path: Any, name: str | None = None, aliases: Any = None, *_: Any, **__: Any
    ) -> None:
        """Log the file or folder of a model as an artifact."""
        self.log_artifact(path, name or Path(path).name, "model", aliases)

    def define_metric(self, name: str, *_: Any, summary: str | None = None, **__: Any) -> None:
        """Sum a metric up by "min", "max" or "mean" too, as NAME.min and so on; the rows are the
        steps.
        """
        if summary:
            self._rules.setdefault(str(name), set()).update(summary.replace(" ", "").split(","))

    def watch(self, *_: Any, **__: Any) -> None:
        """Accept it; gradients are not kept."""

    def unwatch(self, *_: Any, **__: Any) -> None:
        """Accept it."""

    def save(self, *_: Any, **__: Any) -> bool:
        """Accept it; files stay where they are."""
        return True

    def alert(self, *_: Any, **__: Any) -> None:
        """Accept it."""

    def log_code(self, *_: Any, **__: Any) -> None:
        """Accept it."""

    def mark_preempting(self) -> None:
        """Accept it."""


_SUMS: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "mean": lambda values: sum(values) / len(values),
}


class Settings:
    """Accepted and not used."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


class Media:
    """A picture, table or other medium, which is accepted and not kept."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def add_data(self, *_: Any) -> None:
        """Accept a row of a table."""

    def add_column(self, *_: Any, **__: Any) -> None:
        """Accept a column of a table."""


Image = Table = Histogram = Video = Audio = Html = Plotly = Object3D = Molecule = Graph = Media


class _Plots:
    """`wandb.plot`: every function of it gives a medium."""

    def __getattr__(self, name: str) -> Any:
        return Media


plot = _Plots()


def init(*_: Any, config: Any = None, **said: Any) -> Run:
    """Begin a run, or return the one that is going on."""
    global run
    if run is None:
        run = Run(config, **said)
    elif config is not None:
        run.config.update(config)
    return run


def finish(*_: Any, **__: Any) -> None:
    """End the run, if there is one."""
    if run is not None:
        run.finish()


def login(*_: Any, **__: Any) -> bool:
    """Nobody need log in."""
    return True


def setup(*_: Any, **__: Any) -> None:
    """Accept it."""


def sweep(*_: Any, **__: Any) -> str:
    """Accept it: `hplab sweep FILE` makes the sweep, and its file says the points."""
    return "local"


def agent(
    sweep_id: str = "", function: Callable[[], Any] | None = None, *_: Any, **__: Any
) -> None:
    """Call the function once: this process is one run of the sweep.

    Raises:
        RuntimeError: If there is no function.
    """
    if function is None:
        raise RuntimeError(
            "the sweep is made by `hplab sweep FILE`; the script trains one run of it"
        )
    function()


_OF_THE_RUN = (
    *(
        "log",
        "config",
        "summary",
        "log_artifact",
        "log_model",
        "use_artifact",
        "define_metric",
        "watch",
    ),
    *("unwatch", "save", "alert", "log_code", "mark_preempting"),
)


def __getattr__(name: str) -> Any:
    if name in _OF_THE_RUN:
        if run is None:
            if name == "config":
                return Config()
            raise RuntimeError(f"You must call wandb.init() before wandb.{name}()")
        return getattr(run, name)
    raise AttributeError(
        f"this stand-in for wandb, which is not installed, has no {name!r}; "
        "pip install wandb for all of it"
    )
