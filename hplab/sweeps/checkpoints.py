"""Checkpoints: a stack in training on the disk, so that a run that was cut off goes on from there.

    .hplab/checkpoints/<digest16>.ckpt      ignored by git: a line of JSON, then torch's own format

The line says which trials, which data, what they were trained with and how far they are; its last
field is a checksum of what follows. One is written every half minute and when the process is told
to end, so trials of seconds leave none. On the CPU a run that goes on from one gives the same
record, bit for bit, as one that was left alone.

What was written by other code, another version of torch, on another kind of processor, or is
damaged is not used: then the training begins anew. Trials with components of a reader's own have no
checkpoints, since hplab cannot know what such a component remembers between two updates.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hplab.sweeps import live, provenance, records
from hplab.training.lane import Lane
from hplab.trial import HplabError, Trial, canonical

EVERY_S = 30.0
SHARE = 0.02  # of the time, at most, for writing
WORTH_S = 2.0  # a process that is told to end drops what it trained in less
HOLD = "hold"  # a file of this name, touched anew all the time, asks what trains to wait
HOLD_S = 5.0  # after the last touch it does not count
_NAP_S = 0.2
FORMAT = 1
SEEN = ("val_acc", "val_loss", "train_loss")  # curves that are posted


@dataclasses.dataclass(frozen=True)
class Head:
    """What a checkpoint says of itself.

    Attributes:
        trials: The lanes of the stack, in their order.
        data: Digest of their data.
        made_with: See `Folder.made_with`.
        epoch: Epochs that are trained whole; `epochs` in all.
    """

    trials: list[Trial]
    data: str
    made_with: dict[str, Any]
    epoch: int
    epochs: int


@dataclasses.dataclass(frozen=True)
class Folder:
    """The checkpoints of a store.

    Attributes:
        path: Where they lie.
        made_with: What has to be equal for a run to go on with the same bits: code, version of
            torch, device and kind of processor.
        every_s: Seconds between two of them.
        posts: Where stacks are posted while they train, for `hplab watch`.
        varied: The settings by which a stack is told from others there.
    """

    path: Path
    made_with: dict[str, Any]
    every_s: float
    posts: Path | None = None
    varied: tuple[str, ...] = ()

    @classmethod
    def of(cls, pending: Path, device: str) -> Folder:
        """Return the checkpoints beside a folder of pending records."""
        import torch

        made_with = {
            "code": provenance.code_digest(),
            "torch": str(torch.__version__),
            "device": device,
            "processor": torch.backends.cpu.get_cpu_capability(),
        }
        return cls(cls.beside(pending), made_with, EVERY_S)

    @staticmethod
    def beside(pending: Path) -> Path:
        """Return where the checkpoints of a folder of pending records lie."""
        return pending.parent / "checkpoints"

    def keeper(self, trials: Sequence[Trial], data: str) -> Checkpoint | None:
        """Return the checkpoint of a stack, None for one that has none."""
        if any(trial.code for trial in trials):
            return None
        return Checkpoint(self, list(trials), data)

    def begun(self, todo: Sequence[Trial], digests: Mapping[str, str]) -> list[list[Trial]]:
        """Return the stacks that can go on, those that are nearest to their end first.

        Args:
            todo: Different trials that have no record yet.
            digests: Digest of the data of each, by the name of the data.
        """
        wanted = {trial.identity(): trial for trial in todo}
        found: list[tuple[float, list[Trial]]] = []
        for _, head in heads(self.path):
            keys = [trial.identity() for trial in head.trials]
            fits = head.made_with == self.made_with and all(key in wanted for key in keys)
            if fits and all(digests[trial.data] == head.data for trial in head.trials):
                found.append((head.epoch / head.epochs, [wanted.pop(key) for key in keys]))
        return [stack for _, stack in sorted(found, key=lambda one: -one[0])]

    def tidy(self, is_recorded: Callable[[Trial, str], bool]) -> None:
        """Delete checkpoints whose trials all have records by now."""
        for path, head in heads(self.path):
            if all(is_recorded(trial, head.data) for trial in head.trials):
                path.unlink(missing_ok=True)


def heads(folder: Path) -> Iterator[tuple[Path, Head]]:
    """Yield the checkpoints whose first line can be read, and what it says."""
    for path in sorted(folder.glob("*.ckpt")):
        try:
            with path.open("rb") as file:
                head = _head(file.readline())
        except (OSError, ValueError, KeyError, TypeError, HplabError):
            continue
        yield path, head


def varied(todo: Sequence[Trial]) -> tuple[str, ...]:
    """Return the settings in which trials differ, and the seed; of one trial the usual ones."""
    rows = {trial.setting: trial.flat() for trial in todo}.values()
    names = dict.fromkeys(name for row in rows for name in row)
    found = [n for n in names if n != "seed" and len({repr(row.get(n)) for row in rows}) > 1]
    return (*(found or ("model", "optimizer", "lr")), "seed")


class Checkpoint:
    """The checkpoint of one stack, as `training.loop` uses it.

    Args:
        folder: Where it lies.
        trials: The lanes of the stack.
        data: Digest of their data.
    """

    def __init__(self, folder: Folder, trials: list[Trial], data: str) -> None:
        self.folder, self.trials, self.data = folder, trials, data
        name = canonical({"trials": [trial.identity() for trial in trials], "data": data})
        self.path = folder.path / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.ckpt"
        self.wait_s, self.saved = folder.every_s, time.monotonic()
        self.told: int | None = None  # the signal that wants this process to end
        self.refused = False
        self._before: dict[int, Any] = {}
        self._means: list[dict[str, float]] = []

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last, None if there is none that can be used."""
        import torch

        try:
            line, _, content = self.path.read_bytes().partition(b"\n")
        except OSError:
            return None
        why = "it is damaged"
        with contextlib.suppress(Exception):  # whatever is wrong with it, training anew is right
            if _head(line).made_with != self.folder.made_with:
                why = "other code, torch or hardware made it"
            elif json.loads(line)["sum"] == hashlib.sha256(content).hexdigest():
                return torch.load(io.BytesIO(content), weights_only=True)
        print(f"{records.shown(self.path)} is not used, since {why}; training begins anew")
        return None

    def is_due(self, ahead_s: float = 0.0) -> bool:
        """Return whether half a minute has passed or will before long, or the process has to end.

        Where somebody asks what trains here to wait, it waits first (see `background.py`).
        """
        while self.told is None and self._is_held():
            time.sleep(_NAP_S)
        return self.told is not None or time.monotonic() + ahead_s - self.saved >= self.wait_s

    def _is_held(self) -> bool:
        try:  # a clock that was set back leaves a file of the future, which counts no longer either
            return abs(time.time() - (self.folder.path / HOLD).stat().st_mtime) < HOLD_S
        except OSError:
            return False

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state in place of the last one; then end the process if it is told to."""
        began = time.monotonic()
        if self.told is None or began - self.saved >= WORTH_S:
            try:
                records.write_whole(self.path, self._content(state))
            except records.StoreError as error:
                if not self.refused:
                    print(f"{error}; training goes on without checkpoints")
                self.refused = True
        self.saved = time.monotonic()
        self.wait_s = max(self.folder.every_s, (self.saved - began) / SHARE)
        if self.told is not None:
            self._let_go()

    def drop(self) -> None:
        """Delete it: the training failed, and would again."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Let a signal that ends the process wait until the next state is saved.

        Only Python's main thread can do so. A second signal does not wait.
        """
        with self._posted():
            yield from self._training()

    def _training(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._hear)
        try:
            yield
        finally:
            self._restore()
        if self.told is not None:
            self._let_go()

    @contextlib.contextmanager
    def _posted(self) -> Iterator[None]:
        if self.folder.posts is None:
            yield
            return
        rows = [trial.flat() | {"seed": trial.seed} for trial in self.trials]
        alike = {n: rows[0].get(n) for n in self.folder.varied}
        alike = {n: x for n, x in alike.items() if all(row.get(n) == x for row in rows)}
        several = {"trials": len(rows)} if len(rows) > 1 else {}
        with live.poster(self.folder.posts).run({**alike, **several}) as slot:
            slot.epochs = self._means
            yield

    def see(self, lanes: Sequence[Lane]) -> None:
        """Post the mean over the lanes of what each has had in every epoch."""
        curves = [lane.curves for lane in lanes]
        for i in range(len(self._means), max(len(one["lr"]) for one in curves)):
            values = {name: [one[name][i] for one in curves if len(one[name]) > i] for name in SEEN}
            known = {name: [x for x in xs if x is not None] for name, xs in values.items()}
            self._means.append({n: sum(xs) / len(xs) for n, xs in known.items() if xs})

    def _hear(self, number: int, _: Any) -> None:
        if self.told is not None:
            self._let_go()
        self.told = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _let_go(self) -> None:
        """Do now what the signal would have done at once."""
        number, self.told = self.told, None
        self._restore()
        if number is not None:
            signal.raise_signal(number)

    def _content(self, state: Mapping[str, Any]) -> bytes:
        import torch

        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content = buffer.getvalue()
        head = {
            "v": FORMAT,
            "trials": [[trial.config(), trial.seed] for trial in self.trials],
            "data": self.data,
            "made_with": self.folder.made_with,
            "epoch": len(state["lanes"][0]["curves"]["lr"]),
            "epochs": self.trials[0].epochs,
            "sum": hashlib.sha256(content).hexdigest(),
        }
        return canonical(head).encode() + b"\n" + content


def _head(line: bytes) -> Head:
    said = json.loads(line)
    if said["v"] != FORMAT:
        raise ValueError(f"format {said['v']}, not {FORMAT}")
    trials = [Trial.from_config(config, seed) for config, seed in said["trials"]]
    return Head(trials, said["data"], said["made_with"], said["epoch"], said["epochs"])
