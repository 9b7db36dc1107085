"""The runner trains what is missing, once, and tells the truth about the rest."""

import collections
import dataclasses
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest
import torch

from hplab import places
from hplab.sweeps import driver, executors, presets, runner, series, writer
from hplab.sweeps.store import Store
from hplab.training import datasets as data
from hplab.training import loop, updates
from hplab.trial import HplabError, Trial, grid

BASE = Trial(data="mnist", epochs=1)
TRIALS = grid(BASE, lr=[1e-3, 1e-4], seed=range(3))
RTOL = 1e-4  # networks trained side by side round differently from one trained alone


def smoke(trials, store, **options):
    return runner.run(trials, preset="smoke", device="cpu", store=store, **options)


def results(store):
    """What trials gave, without cost and provenance."""
    return {r["key"]: (r["status"], r["final"], r["curves"]) for r in store.records()}


def same_results(one, other):
    """Two stores hold the same trials with the same results, up to rounding."""
    ours, theirs = results(one), results(other)
    assert set(ours) == set(theirs)
    for key, (status, final, curves) in ours.items():
        assert (status, final) == (theirs[key][0], pytest.approx(theirs[key][1], rel=RTOL))
        for name, values in curves.items():
            assert values == pytest.approx(theirs[key][2][name], rel=RTOL), name


@pytest.fixture
def count(monkeypatch):
    """Count trials computed in this process."""
    calls = []
    compute = driver.compute
    monkeypatch.setattr(
        driver, "compute", lambda trials, *rest: calls.extend(trials) or compute(trials, *rest)
    )
    return calls


def test_one_row_a_trial_with_declared_and_scaled_settings(store):
    table = smoke(TRIALS, store)

    assert len(table) == 4  # two seeds of two rates
    assert set(table["status"]) == {"ok"}
    assert set(table["data"]) == {"digits"}
    assert set(table["arm_data"]) == {"mnist"}
    assert (set(table["epochs"]), set(table["arm_epochs"])) == ({2}, {1})
    assert table["acc_gap"].tolist() == (table["train_acc"] - table["val_acc"]).tolist()


def test_what_is_recorded_is_not_trained_again(store, count):
    first = smoke(TRIALS, store)
    assert len(count) == 4
    second = smoke(TRIALS, store)

    assert len(count) == 4
    assert second.attrs["n_new"] == 0
    assert first["val_loss"].tolist() == second["val_loss"].tolist()


def test_more_seeds_train_only_the_new_ones(store, count):
    smoke(TRIALS, store, n_seeds=1)
    smoke(TRIALS, store, n_seeds=3)

    assert len(count) == 6


def test_a_stop_keeps_what_is_finished_and_says_so_in_one_line(store, monkeypatch):
    monkeypatch.setattr(
        driver.stacking, "stacks", lambda trials, *_, **__: [[trial] for trial in trials]
    )
    compute, calls = driver.compute, []

    def stop_at_the_third(trials, *rest):
        calls.append(trials)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(trials, *rest)

    monkeypatch.setattr(driver, "compute", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt) as stopped:
        smoke(TRIALS, store, jobs=1)

    (line,) = stopped.value._render_traceback_()  # all that IPython shows
    assert line.startswith("Stopped: 2 of the 4 trials that were missing are trained and kept;")
    assert len(results(store)) == 2
    assert smoke(TRIALS, store, jobs=1).attrs["n_new"] == 2


def test_pool_and_serial_give_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "POOL_FROM_S", 0)
    stores = [Store(tmp_path / name / "results", tmp_path / name / "pending") for name in "ab"]
    trials = grid(BASE, batch_size=[60, 61], seed=range(2))  # a stack each, whoever trains it
    smoke(trials, stores[0], jobs=1)
    smoke(trials, stores[1], jobs=2)

    assert results(stores[0]) == results(stores[1])
    assert len(results(stores[0])) == 4


@pytest.mark.timeout(300)  # each worker imports torch for itself
def test_workers_that_are_started_as_on_windows_give_the_same_records(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "POOL_FROM_S", 0)
    stores = [Store(tmp_path / name / "results", tmp_path / name / "pending") for name in "ab"]
    smoke(TRIALS, stores[0], jobs=1)
    spawn = multiprocessing.get_context("spawn")
    started = []
    monkeypatch.setattr(driver.forkserver, "context", lambda: started.append(1) or spawn)
    monkeypatch.setattr(driver.forkserver, "_start", lambda trials: None)
    smoke(TRIALS, stores[1], jobs=2)

    assert started
    same_results(*stores)
    assert len(results(stores[1])) == 4


def test_a_graphics_card_gets_whole_stacks_whatever_the_cores(store, monkeypatch):
    """There is one of it: a stack split over sixteen workers would run in sixteen parts."""
    asked = []

    def planned(trials, device, workers, datasets, *, in_order):
        asked.append((device, workers))
        raise HplabError("enough")

    monkeypatch.setattr(driver.stacking, "stacks", planned)
    datasets = {"mnist": data.load("digits")}
    for device, jobs in (("cuda", 16), ("cpu", 1)):
        with pytest.raises(HplabError, match="enough"):
            driver.train(TRIALS, datasets, device, jobs, store)
    assert asked == [("cuda", 1), ("cpu", 1)]


def test_workers_map_the_data_where_there_is_room(stripes, monkeypatch):
    """Overrunning the shared memory of a container kills a process, so it has to be looked at."""
    room = stripes.images.nbytes
    monkeypatch.setattr(executors.shutil, "disk_usage", lambda _: SimpleNamespace(free=room))
    assert executors.share(stripes) is None
    assert not stripes.images.is_shared()

    room = 100 * room
    before = stripes.images.clone()
    assert executors.share(stripes) is stripes
    assert stripes.images.is_shared()
    assert stripes.test_labels.is_shared()
    assert torch.equal(stripes.images, before)


def test_results_do_not_depend_on_what_is_trained_beside_them(tmp_path):
    alone, together = (Store(tmp_path / n / "results", tmp_path / n / "pending") for n in "ab")
    smoke(TRIALS[:1], alone)
    smoke(TRIALS[::-1], together, n_seeds=3)

    [(key, (status, final, curves))] = results(alone).items()
    beside = results(together)[key]
    assert (status, final) == (beside[0], pytest.approx(beside[1], rel=RTOL))
    assert curves["running_loss"] == pytest.approx(beside[2]["running_loss"], rel=RTOL)


def test_divergence_is_kept_and_an_exception_is_not(store, monkeypatch, capsys):
    wild = BASE.replace(optimizer="sgd", lr=1e30)
    table = smoke([wild], store)
    assert table["status"].tolist() == ["diverged"]
    assert table["val_acc"].isna().all()

    def broken(trials, dataset, *, device, keeper=None):
        raise ValueError("the disk of this trial caught fire")

    monkeypatch.setattr(loop, "train_lanes", broken)
    with pytest.raises(HplabError, match="no trial could be trained: ValueError: the disk"):
        smoke([BASE], store)
    assert [f["message"] for f in store.failures()] == ["the disk of this trial caught fire"]
    assert len(list(store.records())) == 1


def test_one_bad_trial_does_not_stop_the_others(store, monkeypatch, capsys):
    train_lanes = loop.train_lanes

    def sometimes(trials, dataset, *, device, keeper=None):
        if any(trial.seed == 1 for trial in trials):
            raise ValueError("seed 1 fails")
        return train_lanes(trials, dataset, device=device)

    monkeypatch.setattr(loop, "train_lanes", sometimes)
    table = smoke(TRIALS, store)

    assert table["seed"].tolist() == [0, 0]
    assert table.attrs["n_missing"] == 2
    assert "2 trials failed" in capsys.readouterr().out
    assert all("seed 1 fails" in f["traceback"] for f in store.failures())


def test_a_stack_that_does_not_fit_is_halved_and_gives_the_same_results(tmp_path, monkeypatch):
    """The memory is full in the middle of an epoch; halves of eight give every bit of four."""
    roomy, tight, fours = (Store(tmp_path / n / "results", tmp_path / n / "pending") for n in "abc")
    trials = grid(BASE, lr=[1e-3, 1e-4], seed=range(4))
    smoke(trials, roomy, n_seeds=4)
    for four in (trials[:4], trials[4:]):
        smoke(four, fours, n_seeds=4)
    update, n_refused = updates.Updates.update, []

    def small_memory(self, batch, *drawn):
        if self.network.n_lanes > 4 and self.step == 3:
            n_refused.append(1)
            raise torch.OutOfMemoryError("out of memory")
        return update(self, batch, *drawn)

    monkeypatch.setattr(updates.Updates, "update", small_memory)
    table = smoke(trials, tight, n_seeds=4)

    assert n_refused == [1]
    assert list(table["status"]) == ["ok"] * 8
    widths = [{r["cost"]["lanes"] for r in one.records()} for one in (roomy, tight, fours)]
    assert widths == [{8}, {4}, {4}]
    assert results(tight) == results(fours)
    same_results(roomy, tight)


@pytest.mark.parametrize(("culprits", "n_calls"), [({0, 1, 2, 3, 4, 5, 6, 7}, 3), ({5}, 8)])
def test_a_fault_of_every_trial_is_found_out_at_once(monkeypatch, culprits, n_calls):
    """A stack of 512 that cannot train is not tried a thousand times."""
    calls = []

    def train_lanes(trials, dataset, *, device, keeper=None):
        calls.append(len(trials))
        if culprits & {trial.seed for trial in trials}:
            raise ValueError("it cannot be")
        return [trial.seed for trial in trials]

    monkeypatch.setattr(loop, "train_lanes", train_lanes)
    monkeypatch.setattr(driver, "_result", lambda outcome, *_: outcome)
    trials = [(trial.config(), trial.seed) for trial in grid(BASE, seed=range(8))]

    results = driver.compute(trials, "cpu", data.load("digits"))

    assert [isinstance(x, ValueError) for x in results] == [i in culprits for i in range(8)]
    assert [x for x in results if isinstance(x, int)] == sorted(set(range(8)) - culprits)
    assert len(calls) == n_calls


def test_nothing_is_begun_that_would_not_be_done_in_time():
    stacks = [[trial] for trial in grid(BASE, lr=[1e-3, 1e-4], batch_size=[16, 32])]
    clock = driver._Clock(time.monotonic() + 60.0)
    assert all(map(clock.has_room, stacks))

    clock.note(stacks[0], 90.0)

    assert not any(map(clock.has_room, stacks))  # the first of a kind is taken for the slowest
    clock.note(stacks[1], 30.0)  # another batch size is another kind
    assert [clock.has_room(stack) for stack in stacks] == [False, True, False, True]


def test_what_there_is_no_time_for_is_left(store, capsys):
    datasets = {"mnist": data.load("digits")}
    driver.train(TRIALS, datasets, "cpu", 1, store, until=time.monotonic())
    assert not list(store.records())
    assert "6 trials were left" in capsys.readouterr().out


def test_cached_mode_never_trains_and_names_what_is_missing(store, count, monkeypatch, capsys):
    smoke(TRIALS, store, n_seeds=1)
    monkeypatch.setenv("HPLAB_MODE", "cached")
    monkeypatch.setenv("HPLAB_STUDY", "01-learning-rate")
    table = runner.run(TRIALS, preset="paper", store=store)

    assert len(count) == 2
    assert table.attrs["preset"] == "smoke"
    said = capsys.readouterr().out
    assert "2 of 4 trials of preset 'smoke' are not recorded yet" in said
    assert "make execute STUDY=01-learning-rate PRESET=smoke" in said


def test_a_page_asked_for_paper_shows_the_laptop_records_and_says_so(store, monkeypatch, capsys):
    trials = grid(BASE.replace(data="mnist", n_train=None), lr=[0.1, 0.01])
    runner.run(trials, preset="laptop", store=store)
    runner.run(trials[:1], preset="smoke", store=store)
    monkeypatch.setenv("HPLAB_MODE", "cached")
    monkeypatch.setenv("HPLAB_STUDY", "01-learning-rate")
    capsys.readouterr()
    table = runner.run(trials, preset="paper", store=store)

    assert (table.attrs["preset"], len(table)) == ("laptop", 2)
    said = capsys.readouterr().out
    assert "in miniature: preset 'laptop', where digits stand in for mnist" in said
    assert "make execute STUDY=01-learning-rate PRESET=paper" in said

    runner.run(trials, preset="laptop", store=store)
    assert "in miniature" not in capsys.readouterr().out  # it is what was asked for


def test_runs_cut_too_short_for_a_figure_give_way_to_longer_ones(store, monkeypatch):
    short = dataclasses.replace(presets.PRESETS["reduced"], epochs={"digits": 0.5})
    monkeypatch.setitem(presets.PRESETS, "reduced", short)
    trial = BASE.replace(data="digits", n_train=64, epochs=4)
    for size in ("laptop", "reduced"):
        runner.run([trial], preset=size, store=store)
    monkeypatch.setenv("HPLAB_MODE", "cached")

    assert runner.run([trial], preset="paper", store=store).attrs["preset"] == "reduced"
    longer = runner.run([trial], preset="paper", store=store, least_epochs=3)
    assert (longer.attrs["preset"], longer["epochs"].item()) == ("laptop", 4)
    none = runner.run([trial], preset="paper", store=store, least_epochs=9)
    assert none.attrs["preset"] == "reduced"  # nothing is long enough: the best there is


def test_recorded_is_the_biggest_preset_on_the_reports_own_data(store, monkeypatch):
    halved = dataclasses.replace(presets.PRESETS["reduced"], epochs={"digits": 0.5})
    monkeypatch.setitem(presets.PRESETS, "reduced", halved)
    digits = BASE.replace(data="digits", n_train=64, epochs=2)
    runner.run([digits], preset="smoke", store=store)
    assert runner.recorded([digits], store=store).empty

    for size in ("reduced", "paper"):
        runner.run([digits], preset=size, n_seeds=1, store=store)
        assert runner.recorded([digits], store=store).attrs["preset"] == size

    small = runner.recorded([digits], preset="reduced", store=store)
    assert (small["epochs"].item(), small["arm_epochs"].item()) == (1, 2)
    with pytest.raises(HplabError, match="unknown preset 'papers'.*did you mean 'paper'"):
        runner.recorded([digits], preset="papers", store=store)


def test_one_run_at_paper_does_not_hide_a_whole_grid_at_reduced(store, monkeypatch):
    halved = dataclasses.replace(presets.PRESETS["reduced"], epochs={"digits": 0.5})
    monkeypatch.setitem(presets.PRESETS, "reduced", halved)
    digits = BASE.replace(data="digits", n_train=64, epochs=2)
    both = grid(digits, lr=[0.1, 0.01])
    runner.run(both, preset="reduced", store=store)
    runner.run(both[:1], preset="paper", store=store)
    assert runner.recorded(both, store=store).attrs["preset"] == "reduced"

    runner.run(both[1:], preset="paper", store=store)
    assert runner.recorded(both, store=store).attrs["preset"] == "paper"


def test_a_missing_trial_is_said_to_be_of_the_study_that_trains_it(store, monkeypatch, capsys):
    monkeypatch.setenv("HPLAB_STUDY", "01-learning-rate")
    runner.recorded([BASE], study="02-batch-size", store=store)

    assert "make execute STUDY=02-batch-size PRESET=paper" in capsys.readouterr().out


def test_nothing_recorded_gives_an_empty_table_with_columns(store):
    table = runner.recorded(TRIALS, store=store)

    assert len(table) == 0
    assert {"lr", "seed", "val_acc", "arm_epochs", "status"} <= set(table.columns)


def test_curves_are_long_and_match_the_final_metrics(store):
    table = smoke(TRIALS, store)
    long = series.curves(table, store=store)
    last = long[long["epoch"] == 2].set_index("key")["val_loss"]

    assert len(long) == 4 * 2
    assert last.to_dict() == table.set_index("key")["val_loss"].to_dict()
    assert long.columns.is_unique
    assert (long["lr_used"] == long["lr"]).all()


def test_steps_are_long(store):
    test = BASE.replace(schedule="range_test", lr=1.0, measure=("steps",))
    long = series.steps(smoke([test], store), store=store)

    assert long["step"].tolist() == list(range(1, 2 * 4 + 1))
    assert long["step_lr"].is_monotonic_increasing


@pytest.mark.parametrize("name", ["gpu", "cuda0", ""])
def test_unknown_device_is_refused(name):
    with pytest.raises(HplabError, match="unknown device"):
        executors.resolve_device(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:x", "cuda:", "cpu:0"])
def test_a_card_that_is_not_there_is_refused(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert executors.resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(HplabError, match=f"device '{name}' was asked for, but"):
        executors.resolve_device(name)


@pytest.mark.parametrize("jobs", [0, -2, "many"])
def test_impossible_jobs_are_refused(jobs, monkeypatch):
    monkeypatch.setenv("HPLAB_JOBS", str(jobs))
    with pytest.raises(HplabError, match="jobs must be a positive integer or auto"):
        places.n_workers()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"device": None}, "unknown device 'None'"),
        ({"preset": ["smoke"]}, r"unknown preset \['smoke'\]; .* did you mean 'smoke'"),
        ({"preset": None}, "unknown preset None"),
        ({"jobs": 1.5}, "jobs must be a positive integer or auto, got 1.5"),
        ({"n_seeds": "3"}, "n_seeds must be a positive integer or None, got '3'"),
        ({"trials": BASE}, r"trials must be a list of hp.Trial, got Trial\("),
        ({"trials": "mnist"}, "trials must be a list of hp.Trial, but it holds 'm'"),
        ({"trials": None}, "trials must be a list of hp.Trial, got None"),
        ({"trials": torch.tensor(3)}, r"trials must be a list of hp.Trial, got tensor\(3\)"),
    ],
)
def test_an_argument_of_another_type_is_one_line(store, arguments, said):
    asked = {"trials": TRIALS, "preset": "smoke", "device": "cpu", "store": store, **arguments}
    with pytest.raises(HplabError, match=said) as caught:
        runner.run(asked.pop("trials"), **asked)
    assert "\n" not in str(caught.value)


def test_a_device_of_torch_is_a_device(store):
    runs = runner.run([BASE], preset="smoke", device=torch.device("cpu"), store=store)
    assert list(runs["device"]) == ["cpu"]


# ------------------------------------------------------------- what cannot train is told at once

NORMED = Trial("digits", model="mlp", model_args={"batch_norm": True}, epochs=1)


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (
            NORMED.replace(n_train=65),
            r"a batch of one image .* \(65 .*, batch_size 64\); use drop_",
        ),
        (NORMED.replace(n_train=8, batch_size=1), "a batch of one .* use another batch_size"),
        (NORMED.replace(n_train=9, batch_size=8, drop_last=True), ""),
        (NORMED.replace(n_train=66), ""),
        (Trial("digits", model="mlp", epochs=1, n_train=65), ""),
        (Trial("digits", model_args={"batch_norm": True}, epochs=1, n_train=65), ""),
        (NORMED.replace(n_train=1438), "n_train is 1438, but 'digits' has 1437 training images"),
        (NORMED.replace(batch_size=1438, drop_last=True), "drop_last leaves no batch"),
        (NORMED.replace(split="kfold", split_args={"n_folds": 140}), "n_folds must be .* 139"),
        (NORMED.replace(split="kfold", split_args={"grouped": True}), "near copies .* not known"),
        (NORMED.replace(split="holdout", split_args={"val": 0.999}), "cannot hold out 0.999"),
        (NORMED.replace(split="holdout", split_args={"val": 1}), "cannot hold out 1 of 1437"),
    ],
)
def test_a_trial_that_does_not_fit_its_data_is_refused_before_any_is_trained(
    store, count, trial, said
):
    beside = Trial("digits", model="mlp", epochs=1, n_train=64)
    trials = grid(trial, seed=range(2))

    if not said:
        runs = runner.run(trials, preset="paper", device="cpu", store=store)
        assert list(runs["status"]) == ["ok", "ok"]
        return
    with pytest.raises(HplabError, match=f"{said}.*; in the trial {{") as caught:
        runner.run([beside, *trials], preset="paper", device="cpu", store=store)
    assert not count
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------- what can happen to a sweep

NO_TWO_STACK = grid(BASE, batch_size=[60, 61, 62])


@pytest.mark.parametrize(("seconds", "on_disk"), [(2700.0, [0, 1, 2]), (0.001, [0, 0, 0])])
def test_a_long_trial_waits_for_no_other_and_short_ones_share_a_file(
    store, monkeypatch, seconds, on_disk
):
    found, compute = [], driver.compute

    def timed(trials, *rest):
        found.append(len(list(store.pending.glob("*.jsonl"))))
        results = compute(trials, *rest)
        return [{**r, "cost": {**r["cost"], "train_s": seconds, "eval_s": 0.0}} for r in results]

    monkeypatch.setattr(driver, "compute", timed)
    smoke(NO_TWO_STACK, store, n_seeds=1, jobs=1)

    assert found == on_disk
    assert len(results(store)) == 3


@pytest.fixture
def refusing(store, monkeypatch):
    """Let the store refuse from the end of the first stack on; return how to mend it."""
    aside, compute = store.pending.with_name("aside"), driver.compute

    def mend():
        store.pending.unlink()
        aside.rename(store.pending)

    def spoiled(trials, *rest):
        results = compute(trials, *rest)
        if not aside.exists():
            shutil.move(store.pending, aside)
            store.pending.touch()  # a file where the folder was
        return results

    monkeypatch.setattr(driver, "compute", spoiled)
    monkeypatch.setattr(writer, "PUT_FROM_S", 0.0)
    return mend


def test_what_a_full_disk_refuses_is_written_when_there_is_room_again(
    store, refusing, monkeypatch, capsys
):
    compute, calls = driver.compute, []

    def mended(trials, *rest):
        results = compute(trials, *rest)
        calls.append(trials)
        if len(calls) == 3:
            refusing()
        return results

    monkeypatch.setattr(driver, "compute", mended)
    table = smoke(NO_TWO_STACK, store, n_seeds=1, jobs=1)

    assert len(table) == 3
    assert capsys.readouterr().out.count("training goes on") == 1


def test_what_is_refused_to_the_end_lies_in_a_file_that_the_store_can_take(
    store, refusing, monkeypatch, tmp_path
):
    (tmp_path / "spare").mkdir()
    monkeypatch.setattr(writer.tempfile, "tempdir", str(tmp_path / "spare"))
    with pytest.raises(HplabError, match="3 finished trials are in .*spare/hplab-.*move that"):
        smoke(NO_TWO_STACK, store, n_seeds=1, jobs=1)

    refusing()
    [spared] = (tmp_path / "spare").iterdir()
    shutil.move(spared, store.pending)
    store.refresh()
    table = smoke(NO_TWO_STACK, store, n_seeds=1)
    assert (len(table), table.attrs["n_new"]) == (3, 0)


def deadly(trials, device, source, folder=None):
    """Compute in a worker that trials with seed 1 kill, as running out of memory does."""
    if any(seed == 1 for _, seed in trials):
        os.kill(os.getpid(), signal.SIGKILL)
    return driver.compute(trials, device, source, folder)


@pytest.mark.skipif(sys.platform != "linux", reason="it kills a process")
def test_a_trial_that_kills_its_worker_kills_nothing_else(store, monkeypatch, capsys):
    monkeypatch.setattr(driver, "POOL_FROM_S", 0)
    monkeypatch.setattr(driver, "compute", deadly)
    table = smoke(TRIALS, store, jobs=2)

    assert table["seed"].tolist() == [0, 0]
    assert [f["seed"] for f in store.failures()] == [1, 1]
    assert {f["message"] for f in store.failures()} == {"its worker process was killed twice"}


def test_a_broken_pool_takes_only_what_it_had_begun():
    stacks = [[trial] for trial in grid(BASE, lr=[1e-3, 1e-4, 1e-5, 1e-6])]
    begun: list[Future] = []

    def submit(executor, stack):
        begun.append(Future())
        if len(begun) == 2:  # the first is killed while the second waits for its turn
            for future in begun:
                future.set_exception(BrokenProcessPool("killed"))
        return begun[-1]

    waiting = collections.deque(stacks)
    pool = SimpleNamespace(started=SimpleNamespace(is_set=lambda: True))
    run = driver._until_broken(pool, submit, waiting, lambda: 2, driver._Clock(math.inf))
    with pytest.raises(StopIteration) as end:
        next(run)

    assert sorted(end.value.value, key=stacks.index) == stacks[:2]
    assert list(waiting) == stacks[2:]


SWEEP = """
    import os, sys
    from pathlib import Path
    from hplab.sweeps import driver, runner, store, writer
    from hplab.trial import Trial, grid
    if __name__ == "__main__":
        driver.POOL_FROM_S, writer.PUT_FROM_S = 0, 0.0
        here = store.Store(Path(sys.argv[1]) / "results", Path(sys.argv[1]) / "pending")
        trials = grid(Trial(data="mnist", epochs=60), batch_size=range(60, 72))  # no two stack
        runner.run(trials, preset="smoke", jobs=2, store=here)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_killed_sweep_keeps_what_is_finished_and_leaves_no_worker(tmp_path, monkeypatch):
    """kill -9 of the driver: its records stay, its workers go, the next run does only the rest."""
    script = tmp_path / "sweep.py"
    script.write_text(textwrap.dedent(SWEEP))
    here = Store(tmp_path / "results", tmp_path / "pending")
    with subprocess.Popen([sys.executable, script, tmp_path], stderr=subprocess.DEVNULL) as sweep:
        while sweep.poll() is None and len(results(here)) < 2:
            time.sleep(0.02)
            here.refresh()
        workers = _descendants(sweep.pid)
        sweep.kill()
    assert workers
    assert not [pid for pid in workers if _alive_within(pid, 5.0)]
    here.refresh()
    kept = len(results(here))
    assert 2 <= kept < 12
    left = []
    monkeypatch.setattr(driver, "train", lambda todo, *_, **__: left.extend(todo))
    smoke(grid(BASE.replace(epochs=60), batch_size=range(60, 72)), here)
    assert len(left) == 12 - kept


UNGUARDED = """
    import sys
    from pathlib import Path
    from hplab.sweeps import driver, runner, store, writer
    from hplab.trial import Trial, grid
    driver.POOL_FROM_S = 0
    here = store.Store(Path(sys.argv[1]) / "results", Path(sys.argv[1]) / "pending")
    trials = grid(Trial(data="mnist", epochs=60), batch_size=[60, 61])
    runner.run(trials, preset="smoke", jobs=2, store=here)
"""


@pytest.mark.timeout(300)  # three processes import torch, one after another
def test_a_script_without_a_guard_is_told_what_it_needs(tmp_path):
    """Workers run the script again up to `if __name__ == "__main__"`, and so would train too."""
    script = tmp_path / "sweep.py"
    script.write_text(textwrap.dedent(UNGUARDED))
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 1
    assert "if __name__ == '__main__'" in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") == 1


def _descendants(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    children = [int(line) for line in found.stdout.split()]
    return [*children, *(p for child in children for p in _descendants(child))]


def _alive_within(pid, seconds):
    """Whether a process is still there after waiting for it to go."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return False
        except FileNotFoundError:
            return False
        time.sleep(0.05)
    return True
