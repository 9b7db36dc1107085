"""A script of the reader's own as what a sweep runs: a process a point.

It gets its settings as arguments, and gives its metrics by printing them, as lines of JSON or as
name=value, or by logging them to `wandb`. Where that is not installed, a small stand-in answers.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hplab.errors import HplabError, unknown
from hplab.sweeps import calls, standin, workers
from hplab.sweeps.contents import FILES, Item
from hplab.sweeps.points import SEED, Point
from hplab.sweeps.programs import located, nested, parse
from hplab.sweeps.standin import wandb as protocol
from hplab.sweeps.sweepfile import COMMAND, SweepFile

_PYTHON = re.compile(r"python[\d.]*(\.exe)?")
_SPLIT = re.compile(r"[\s,;|]+")
_PAIR = re.compile(
    r"([A-Za-z_][\w./@-]*)=([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|[-+]?inf)%?"
)
_TAIL = 2000  # characters of what a script said before it failed

Row = dict[str, float]


class Script:
    """A command that trains at one point; calling it gives its rows of metrics as they come.

    Args:
        file: The sweep file.
        stand_in: Whether the stand-in answers for `wandb`; None where the script imports that and
            it is not installed.
        threads: Threads that linear algebra may use in each process.

    Attributes:
        name: What the sweep is called in the store.
        version: The digest of command and sources, of the script and of the files beside it that it
            imports.
        keeps: Whether artifacts that the script logs are read; whoever sets it does so first.
        notes: What the reader should know, a sentence each.
        seeds_itself: A script that is given no seed has one of its own, or none: such a run is not
            that of seed 0.

    Raises:
        HplabError: If there is no such program.
    """

    seeds_itself = True

    def __init__(self, file: SweepFile, stand_in: bool | None, threads: int) -> None:
        path = located(file) if file.program else None
        if file.program and path is None and "${program}" in " ".join(file.command or COMMAND):
            raise file.error("program", _no_program(file))
        self.command = file.command or COMMAND
        self.program = str(path or file.program)
        self.name = path.name if path else Path(file.command[0]).name
        files = [path] if path else [Path(p) for p in self.command if Path(p).is_file()]
        self._files = [file.absolute() for file in files]
        sources = _sources(self._files)
        self.version = _digest(self.command, sources)
        text = [source.decode("utf-8", "replace") for source in sources.values()]
        imports = any(map(_imports_wandb, text))
        there = imports and self._has_wandb()
        self.logs = bool(imports and not there) if stand_in is None else stand_in
        self.keeps = False
        self.notes: list[str] = []
        if there and not self.logs:
            self.notes.append(
                "wandb is installed, so what the script logs goes there; its metrics are read from "
                "what it prints (--stand-in reads what it logs instead)"
            )
        self.threads = threads
        self._open()

    def _open(self) -> None:
        self._env = {**dict.fromkeys(workers.THREADS, str(self.threads)), **os.environ}
        self._env["PYTHONUNBUFFERED"] = "1"  # a row is seen when it is printed
        self._env["PYTHONIOENCODING"] = "utf-8"
        if self.logs:
            folder = str(Path(standin.__file__).parent)
            given = os.environ.get("PYTHONPATH")
            self._env["PYTHONPATH"] = os.pathsep.join([folder, *([given] if given else [])])
        self._running: set[Any] = set()
        self._lock = threading.Lock()
        self._is_over = False

    def __getstate__(self) -> dict[str, Any]:
        """Reach another machine: environment and processes are that machine's own."""
        kept = ("command", "program", "name", "version", "logs", "notes", "threads", "_files")
        return {name: vars(self)[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._check_here()
        self._open()

    def _check_here(self) -> None:
        """Refuse to run another version of the script than that of the machine that asks.

        Raises:
            HplabError: If it is not here, or differs; the line names both digests.
        """
        try:
            here = _digest(self.command, _sources(self._files))
        except OSError as error:
            raise HplabError(f"{error.filename} is not on this machine: {error.strerror}") from None
        if here != self.version:
            raise HplabError(
                f"{self.program} differs: {here} on this machine, {self.version} on the one that "
                "asks; copy the folder anew, or share it"
            )

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None:
        """End what is running."""
        with self._lock:
            self._is_over = True
            for process in self._running:
                process.kill()

    def __call__(self, **point: Any) -> Generator[Row, None, dict[str, Any]]:
        """Yield each row of metrics; return the last value of each, and artifacts it logged.

        Raises:
            HplabError: If the script fails, or gives no metric.
        """
        with tempfile.TemporaryDirectory(prefix="hplab-run-") as folder:
            said = Path(folder) / "stderr"
            with said.open("wb") as errors:
                process = self._start(point, Path(folder), errors)
            try:
                final = yield from self._rows(process, point)
                code = process.wait()
            finally:
                self._end(process)
            if code:
                raise self._failed(code, said, point)
            if not final:
                how = "logged no number to wandb and " if self.logs else ""
                raise HplabError(
                    f"{self.name} {how}printed no metric: print a line of JSON, or name=value"
                )
            return final

    def arguments(self, point: Mapping[str, Any], folder: Path) -> list[str]:
        """Return the command at a point, every macro put in.

        Args:
            point: The point, flat.
            folder: Where the file of `${args_json_file}` goes.
        """
        whole = nested(point)
        plain = [f"{name}={_text(value)}" for name, value in whole.items()]
        flags = [
            f"--{name}" if value is True else f"--{name}={_text(value)}"
            for name, value in whole.items()
            if value is not False
        ]
        several = {
            "${args}": [f"--{one}" for one in plain],
            "${args_no_hyphens}": plain,
            "${args_no_boolean_flags}": flags,
            "${env}": ["/usr/bin/env"] if os.name == "posix" else [],
        }
        single = {
            "${interpreter}": sys.executable,
            "${program}": self.program,
            "${args_json}": json.dumps(whole),
        }
        parts: list[str] = []
        for part in self.command:
            if part in several:
                parts += several[part]
                continue
            for macro, words in several.items():
                part = part.replace(macro, " ".join(words))
            for macro, text in single.items():
                part = part.replace(macro, text)
            if "${args_json_file}" in part:
                path = folder / "args.json"
                path.write_text(json.dumps(whole), encoding="utf-8")
                part = part.replace("${args_json_file}", str(path))
            parts.append(re.sub(r"\$\{envvar:([^}]*)\}", _variable, part))
        return parts

    def _start(self, point: Point, folder: Path, errors: Any) -> Any:
        parts = self.arguments(point, folder)
        env = {**self._env, protocol.POINT: json.dumps(nested(point))}
        with self._lock:
            if self._is_over:
                raise HplabError("the sweep is over")
            try:
                process = subprocess.Popen(
                    parts,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=env,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                )
            except OSError as error:
                raise HplabError(f"cannot start {parts[0]!r}: {error.strerror}") from error
            self._running.add(process)
        return process

    def _end(self, process: Any) -> None:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        with self._lock:
            self._running.discard(process)

    def _rows(self, process: Any, point: Point) -> Generator[Row, None, dict[str, Any]]:
        """Yield what is logged, or else what is printed; return the last value of each name."""
        final: Row = {}
        items: dict[str, Item] = {}
        summary: Row = {}
        printed: list[Row] = []
        for line in process.stdout:
            kind, row = parsed(line)
            if kind == "artifact":
                if not self.keeps:
                    continue
                items[f"artifact {len(items)}"] = _item(row)
                continue
            row = {name: x for name, x in row.items() if _is_metric(name, point)}
            if kind == "summary":
                summary |= row
            elif row and kind == "print" and self.logs:
                printed.append(row)  # counts only if nothing is logged
            elif row:
                final |= row
                yield row
        if not final and not summary:
            for row in printed:
                final |= row
                yield row
        if not final and summary:
            yield summary
        return {**final, **summary, **items} if final or summary else {}

    def _failed(self, code: int, said: Path, point: Point) -> HplabError:
        text = said.read_text(encoding="utf-8", errors="replace").strip()
        last = text.splitlines()[-1].strip() if text else "it said nothing"
        if "No module named 'wandb'" in last and not self.logs:
            last += " (a stand-in answers for it: --stand-in)"
        if SEED in point and re.search(
            r"(unrecognized arguments|no such option).*--seed\b", last, re.I
        ):
            last += " (let it take --seed, a whole number, and draw everything random from that)"
        error = HplabError(f"{self.name} {workers.ended(code)}: {last[:300]}")
        error.add_note(text[-_TAIL:])
        return error

    def _has_wandb(self) -> bool:
        """Return whether the script would find an installed `wandb`."""
        python = next((p for p in self.command if _PYTHON.fullmatch(Path(p).name)), None)
        if python is None:
            return importlib.util.find_spec("wandb") is not None
        ask = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('wandb'))"
        try:
            return subprocess.run([python, "-c", ask], capture_output=True).returncode == 0
        except OSError:
            return False


def _imports_wandb(source: str) -> bool:
    """Return whether a source imports `wandb`, alone or beside others, anywhere in it."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return re.search(r"(?m)^\s*(?:import|from)\s.*\bwandb\b", source) is not None
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    return any(name.partition(".")[0] == "wandb" for name in names)


def _item(said: Mapping[str, Any]) -> Item:
    """Return an artifact that a script has logged, with its files as they are now.

    Raises:
        HplabError: If a file cannot be read.
    """
    try:
        files = {name: Path(path).read_bytes() for name, path in said["files"].items()}
    except OSError as error:
        raise HplabError(f"artifact {said['name']}: {error.filename}: {error.strerror}") from error
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", said["name"]).strip("-.") or "artifact"
    aliases = tuple(one for one in said["aliases"] if one not in ("latest", "best"))
    return Item(FILES, files, said["about"], name, aliases)


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """Return what a printed line holds: "log", "summary", "artifact" (of the stand-in) or "print",
    and numbers.

    A line is one JSON object, or has words of the form name=value among others.
    """
    mark, _, text = line.rpartition(protocol.MARK)
    if protocol.MARK in line:
        del mark
        ((kind, values),) = json.loads(text).items()
        return kind, values
    text = text.strip()
    if text.startswith("{"):
        with contextlib.suppress(ValueError):
            return "print", _numbers(json.loads(text))
    pairs = (_PAIR.fullmatch(word) for word in _SPLIT.split(text))
    return "print", {match[1]: _number(match[2]) for match in pairs if match}


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _numbers(values: Any, front: str = "") -> Row:
    found: Row = {}
    for name, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, dict):
            found |= _numbers(value, f"{front}{name}.")
        elif isinstance(value, int | float):
            found[f"{front}{name}"] = value
    return found


def _is_metric(name: str, point: Point) -> bool:
    """Return whether a number is a result: no setting, and no count of epochs, which are rows."""
    return name not in point and name != "epoch" and not calls.NOT_IN_NAMES & set(name)


def _text(value: Any) -> str:
    """Return a value as an argument: lists and mappings as JSON, all else as Python prints it."""
    return json.dumps(value) if isinstance(value, tuple | list | dict) else str(value)


def _variable(match: re.Match[str]) -> str:
    if match[1] not in os.environ:
        raise HplabError(f"the command needs the environment variable {match[1]}, which is not set")
    return os.environ[match[1]]


def _no_program(file: SweepFile) -> str:
    beside = {path.name for path in (*Path.cwd().glob("*.py"), *file.path.parent.glob("*.py"))}
    if not beside:
        return f"no file {file.program!r} here"
    return str(unknown("program", file.program, beside)).replace("known:", "Python files here:", 1)


def _digest(command: Sequence[str], sources: Mapping[Path, bytes]) -> str:
    digest = hashlib.sha256("\0".join(command).encode())
    for source in sources.values():
        digest.update(hashlib.sha256(source).digest())
    return digest.hexdigest()[:16]


def _sources(files: list[Path]) -> dict[Path, bytes]:
    """Return scripts with the files beside them that they import, and those that these import."""
    found: dict[Path, bytes] = {}
    waiting = [path.absolute() for path in files]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = path.read_bytes()
        tree = parse(path)
        for node in ast.walk(tree) if tree else ():
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                names = [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)]
            for name in filter(None, names):
                beside = path.parent.joinpath(*name.split("."))
                for one in (beside.with_suffix(".py"), beside / "__init__.py"):
                    if one.is_file():
                        waiting.append(one)
    return dict(sorted(found.items()))
