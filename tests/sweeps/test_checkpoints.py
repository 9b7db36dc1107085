"""Checkpoints on the disk: what is used, what is not, and what a signal leaves."""

import contextlib
import io
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest
import torch

from hplab.sweeps import background, checkpoints, driver, records
from hplab.sweeps.store import Store
from hplab.training import datasets, loop
from hplab.trial import Trial

TRIAL = Trial(data="digits", n_train=96, batch_size=32, epochs=4, optimizer="adam")
MADE_WITH = {"code": "c", "torch": "t"}


class Ended(BaseException):
    """What ends a training here."""


@pytest.fixture
def folder(tmp_path):
    return checkpoints.Folder(tmp_path / "checkpoints", MADE_WITH, 0.0)


@pytest.fixture
def digits():
    return datasets.load("digits")


def cut(folder, digits, trials=(TRIAL,), after=7):
    """Train until some updates are made, with a checkpoint after each; return it."""
    keeper = folder.keeper(trials, digits.digest)
    save, n = keeper.save, iter(range(1, after + 1))

    def counted(state):
        keeper.wait_s = 0.0
        save(state)
        keeper.wait_s = 0.0
        if next(n) == after:
            raise Ended

    keeper.save = counted
    with pytest.raises(Ended):
        loop.train_lanes(list(trials), digits, keeper=keeper)
    return keeper


def curves(outcomes):
    return [outcome.curves for outcome in outcomes]


def test_a_later_process_goes_on_where_an_earlier_one_was(folder, digits):
    cut(folder, digits)
    [(path, head)] = checkpoints.heads(folder.path)
    keeper = folder.keeper([TRIAL], digits.digest)

    assert keeper.path == path
    assert (head.trials, head.data, head.epoch, head.epochs) == ([TRIAL], digits.digest, 1, 4)
    assert keeper.load()["updates"]["step"] == 6  # three, the end of an epoch, three
    assert curves(loop.train_lanes([TRIAL], digits, keeper=keeper)) == curves(
        loop.train_lanes([TRIAL], digits)
    )


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def with_line(path, changed):
    line, _, content = path.read_bytes().partition(b"\n")
    return changed(line) + b"\n" + content


def with_content(path, content):
    from hashlib import sha256

    line = path.read_bytes().partition(b"\n")[0]
    before = line.partition(b'"sum":"')[2][:64]
    return line.replace(before, sha256(content).hexdigest().encode()) + b"\n" + content


def another_state(path):
    """A state that torch reads well, under the line that belongs to this one."""
    line, _, content = path.read_bytes().partition(b"\n")
    state = torch.load(io.BytesIO(content), weights_only=True)
    state["updates"]["step"] -= 1
    torch.save(state, buffer := io.BytesIO())
    return line + b"\n" + buffer.getvalue()


@pytest.mark.parametrize(
    "fault",
    [
        lambda path: b"",
        lambda path: path.read_bytes()[:500],
        lambda path: path.read_bytes()[:-1],
        lambda path: path.read_bytes()[:-300] + b"\0" + path.read_bytes()[-299:],
        lambda path: with_line(path, lambda line: line.replace(b'"code":"c"', b'"code":"d"')),
        lambda path: with_line(path, lambda line: line.replace(b'"v":1', b'"v":2')),
        lambda path: with_line(path, lambda line: b"<<<<<<< HEAD"),
        lambda path: with_content(path, b"no zip"),
        lambda path: with_content(path, pickle.dumps(Bomb())),
        another_state,
    ],
    ids="empty cut_in_the_line cut flipped other_code newer conflict no_zip bomb other".split(),
)
def test_what_is_damaged_or_not_ours_is_said_and_not_used(
    folder, digits, fault, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = cut(folder, digits).path
    path.write_bytes(fault(path))

    keeper = folder.keeper([TRIAL], digits.digest)
    assert keeper.load() is None
    assert not (tmp_path / "exploded").exists()
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "not used" in said
    assert "begins anew" in said


def test_only_stacks_that_are_wanted_whole_go_on(folder, digits):
    both = [TRIAL, TRIAL.replace(seed=1)]
    other = TRIAL.replace(lr=0.1)
    cut(folder, digits, both, after=3)
    cut(folder, digits, [other], after=9)
    known = {"digits": digits.digest}

    assert folder.begun([*both, other], known) == [[other], both]  # who is further comes first
    assert folder.begun(both, known) == [both]
    assert folder.begun([TRIAL, other], known) == [[other]]
    assert folder.begun([*both, other], {"digits": "another"}) == []
    newer = checkpoints.Folder(folder.path, MADE_WITH | {"torch": "u"}, 0.0)
    assert newer.begun([*both, other], known) == []


def test_what_is_recorded_needs_no_checkpoint(folder, digits):
    both = [TRIAL, TRIAL.replace(seed=1)]
    path = cut(folder, digits, both, after=1).path

    folder.tidy(lambda trial, digest: trial.seed == 0)
    assert path.exists()
    folder.tidy(lambda trial, digest: digest == digits.digest)
    assert not path.exists()


def test_a_readers_own_component_has_none(folder):
    class Coded:
        code = ("model:mine",)

    assert folder.keeper([Coded()], "0") is None


def test_where_nothing_can_be_written_training_goes_on(folder, digits, capsys, monkeypatch):
    def refuse(path, data):
        raise records.StoreError("disk full")

    monkeypatch.setattr(records, "write_whole", refuse)
    keeper = folder.keeper([TRIAL], digits.digest)

    found = loop.train_lanes([TRIAL], digits, keeper=keeper)
    assert curves(found) == curves(loop.train_lanes([TRIAL], digits))
    assert capsys.readouterr().out == "disk full; training goes on without checkpoints\n"


def test_writing_takes_little_of_the_time(folder, digits, monkeypatch):
    monkeypatch.setattr(records, "write_whole", lambda path, data: time.sleep(0.05))
    keeper = folder.keeper([TRIAL], digits.digest)
    keeper.save({"lanes": [{"curves": {"lr": []}}]})

    assert keeper.wait_s >= 0.05 / checkpoints.SHARE


def test_what_is_held_waits_until_it_is_let_go_or_forgotten(folder, digits, monkeypatch):
    keeper = folder.keeper([TRIAL], digits.digest)
    background.hold(folder.path, True)
    threading.Timer(0.5, background.hold, (folder.path, False)).start()
    began = time.monotonic()
    keeper.is_due()
    assert 0.4 < time.monotonic() - began < 5

    background.hold(folder.path, True)
    long_ago = time.time() - 2 * checkpoints.HOLD_S
    os.utime(folder.path / checkpoints.HOLD, (long_ago, long_ago))
    keeper.is_due()  # who held it is gone


LONG = """
    import sys
    from pathlib import Path
    from hplab.sweeps import checkpoints, driver, store
    from hplab.training import datasets
    from hplab.trial import Trial, grid

    if __name__ == "__main__":
        driver.POOL_FROM_S, checkpoints.WORTH_S = 0, 0.0
        checkpoints.EVERY_S = float(sys.argv[4])
        here = store.Store(Path(sys.argv[1]) / "results", Path(sys.argv[1]) / "pending")
        jobs = int(sys.argv[2])
        small = {"model": "mlp", "model_args": {"hidden": [8]}, "epochs": int(sys.argv[3])}
        trials = grid(Trial(data="digits", **small), batch_size=[60, 61])
        driver.train(trials[:jobs], {"digits": datasets.load("digits")}, "cpu", jobs, here)
"""


def started(tmp_path, jobs, epochs, every_s=1e9):
    script = tmp_path / "long.py"
    script.write_text(textwrap.dedent(LONG))
    command = [sys.executable, script, tmp_path, str(jobs), str(epochs), str(every_s)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(found, limit_s=60.0):
    deadline = time.monotonic() + limit_s
    while not (value := found()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


@pytest.mark.skipif(sys.platform == "win32", reason="there it ends a process at once")
@pytest.mark.timeout(200)
def test_sigterm_leaves_a_checkpoint_and_the_next_run_goes_on(tmp_path):
    def written():
        return [path.stat().st_mtime_ns for path, _ in checkpoints.heads(tmp_path / "checkpoints")]

    with started(tmp_path, 1, 250, every_s=1.0) as training:
        before = wait_for(written)
        time.sleep(0.2)
        training.send_signal(signal.SIGTERM)
        assert training.wait(20) == -signal.SIGTERM  # as it would have ended without hplab
    assert written() > before
    [(path, head)] = checkpoints.heads(tmp_path / "checkpoints")
    with started(tmp_path, 1, 250) as training:
        assert training.wait(100) == 0

    here = Store(tmp_path / "results", tmp_path / "pending")
    [record] = here.records()
    alone = driver.compute([(head.trials[0].config(), 0)], "cpu", datasets.load("digits"))[0]
    assert record["curves"] == alone["curves"]
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there it ends a process at once")
@pytest.mark.timeout(600)
def test_eight_kills_at_random_moments_change_no_bit(tmp_path):
    rng = random.Random(8)
    for how in [signal.SIGKILL, signal.SIGTERM] * 4:
        with started(tmp_path, 1, 600, every_s=0.2) as training:
            seen = [path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*.ckpt")]
            wait_for(
                lambda seen=seen: (
                    seen
                    != [path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*.ckpt")]
                )
            )
            time.sleep(rng.uniform(0, 0.3))
            assert training.poll() is None, "it was done before the kills: make it longer"
            training.send_signal(how)
    [(_, head)] = checkpoints.heads(tmp_path / "checkpoints")
    with started(tmp_path, 1, 600) as training:
        assert training.wait(200) == 0

    [record] = Store(tmp_path / "results", tmp_path / "pending").records()
    alone = driver.compute([(head.trials[0].config(), 0)], "cpu", datasets.load("digits"))[0]
    assert record["curves"] == alone["curves"]


@pytest.mark.skipif(sys.platform != "linux", reason="workers watch their parent's end")
@pytest.mark.timeout(200)
def test_workers_whose_parent_is_killed_write_down_how_far_they_are(tmp_path):
    """Those that have trained for two seconds; less is not worth a file."""
    with started(tmp_path, 2, 9000) as training:
        try:
            assert wait_for(lambda: n_busy(training.pid, 1.5 * checkpoints.WORTH_S) >= 2)
        finally:
            training.kill()

    assert wait_for(lambda: len(list(checkpoints.heads(tmp_path / "checkpoints"))) == 2)


def n_busy(pid, seconds):
    """Return how many workers have computed for so long: children of the server that imports."""
    busy = 0
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):  # it was gone before it was asked
            busy += sum(worker.cpu_times().user > seconds for worker in child.children())
    return busy
