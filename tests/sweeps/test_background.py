"""Training in the background: what it trains, whom it makes room for, and what it leaves behind."""

import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import filelock
import psutil
import pytest

from hplab.sweeps import background, checkpoints
from hplab.trial import HplabError, Trial, grid

SMALL = {"data": "digits", "model": "mlp", "model_args": {"hidden": [8]}, "n_train": 96}
TRIALS = grid(Trial(**SMALL, epochs=1), batch_size=[32, 48])


@pytest.fixture(autouse=True)
def _no_way_out(monkeypatch):
    """Whatever else this machine does, the training goes on."""
    monkeypatch.setattr(background, "TOO_MUCH", 2.0)
    monkeypatch.setattr(background, "NICENESS", 0)


@pytest.mark.timeout(200)
def test_a_plan_is_trained_whole_and_told_of(store):
    said = []

    assert background.fill(TRIALS, store, jobs=1, say=said.append) == 2
    assert {record["config"]["batch_size"] for record in store.records()} == {32, 48}
    assert said[-1].endswith("2 of 2 trials recorded")
    assert background.fill(TRIALS[:1], store, jobs=1, say=said.append) == 1


@pytest.mark.timeout(200)
def test_a_budget_is_kept_and_what_is_begun_is_told_of(store, monkeypatch):
    monkeypatch.setattr(background, "STOP_S", 15.0)
    long = [Trial(**SMALL, epochs=100_000)]
    said, began = [], time.monotonic()

    assert background.fill(long, store, jobs=1, seconds=30.0, say=said.append) == 0
    assert time.monotonic() - began < 30.0
    assert "begun: epoch " in said[-1]
    assert len(list(checkpoints.heads(checkpoints.Folder.beside(store.pending)))) == 1


def test_only_one_is_at_work_in_a_store(store):
    store.pending.mkdir(parents=True)
    with (
        filelock.FileLock(store.pending.parent / "fill.lock"),
        pytest.raises(HplabError, match=r"another hplab fill is at work here .*fill\.lock"),
    ):
        background.fill(TRIALS, store)


@pytest.mark.timeout(200)
def test_a_mistake_is_passed_on(store):
    said = []
    wrong = [Trial(**SMALL | {"n_train": 100_000})]

    with pytest.raises(HplabError, match="ended with code 1"):
        background.fill(wrong, store, jobs=1, say=said.append)
    assert any("n_train is 100000" in line for line in said)


class Machine:
    """Two cores: `busy` seconds were used in all, and those of each process by its pid."""

    Error = psutil.Error

    def __init__(self):
        self.busy, self.spent = 0.0, {1: 0.0, 2: 0.0, 3: 0.0}

    def cpu_count(self):
        return 2

    def cpu_times(self):
        times = psutil.cpu_times()._replace(user=self.busy, idle=1e6, guest=self.busy)
        zero = dict.fromkeys(set(times._fields) - {"user", "idle", "guest"}, 0.0)
        return times._replace(**zero)

    def Process(self, pid=3):
        spent = SimpleNamespace(user=self.spent[pid], system=0.0)
        children = [self.Process(2)] if pid == 1 else []
        return SimpleNamespace(
            pid=pid, cpu_times=lambda: spent, children=lambda recursive: children
        )


def test_others_are_all_but_the_trainer_its_children_and_this_process(monkeypatch):
    machine, now = Machine(), 100.0
    monkeypatch.setattr(background.time, "monotonic", lambda: now)
    others = background.Others(1, machine)

    machine.busy, machine.spent, now = 10.0, {1: 1.0, 2: 4.0, 3: 2.0}, 105.0
    assert others.share() == pytest.approx((10 - 7) / (2 * 5))
    machine.busy, machine.spent, now = 15.0, {1: 1.0, 2: 9.0, 3: 2.0}, 110.0
    assert others.share() == pytest.approx(0.0)


def test_it_waits_at_once_and_goes_on_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "TOO_MUCH", 0.5)
    shares = iter([0.0, 0.9, 0.2, 0.1, 0.1, 0.1])
    trainer = SimpleNamespace(poll=lambda: None, pid=1, wait=lambda timeout: None)
    others = SimpleNamespace(share=lambda: next(shares))
    held = []
    monkeypatch.setattr(background, "hold", lambda folder, waits: held.append(waits))
    report = SimpleNamespace(waited_s=0.0, line=lambda: None)

    with pytest.raises(StopIteration):
        background._watch(trainer, others, tmp_path, None, report)
    assert held == [False, True, True, True, False, False]
    assert report.waited_s == pytest.approx(3 * background.LOOK_S)


KILLED = """
    import sys
    from hplab.sweeps import background, store
    from hplab.trial import Trial
    if __name__ == "__main__":
        here = store.Store(sys.argv[1] + "/results", sys.argv[1] + "/pending")
        background.NICENESS = 0
        small = {"data": "digits", "model": "mlp", "model_args": {"hidden": [8]}}
        background.fill([Trial(**small, epochs=100_000)], here, jobs=1)
"""


@pytest.mark.timeout(200)
def test_nothing_outlives_the_process_that_asked(tmp_path):
    script = tmp_path / "fill.py"
    script.write_text(textwrap.dedent(KILLED))
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.DEVNULL) as asking:
        deadline = time.monotonic() + 60
        while not (family := psutil.Process(asking.pid).children()) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        asking.kill()

    gone, alive = psutil.wait_procs(family, timeout=40)
    assert gone
    assert not alive
