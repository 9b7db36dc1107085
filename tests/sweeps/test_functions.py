"""Sweeps over a function of one's own: each point called once, recorded, faults told."""

import concurrent.futures
import functools
import linecache
import math
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import cloudpickle
import numpy as np
import pandas as pd
import psutil
import pytest
from tiny_functions import tree

import hplab as hp
from hplab.pages.tables import doctor, status
from hplab.sweeps import calls, functions, progress, runner, tasks, workers, writer
from hplab.sweeps import table as schema
from hplab.sweeps.store import Store
from hplab.trial import HplabError


def curve(depth, seed, n_epochs=3):
    for epoch in range(n_epochs):
        yield {"epoch": epoch, "rmse": 1 / (depth + epoch), "lr": 0.1 * epoch}


def counted(folder, function=tree):
    """A function that leaves a file a call, in whatever process, so that calls can be counted."""

    @functools.wraps(function)
    def called(**point):
        name = "_".join(f"{k}-{v}" for k, v in sorted(point.items()))
        number = len(list(folder.glob(f"{name}.*")))
        (folder / f"{name}.{number}").touch()
        return function(**point)

    return called


@pytest.fixture
def sweep(store):
    return functools.partial(hp.sweep, store=store, jobs=1)


# ----------------------------------------------------------------------------- its table


def test_every_point_of_the_grid_is_a_row_with_what_the_function_returned(sweep):
    runs = sweep(tree, depth=[2, 4], kernel=["rbf", "poly"], seed=range(3))

    wanted = [
        {"depth": d, "kernel": k, "seed": s, "status": "ok"} | tree(d, k, s)
        for d in (2, 4)
        for k in ("rbf", "poly")
        for s in range(3)
    ]
    pd.testing.assert_frame_equal(runs[list(wanted[0])], pd.DataFrame(wanted))
    assert schema.hyperparameters(runs) == ["depth", "kernel", "code"]
    assert schema.results(runs) == ["r2", "rmse", "train_s"]
    assert runs["key"].is_unique
    assert runs.attrs == {"n_missing": 0, "n_new": 12}


def test_a_table_read_back_is_the_table_that_was_made(sweep):
    axes = {"depth": [2, 4], "kernel": "poly", "seed": range(3)}

    first, again = sweep(tree, **axes), sweep(tree, **axes)

    pd.testing.assert_frame_equal(first, again)
    assert (first.attrs["n_new"], again.attrs["n_new"]) == (6, 0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"depth": 3}, [3]),
        ({"depth": np.array([2, 3])}, [2, 3]),
        ({"depth": np.linspace(1, 2, 3)}, [1.0, 1.5, 2.0]),
        ({"depth": pd.Series([2, 3])}, [2, 3]),
        ({"depth": (d for d in (2, 3))}, [2, 3]),
        ({"depth": np.int64(7)}, [7]),
        ({"points": [{"depth": 2}, {"depth": np.float32(0.5)}]}, [2, 0.5]),
        ({"points": pd.DataFrame({"depth": [2, 3], "kernel": ["rbf", "poly"]})}, [2, 3]),
    ],
)
def test_values_come_from_whatever_holds_them_and_reach_the_function_as_python_numbers(
    sweep, given, expected
):
    got = []

    def note(depth, kernel=None):
        got.append(depth)
        return {"x": 1.0}

    runs = sweep(note, version="1", **given)

    assert got == expected == runs["depth"].tolist()
    assert {type(depth) for depth in got} <= {int, float}


def test_points_are_combined_with_the_axes(sweep):
    chosen = [{"depth": 2, "kernel": "poly"}, {"depth": 8, "kernel": "rbf"}]

    runs = sweep(tree, points=chosen, seed=range(2))

    found = list(zip(runs["depth"], runs["kernel"], runs["seed"], strict=True))
    assert found == [(2, "poly", 0), (2, "poly", 1), (8, "rbf", 0), (8, "rbf", 1)]


def test_text_none_and_tuples_are_values_and_tables_can_compare_them(sweep):
    def net(hidden, dropout):
        return {"n": sum(hidden), "p": -1 if dropout is None else dropout}

    runs = sweep(net, hidden=[(8,), (8, 4)], dropout=[None, 0.5])

    assert runs["hidden"].tolist() == ["(8,)", "(8,)", "(8, 4)", "(8, 4)"]
    assert runs["n"].tolist() == [8, 8, 12, 12]
    assert runs["p"].tolist() == [-1, 0.5, -1, 0.5]
    assert hp.show(runs, "n").text
    assert runs["dropout"].isna().tolist() == [True, False, True, False]


def test_a_default_counts_as_said(sweep, tmp_path):
    called = counted(tmp_path)
    sweep(called, version="1", depth=[2, 4])

    runs = sweep(called, version="1", depth=[2, 4], kernel=["rbf", "poly"], seed=[0, 1])

    assert runs.attrs["n_new"] == 6  # two of the eight are there


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dept": [2]}, "unknown argument 'dept' in tree.*did you mean 'depth'"),
        ({"kernel": ["rbf"]}, "tree.*missing a required argument: 'depth'"),
        ({"depth": []}, "depth has no values"),
        ({"depth": [2, 2]}, "a point is repeated: depth=2, kernel='rbf', seed=0"),
        ({"depth": {2, 4}}, "depth is a set: give a list"),
        ({"depth": [[2]]}, "a value of depth is a list .*a tuple may hold several"),
        ({"depth": [math]}, "a value of depth is a module .*give its name"),
        ({"depth": [math.nan]}, "a value of depth is nan: give a finite number"),
        ({"depth": [2], "seed": [0.5]}, "seed must be a whole number from 0, got 0.5"),
        ({"depth": [2], "seed": [-1]}, "seed must be a whole number from 0, got -1"),
        ({"depth": [2], "seed": [True]}, "seed must be a whole number"),
        ({"points": []}, "points is empty"),
        ({"points": {"depth": [2]}}, "points must be a list of mappings or a data frame"),
        ({"points": np.array(3)}, "points must be a list of mappings or a data frame"),
        ({"points": [{"depth": 2}], "depth": [3]}, "'depth' is among the points and"),
        ({"points": [{"depth": 2}, [3]]}, r"points\[1\] must be a mapping"),
        ({"points": pd.DataFrame({"depth": [1, None]})}, r"depth of points\[1\] is nan"),
        ({"depth": 2, "executor": 3}, "executor must be a concurrent.futures.Executor"),
        ({"depth": 2, "jobs": 0}, "jobs must be a positive integer"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_called(store, given, said):
    with pytest.raises(HplabError, match=said):
        hp.sweep(tree, store=store, **given)
    assert store.status()["records"] == 0


def test_jobs_and_an_executor_are_one_too_many(sweep):
    with pytest.raises(HplabError, match="not both"):
        sweep(tree, depth=[2], executor=concurrent.futures.ThreadPoolExecutor(1))


def test_a_function_that_takes_no_seed_says_what_to_do(sweep):
    def fixed(depth):
        return {"x": depth}

    with pytest.raises(HplabError, match="fixed.. takes no seed: give it an argument `seed`"):
        sweep(fixed, depth=[1], seed=range(3))
    assert sweep(fixed, depth=[1, 2])["seed"].tolist() == [0, 0]


def test_an_argument_may_not_have_the_name_of_a_column_of_every_table(sweep):
    with pytest.raises(HplabError, match="cannot be called 'status'"):
        sweep(lambda status: {"x": 1}, version="1", status=[1])


def test_an_argument_that_a_table_of_trials_uses_otherwise_is_a_hyperparameter(sweep):
    runs = sweep(lambda device, step: {"x": step}, version="1", device=["a", "b"], step=[1, 2])

    assert schema.hyperparameters(runs) == ["device", "step", "code"]


# --------------------------------------------------------------------------- its results


def test_a_generator_gives_curves_and_its_last_numbers(sweep, store):
    runs = sweep(curve, depth=[1, 2], seed=[0], n_epochs=4)

    curves = hp.curves(runs, store=store)

    assert runs["rmse"].tolist() == [1 / 4, 1 / 5]
    assert schema.results(runs) == ["lr", "rmse", "train_s"]  # epochs are counted, not a result
    assert curves["epoch"].tolist() == [1, 2, 3, 4] * 2
    assert curves["rmse"].tolist() == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert curves["depth"].tolist() == [1] * 4 + [2] * 4
    assert schema.hyperparameters(curves) == ["depth", "n_epochs", "code"]


def test_a_number_may_be_missing_in_some_epochs(sweep, store):
    def sparse(depth):
        yield {"a": 1.0}
        yield {"a": 2.0, "b": 5.0}

    curves = hp.curves(sweep(sparse, depth=1), store=store)

    assert curves["b"].isna().tolist() == [True, False]


def test_runs_without_curves_say_how_to_get_them(sweep, store):
    with pytest.raises(HplabError, match="no curves: let the function yield"):
        hp.curves(sweep(tree, depth=[2]), store=store)


@pytest.mark.parametrize("bad", [math.nan, math.inf, np.float32("nan")])
def test_a_number_that_is_not_finite_is_a_diverged_run(sweep, bad):
    def risky(lr):
        return {"loss": bad if lr > 1 else lr, "n": 3}

    runs = sweep(risky, lr=[0.1, 10.0])

    assert runs["status"].tolist() == ["ok", "diverged"]
    assert runs["loss"].isna().tolist() == [False, True]
    assert runs["n"].tolist() == [3, 3]


def test_where_a_generator_diverged_is_recorded(sweep, store):
    def falls(lr):
        yield {"loss": 1.0}
        yield {"loss": math.nan}
        yield {"loss": math.nan}

    runs = sweep(falls, lr=1.0)

    record = store.get(runs["key"].iloc[0])
    assert (record["status"], record["at"]) == ("diverged", {"epoch": 2})
    assert record["curves"] == {"loss": [1.0, None, None]}


def test_a_run_that_recovers_has_not_diverged(sweep, store):
    def recovers(lr):
        yield {"loss": math.inf}
        yield {"loss": 1.0}

    runs = sweep(recovers, lr=1.0)

    assert runs["status"].tolist() == ["ok"]
    assert store.get(runs["key"].iloc[0])["at"] is None
    assert hp.curves(runs, store=store)["loss"].isna().tolist() == [True, False]


def test_numbers_of_every_kind_are_read(sweep):
    torch = pytest.importorskip("torch")

    def kinds(x):
        numbers = {"a": np.float32(0.5), "b": np.int64(2), "c": np.array(3.0), "d": True}
        return {**numbers, "e": torch.tensor(4.0), "f": 10**20}

    runs = sweep(kinds, x=1)

    assert runs[list("abcdef")].iloc[0].tolist() == [0.5, 2.0, 3.0, 1.0, 4.0, 1e20]


def test_what_a_function_repeats_of_its_arguments_is_no_result(sweep):
    def echoes(lr, kernel, seed):
        return {"lr": lr, "kernel": kernel, "seed": seed, "loss": 2 * lr}

    runs = sweep(echoes, lr=[0.1], kernel="rbf", seed=[3])

    assert schema.results(runs) == ["loss", "train_s"]


def test_a_number_with_the_name_of_an_argument_gets_another(sweep):
    def decays(lr, seed):
        return {"lr": lr / 10, "seed": 7.0, "device": 1.0, "loss": 1.0}

    runs = sweep(decays, lr=[0.5], seed=[1])

    assert runs["lr"].tolist() == [0.5]
    assert runs["lr_used"].tolist() == [0.05]
    assert runs["seed"].tolist() == [1]
    assert {"seed_used", "device_used"} <= set(schema.results(runs))


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (0.5, "it gave a float .*return {'score': ...}"),
        (None, "it gave a NoneType"),
        ({}, "it gave no numbers"),
        ({"a": "high"}, "a is a str .*no number"),
        ({"a": None}, "a is a NoneType"),
        ({"a": [1.0, 2.0]}, "a is a list .*yield a mapping after each"),
        ({"a": np.arange(3)}, "a is a ndarray"),
        ({"a": 1j}, "a is a complex"),
        ({1: 2.0}, "1 is no name for a metric"),
        ({"a{": 2.0}, "'a{' is no name for a metric"),
        (iter(()), "it yielded nothing"),
    ],
)
def test_what_is_no_mapping_of_numbers_is_a_failure_that_says_so(gives, said):
    answer = calls.call(lambda: gives, {})

    assert answer["error"] == "HplabError"
    assert pytest.importorskip("re").search(said, answer["message"])


def test_percent_is_read_as_in_a_table_from_elsewhere(sweep, store, capsys):
    shares = {(lr, s): 0.9 + lr + 0.001 * s for lr in (0.01, 0.02) for s in range(4)}
    shares[0.02, 3] = 0.02  # it never learned: percent like the others

    def percent(lr, seed):
        yield {"val_acc": 1.0, "test_acc": 0.9}
        yield {"val_acc": 100 * shares[lr, seed], "test_acc": 0.9}

    runs = sweep(percent, version="1", lr=[0.01, 0.02], seed=range(4))
    said = capsys.readouterr().err

    assert runs["val_acc"].to_numpy() == pytest.approx(list(shares.values()))
    assert said.splitlines().count("val_acc has values above 1: taken as percent") == 1
    assert "test_acc" not in said
    curves = hp.curves(runs, store=store)
    assert curves["val_acc"].tolist() == pytest.approx(
        [share for last in shares.values() for share in (0.01, last)]
    )
    assert set(curves["test_acc"]) == {0.9}
    alone = hp.curves(runs[runs["val_acc"] < 0.03], store=store)
    assert alone["val_acc"].tolist() == pytest.approx([0.01, 0.02])
    foreign = runs[["lr", "seed"]].assign(val_acc=100 * runs["val_acc"])
    claim = "val_acc at lr=0.01 beats lr=0.02 by 0.5 pp"
    said, wanted = (str(hp.judge(table, claim)).splitlines()[0] for table in (runs, foreign))
    assert said == wanted


def test_whether_a_function_gives_percent_does_not_hang_on_the_runs_at_hand(sweep, capsys):
    """0.8 % is chance among 100 classes; the runs at rates that learn say what it is."""

    def percent(lr):
        return {"val_acc": 0.8 if lr < 1 else 40.0}

    sweep(percent, version="1", lr=[1])
    for _ in range(2):
        runs = sweep(percent, version="1", lr=[0.1])
        assert runs["val_acc"].tolist() == [0.008]
        assert "taken as percent" in capsys.readouterr().err  # each time


def test_a_share_above_100_is_told_and_not_drawn(sweep, capsys):
    runs = sweep(lambda x, seed: {"val_acc": 970.5 + seed}, version="1", x=1, seed=range(3))

    assert "val_acc goes up to 972.5, but a name that ends so is read" in capsys.readouterr().err
    assert runs["val_acc"].tolist() == [970.5, 971.5, 972.5]
    with pytest.raises(HplabError, match=r"val_acc goes from 970.5 to 972.5, .* divide percent"):
        hp.plots.axis(runs, x="x", y="val_acc")


def test_what_is_read_stands_before_what_is_looked_up(sweep):
    runs = sweep(tree, depth=[2], seed=[0])

    names = ["depth", "kernel", "seed", "r2", "rmse", "status", "train_s", "code", "settings"]
    assert list(runs) == [*names, "key", "prov"]


# ------------------------------------------------------------------------ what is missing


def test_only_what_is_missing_is_called(sweep, tmp_path):
    called = counted(tmp_path)

    sweep(called, version="1", depth=[2, 4], seed=range(2))
    runs = sweep(called, version="1", depth=[2, 4, 8], seed=range(3))

    assert len(runs) == 9
    assert len(list(tmp_path.glob("*.0"))) == 9
    assert not list(tmp_path.glob("*.1"))


def cell(text, name, **names):
    """Return what a cell of a notebook defines, its source kept as IPython keeps it."""
    text, file = textwrap.dedent(text), f"<cell {len(linecache.cache)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = {"__name__": "__main__", **names}
    exec(compile(text, file, "exec"), space)
    return space[name]


TEXT = """
def helper(x):
    return x + {more}

def train(x):
    return {{"y": helper(x) * SCALE}}
"""


@pytest.mark.parametrize(
    ("more", "scale", "n_new"),
    [(1, 2.0, 0), (2, 2.0, 1), (1, 3.0, 1)],
    ids="same code value".split(),
)
def test_other_code_or_another_value_it_uses_is_called_anew(sweep, capsys, more, scale, n_new):
    before = sweep(cell(TEXT.format(more=1), "train", SCALE=2.0), x=3)

    runs = sweep(cell(TEXT.format(more=more), "train", SCALE=scale), x=3)

    assert before["y"].tolist() == [8.0]
    assert runs["y"].tolist() == [(3 + more) * scale]
    assert runs.attrs["n_new"] == n_new
    told = "1 recorded run of 'train' do not count here" in capsys.readouterr().err
    assert told == bool(n_new)


def test_a_version_stands_for_the_code(sweep):
    one, two = (cell(TEXT.format(more=more), "train", SCALE=1.0) for more in (1, 2))
    sweep(one, version="1", x=3)

    assert sweep(two, version="1", x=3)["y"].tolist() == [4.0]
    assert sweep(two, version="2", x=3)["y"].tolist() == [5.0]


def test_two_names_are_two_sweeps(sweep):
    sweep(tree, name="first", depth=[2])

    runs = sweep(tree, name="The 2nd!", depth=[2])

    assert runs.attrs["n_new"] == 1
    assert runs["code"].iloc[0].startswith("The 2nd! ")


def test_a_function_without_source_goes_by_its_bytecode_and_says_so(sweep):
    def made(text):
        space = {}
        exec(text, space)
        return space["train"]

    with pytest.warns(UserWarning, match='source of train cannot be read.*version="1"'):
        sweep(made("def train(x): return {'y': x}"), x=[1, 2])
    with pytest.warns(UserWarning, match="source of train"):
        same = sweep(made("def train(x): return {'y': x}"), x=[1, 2])
    with pytest.warns(UserWarning, match="source of train"):
        other = sweep(made("def train(x): return {'y': -x}"), x=[1, 2])

    assert same.attrs["n_new"] == 0
    assert other["y"].tolist() == [-1, -2]


def test_a_value_that_cannot_be_read_is_told(sweep):
    lock = threading.Lock()

    def guarded(x):
        with lock:
            return {"y": x}

    with pytest.warns(UserWarning, match="uses lock .lock.: the value cannot be read"):
        sweep(guarded, x=[1])


def test_cached_mode_calls_nothing(sweep, monkeypatch, capsys):
    sweep(tree, depth=[2])
    monkeypatch.setenv("HPLAB_MODE", "cached")

    runs = sweep(tree, depth=[2, 4])

    assert runs["depth"].tolist() == [2]
    assert runs.attrs == {"n_missing": 1, "n_new": 0}
    assert "1 of 2 runs of 'tree' are not recorded yet" in capsys.readouterr().out
    assert sweep(tree, depth=[16]).empty


def test_records_of_functions_are_none_of_trials(sweep, store):
    sweep(tree, depth=[2, 4])

    assert runner.everything(store=store).empty
    found = store.status()
    assert (found["records"], found["outdated"], found["data"]) == (2, 0, {"sweep-tree": 2})
    assert "sweep-tree  a function" in doctor.results(store)
    described = store.provenance
    assert "There are no records yet." in status.cost(store.records(), described)
    assert "sweep-tree" in status.records(store.records(), described)
    assert store.pack()
    assert len(Store(store.root, store.pending).status()["data"]) == 1


def test_what_it_ran_with_is_described(sweep, store):
    runs = sweep(tree, depth=[2])

    described = store.provenance(runs["prov"].iloc[0])

    assert described["numpy"] == np.__version__
    assert {"python", "platform", "device", "date", "hplab"} <= set(described)
    assert np.__version__ in hp.provenance(runs, store=store).text


def test_progress_counts_runs(sweep, capsys):
    sweep(tree, depth=[2, 4])

    assert "running tree: 2 of 2 runs" in capsys.readouterr().err


def test_the_time_left_is_told_from_the_second_result_on(monkeypatch, capsys):
    """Before the first one processes start, which says nothing of how long a run takes."""
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with progress.bar(3, "running it", "run") as tick:
        for _ in range(3):
            tick()
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "running it: 1 of 3 runs"
    assert second.startswith("running it: 2 of 3 runs, ")
    assert last == "running it: 3 of 3 runs, 0 s left"


def test_results_are_kept_while_others_still_run(sweep, store, monkeypatch):
    monkeypatch.setattr(writer, "PUT_FROM_S", 0.0)
    there = []

    def looks(x):
        there.append(Store(store.root, store.pending).status()["records"])
        return {"y": x}

    sweep(looks, version="1", x=range(4))

    assert there == [0, 1, 2, 3]


# ------------------------------------------------------------------------------- failures


def picky(depth, seed=0):
    if depth == 4 and seed < 2:
        raise ValueError(f"no depth {depth}")
    return {"x": depth + seed}


def test_a_failure_is_told_kept_apart_and_tried_again(sweep, store, capsys):
    runs = sweep(picky, version="1", depth=[2, 4], seed=range(3))

    said = capsys.readouterr().out
    assert "2 of 6 runs failed and are tried again the next time" in said
    assert "ValueError: no depth 4" in said
    assert "test_functions.py:" in said
    assert "at depth=4, seed=0" in said
    assert len(runs) == 4
    assert runs.attrs["n_missing"] == 2
    failed = store.failures()
    assert [(f["error"], f["seed"]) for f in failed] == [("ValueError", 0), ("ValueError", 1)]
    assert "raise ValueError" in failed[0]["traceback"]

    mended = sweep(
        lambda depth, seed: {"x": 0.0}, name="picky", version="1", depth=4, seed=range(3)
    )
    assert mended.attrs["n_new"] == 2
    assert store.failures() == []


def test_where_every_run_fails_the_first_is_raised_with_its_traceback(sweep):
    def broken(depth):
        return {"x": 1 / 0}

    with pytest.raises(HplabError, match="every run of 'broken' failed.*ZeroDivisionError") as info:
        sweep(broken, depth=[1, 2])
    assert 'return {"x": 1 / 0}' in info.value.__notes__[0]


def test_leaving_python_in_a_call_is_a_failure(sweep):
    with pytest.raises(HplabError, match="SystemExit"):
        sweep(lambda x: sys.exit(3), version="1", x=[1])


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def raises(error):
    raise error


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: {"y": 10**400}, "y is an integer too large for a number of 64 bits"),
        (lambda: raises(Speechless()), "Speechless: it cannot say why"),
        (lambda: raises(GeneratorExit()), "GeneratorExit"),
    ],
)
def test_a_call_that_fails_oddly_takes_no_other_with_it(sweep, store, wrong, said):
    runs = sweep(lambda x: wrong() if x == 2 else {"y": 1.0}, name="f", version="1", x=[1, 2, 3])
    assert runs["x"].tolist() == [1, 3]
    (failure,) = store.failures()
    assert said in f"{failure['error']}: {failure['message']}"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": 5}, "name must be text of at most 100 letters, got 5"),
        ({"name": "x" * 101}, "name must be text of at most 100 letters"),
        (
            {"store": "results"},
            "store must be a Store, or None for the project's own; got 'results'",
        ),
    ],
)
def test_a_name_or_a_store_that_is_none_is_refused(wrong, said):
    with pytest.raises(HplabError, match=said):
        hp.sweep(lambda x: {"y": x}, x=[1], version="1", jobs=1, **wrong)


# ------------------------------------------------------------------------------ elsewhere


def test_a_module_that_is_kept_from_import_hinders_no_other_machine(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "kept_away", None
    )  # as the command does with one of jsonschema's
    sent = tasks.Task(lambda x: {"y": 2.0 * x}, "f", "1").to_send_far()
    assert tasks.received(sent)({"x": 3})["final"] == {"y": 6.0}


def test_a_worker_whose_parent_is_gone_says_nothing():
    sent = cloudpickle.dumps(functools.partial(calls.call, len))
    asked = [sys.executable, "-c", workers._ASK]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(asked, **pipes) as process:
        process.stdout.close()  # nobody will read its answers
        pickle.dump(sent, process.stdin)
        process.stdin.flush()
        said = process.stderr.read()
    assert (process.returncode, said) == (1, b"")


def test_a_worker_that_only_starts_leaves_ctrl_c_to_its_parent():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('here')"
    before, _, _ = workers._ASK.rpartition("from hplab")
    done = subprocess.run(
        [sys.executable, "-c", before + code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    return hp.sweep(tree, jobs=1, store=Store(folder / "r", folder / "p"), **AXES)


AXES = {"depth": [2, 3, 4], "kernel": ["rbf", "poly"], "seed": range(3)}
POOLS = {
    "jobs": lambda: {"jobs": 2},
    "threads": lambda: {"executor": concurrent.futures.ThreadPoolExecutor(3)},
    "processes": lambda: {
        "executor": concurrent.futures.ProcessPoolExecutor(
            2, mp_context=__import__("multiprocessing").get_context("spawn")
        )
    },
}


@pytest.mark.parametrize("where", POOLS)
def test_the_table_is_the_same_wherever_it_was_made(store, expected, where):
    given = POOLS[where]()

    runs = hp.sweep(tree, store=store, **given, **AXES)

    if "executor" in given:
        given["executor"].shutdown()
    varies = ["train_s", "prov"]
    pd.testing.assert_frame_equal(runs.drop(columns=varies), expected.drop(columns=varies))


def test_a_function_of_a_notebook_reaches_the_workers(store):
    text = """
    def train(x, seed):
        return {"y": helper(x), "pid": os.getpid()}

    def helper(x):
        return SCALE * x
    """
    train = cell(text, "train", SCALE=3, os=os)

    runs = hp.sweep(train, x=[1, 2], seed=range(4), jobs=2, store=store)

    assert runs["y"].tolist() == [3] * 4 + [6] * 4
    assert os.getpid() not in set(runs["pid"])
    assert len(set(runs["pid"])) == 2


def test_what_cannot_be_sent_runs_here_and_says_so(store, capsys):
    lock = threading.Lock()

    def guarded(x):
        with lock:
            return {"pid": os.getpid()}

    runs = hp.sweep(guarded, version="1", x=[1, 2], jobs=2, store=store)

    assert set(runs["pid"]) == {os.getpid()}
    assert "one process runs everything: guarded cannot be sent" in capsys.readouterr().out


def test_an_executor_of_threads_calls_the_function_itself(store):
    lock, seen = threading.Lock(), []

    def guarded(x):
        with lock:
            seen.append(x)
        return {"y": x}

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        hp.sweep(guarded, version="1", x=range(5), executor=pool, store=store)

    assert sorted(seen) == list(range(5))


def test_a_killed_worker_takes_nobody_with_it(store, capsys):
    def deadly(x):
        if x == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"y": x}

    runs = hp.sweep(deadly, x=range(8), jobs=2, store=store)

    assert runs["x"].tolist() == [0, 1, 2, 4, 5, 6, 7]
    said = capsys.readouterr().out
    assert "1 of 8 runs failed" in said
    assert "killed by SIGKILL, twice at x=3" in said


def test_a_worker_that_was_killed_once_gets_another_chance(store, tmp_path):
    def unlucky(x):
        if x == 1 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"y": x}

    assert len(hp.sweep(unlucky, version="1", x=range(4), jobs=2, store=store)) == 4


def test_an_executor_that_breaks_keeps_what_is_finished(store, capsys):
    def deadly(x):
        if x == 2:
            time.sleep(0.3)
            os._exit(1)
        return {"y": x}

    context = __import__("multiprocessing").get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        runs = hp.sweep(deadly, x=range(5), executor=pool, store=store)

    assert runs["x"].tolist() == [0, 1]
    assert "the executor broke: 3 runs were lost" in capsys.readouterr().out


def test_workers_that_cannot_start_are_one_error(store, monkeypatch):
    monkeypatch.setattr(functions.Workers.__init__.__globals__["sys"], "executable", "/bin/false")

    with pytest.raises(HplabError, match="no worker process could start.*jobs=1 needs none"):
        hp.sweep(tree, depth=[1, 2], jobs=2, store=store)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_a_worker_that_is_killed_while_it_starts_takes_nobody_with_it(store, tmp_path, monkeypatch):
    die = f"""
import os
try:
    open({str(tmp_path / "once")!r}, "x")
except OSError:
    pass
else:
    os.kill(os.getpid(), 9)
"""
    monkeypatch.setattr(workers, "_ASK", die + workers._ASK)
    runs = hp.sweep(tree, depth=[1, 2, 3, 4], jobs=2, store=store)

    assert (tmp_path / "once").exists()
    assert len(runs) == 4
    assert store.failures() == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_workers_that_are_killed_whenever_they_start_are_one_error(store, monkeypatch):
    monkeypatch.setattr(workers, "_ASK", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(HplabError, match="no worker process could start: it was killed by SIGKILL"):
        hp.sweep(tree, depth=range(1, 20), jobs=2, store=store)


def test_a_function_whose_module_a_worker_cannot_import_says_so(store):
    module = type(os)("not_a_file")
    exec("def train(x): return {'y': x}", vars(module))
    sys.modules["not_a_file"] = module
    try:
        with pytest.raises(
            HplabError, match="cannot be had in a worker process.*not_a_file.*jobs=1"
        ):
            hp.sweep(module.train, version="1", x=[1, 2], jobs=2, store=store)
    finally:
        del sys.modules["not_a_file"]


def test_what_a_function_prints_does_not_disturb_its_worker(store, capfd):
    def talks(x):
        print("hello from", x)
        os.write(1, b"raw\n")
        return {"y": x}

    assert len(hp.sweep(talks, version="1", x=range(4), jobs=2, store=store)) == 4
    assert "hello from 3" in capfd.readouterr().err


def test_workers_share_the_cores(store, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def threads(x):
        return {"n": int(os.environ["OMP_NUM_THREADS"])}

    runs = hp.sweep(threads, version="1", x=[1, 2], jobs=6, store=store)

    assert runs["n"].tolist() == [3, 3]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    again = hp.sweep(threads, version="2", x=[1, 2], jobs=6, store=store)
    assert again["n"].tolist() == [7, 7]


# --------------------------------------------------------------------------- interruptions


def test_ctrl_c_keeps_what_is_finished(sweep, tmp_path):
    def stops(x):
        if x == 2 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        return {"y": x}

    with pytest.raises(KeyboardInterrupt, match="2 of the 4 runs .* are finished and kept"):
        sweep(stops, version="1", x=range(4))

    assert sweep(stops, version="1", x=range(4)).attrs["n_new"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_ctrl_c_leaves_no_calls_waiting_in_an_executor(store):
    seen = []

    def stops(x):
        seen.append(x)
        if x == 3:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.2)
        return {"y": x}

    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        pytest.raises(KeyboardInterrupt, match="Stopped: [23] of the 20"),
    ):
        hp.sweep(stops, version="1", x=range(20), executor=pool, store=store)
    assert len(seen) < 8


SCRIPT = """
    import os, sys, time
    from pathlib import Path
    import hplab as hp
    from hplab.sweeps import store
    here = Path(sys.argv[1])

    def train(x):
        (here / f"pid-{os.getpid()}").touch()
        time.sleep(0.2 if x < 4 else 60)
        return {"y": x}

    runs = hp.sweep(train, x=range(8), jobs=2, store=store.Store(here / "r", here / "p"))
    print(len(runs))
"""


def n_in_journals(folder):
    return sum(len(path.read_bytes().split()) for path in (folder / "journal").glob("*.jsonl"))


def started(tmp_path):
    """Start a script that has no guard and never ends, and wait until four runs are kept.

    They are worth too little to be stored yet: the journal holds them.
    """
    script = tmp_path / "sweep.py"
    script.write_text(textwrap.dedent(SCRIPT))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    call = [sys.executable, script, tmp_path]
    process = subprocess.Popen(call, start_new_session=True, **pipes)
    while process.poll() is None and n_in_journals(tmp_path) < 4:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    return process, [int(path.name[4:]) for path in tmp_path.glob("pid-*")]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = pathlib.Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def gone_within(pids, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(map(is_alive, pids)):
        time.sleep(0.05)
    return not any(map(is_alive, pids))


def test_nothing_listens_while_workers_are_at_work(tmp_path):
    process, workers = started(tmp_path)
    try:
        assert len(workers) == 2
        for pid in (process.pid, *workers):
            assert psutil.Process(pid).net_connections("inet") == []
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_script_that_is_stopped_keeps_what_is_finished_and_leaves_no_process(tmp_path, how):
    process, workers = started(tmp_path)
    assert process.pid not in workers
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: everybody gets it
    else:
        process.kill()

    said = process.communicate(timeout=30)[1]

    assert gone_within(workers, 5.0)
    assert Store(tmp_path / "r", tmp_path / "p").status()["records"] == 4
    if how == signal.SIGINT:
        assert "Stopped: 4 of the 8 runs" in said
        assert "\nKeyboardInterrupt" not in said  # of a worker
        assert "Traceback" not in said
        assert process.returncode == 130


def test_an_error_of_the_script_after_a_stop_keeps_its_traceback(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from hplab.errors import Stopped, stopped
        try:
            raise stopped("Stopped: 1 of 2")
        except Stopped:
            raise ValueError("mine")
        """)
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 2
    assert ended.stderr.rstrip().endswith("ValueError: mine")


# ------------------------------------------------------------------------- other libraries


def test_numpy_alone_needs_no_torch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        import numpy as np
        import hplab as hp
        from hplab.sweeps.store import Store

        def train(depth, seed):
            assert "torch" not in sys.modules
            for epoch in range(2):
                yield {"rmse": float(np.random.default_rng(seed).normal()) / depth}

        store = Store(sys.argv[1] + "/r", sys.argv[1] + "/p")
        runs = hp.sweep(train, depth=[1, 2], seed=range(2), jobs=int(sys.argv[2]), store=store)
        hp.curves(runs, store=store)
        print(len(runs), "torch" in sys.modules, store.provenance(runs["prov"][0]).get("torch"))
        """)
    )
    for jobs in ("1", "2"):
        call = [sys.executable, script, tmp_path / jobs, jobs]
        done = subprocess.run(call, capture_output=True, text=True)
        assert done.stdout.split() == ["4", "False", "None"], done.stderr


def test_scikit_learn_is_swept_and_described(sweep, store):
    pytest.importorskip("sklearn")

    def train(depth, seed):
        from sklearn.datasets import load_iris
        from sklearn.model_selection import train_test_split
        from sklearn.tree import DecisionTreeClassifier

        x, y = load_iris(return_X_y=True)
        parts = train_test_split(x, y, random_state=seed, stratify=y)
        model = DecisionTreeClassifier(max_depth=depth, random_state=seed).fit(parts[0], parts[2])
        return {"val_acc": model.score(parts[1], parts[3])}

    runs = sweep(train, depth=[1, None], seed=range(4))

    mean = runs.groupby(runs["depth"].isna())["val_acc"].mean()
    assert mean[True] > 0.85 > mean[False]
    assert "sklearn" in store.provenance(runs["prov"].iloc[0])["libraries"]


@pytest.mark.slow
def test_what_a_worker_imports_is_described(store):
    def train(x):
        import sklearn.linear_model
        import torch

        model = sklearn.linear_model.LinearRegression().fit([[0], [1]], [0, x])
        return {"y": torch.tensor(model.coef_[0]) * 2}

    runs = hp.sweep(train, x=[1, 2], jobs=2, store=store)

    import sklearn
    import torch

    assert runs["y"].round(6).tolist() == [2, 4]
    [prov] = {*runs["prov"]}
    described = store.provenance(prov)
    assert described["torch"] == str(torch.__version__)
    assert described["libraries"]["sklearn"] == sklearn.__version__
