"""Early stopping: what is stopped, and that a stopped run counts nowhere."""

import math
import textwrap

import pytest

import hplab as hp
from hplab.pages.figures import explorer_data
from hplab.pages.tables import swept
from hplab.sweeps import calls, foreign, sweepfile, sweepruns
from hplab.sweeps.stopping import Board, Rule
from hplab.sweeps.store import default_store

HALVING = "early_terminate: {type: hyperband, min_iter: 2, eta: 2, strict: true}"
YIELDS = """
    def train(lr, seed=0):
        for epoch in range(1, 9):
            yield {"loss": lr + 1 / epoch + 0.001 * seed}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with records of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    return tmp_path


def given(folder, source=YIELDS, values="[0.1, 0.2, 0.3, 0.05]", rest=HALVING):
    (folder / "job.py").write_text(textwrap.dedent(source))
    path = folder / "sweep.yaml"
    path.write_text(
        f"program: job.py\nmethod: grid\nparameters: {{lr: {{values: {values}}}}}\n"
        f"metric: {{name: loss}}\n{rest}\n"
    )
    return sweepfile.read(path)


def run(file, n_seeds=None, **kwargs):
    with sweepruns.prepared(file, n_seeds=n_seeds, jobs=1) as job:
        return sweepruns.run(file, job, n_seeds=n_seeds, jobs=1, **kwargs)


# ----------------------------------------------------------------------------------- its rules


def test_hyperband_keeps_the_best_one_in_eta_at_each_rung(tmp_path):
    board = Board(Rule("hyperband", "loss", min_iter=2, eta=2.0, strict=True), tmp_path)
    ends = {}
    for level in (3.0, 4.0, 1.0, 2.0):
        epochs = []
        while len(epochs) < 9:
            epochs.append({"loss": level})
            if board(epochs):
                break
        ends[level] = len(epochs)
    # 3 is first; 4 is the worse of two; 1 beats what came; 2 is second of four, where two go on,
    # and at the next rung second of three, where again two do.
    assert ends == {3.0: 9, 4.0: 2, 1.0: 9, 2.0: 9}


@pytest.mark.parametrize(
    ("strict", "n_kept"),
    [(True, [1, 1, 1, 2, 2, 2, 3]), (False, [1, 1, 2, 2, 2, 3, 3])],
)
def test_how_many_may_go_on(strict, n_kept):
    """Of n runs n / 3: rounded up where it is strict; else down, and one more, as in W&B."""
    rule = Rule("hyperband", "loss", eta=3.0, strict=strict)
    for n, kept in enumerate(n_kept, 1):
        good = [not rule.is_bad([i], [x for x in range(n) if x != i]) for i in range(n)]
        assert good == [i < min(kept, n) for i in range(n)]


def test_the_median_rule_waits_for_others_and_stops_what_was_never_better():
    rule = Rule("median", "loss", min_iter=3, min_runs=3)
    assert [rule.looks(i) for i in (1, 2, 3, 4)] == [False, False, True, True]
    assert not rule.is_bad([9.0], [1.0, 2.0])  # too few others
    assert rule.is_bad([9.0, 2.5], [1.0, 2.0, 3.0])
    assert not rule.is_bad([1.5, 9.0], [1.0, 2.0, 3.0])  # it was better once
    assert not rule.is_bad([2.0], [1.0, 2.0, 3.0])


def test_larger_is_better_where_the_goal_says_so(tmp_path):
    up = Rule("hyperband", "acc", maximize=True, min_iter=1, eta=2.0, strict=True)
    board = Board(up, tmp_path)
    assert [board([{"acc": acc}]) for acc in (0.5, 0.4, 0.6)] == [False, True, False]


def test_epochs_without_the_metric_or_with_nan_are_not_looked_at(tmp_path):
    rule = Rule("hyperband", "loss", min_iter=1, eta=2.0, strict=True)
    board = Board(rule, tmp_path)
    assert not board([{"loss": 1.0}])
    assert not board([{"other": 3.0}])
    assert not board([{"loss": math.nan}])
    assert board([{"loss": math.nan}, {"loss": 2.0}])


def test_a_generator_that_is_stopped_is_closed_and_says_where():
    closed = []

    def train(lr):
        try:
            for epoch in range(1, 9):
                yield {"loss": lr / epoch}
        finally:
            closed.append(lr)

    answer = calls.call(train, {"lr": 6.0}, lambda epochs: len(epochs) == 3)
    assert (answer["status"], answer["at"]) == ("stopped", {"epoch": 3})
    assert answer["curves"] == {"loss": [6, 3, 2]}
    assert closed == [6.0]


def test_a_run_that_ends_at_a_rung_has_its_result_though_it_is_bad():
    def train(lr):
        yield {"loss": lr}
        return {"loss": 7.0}

    assert calls.call(train, {"lr": 1.0}, lambda epochs: False)["final"] == {"loss": 7.0}


# ---------------------------------------------------------------------- stopped runs are apart


def test_stopped_runs_are_shown_as_such_and_have_no_result(here, capsys):
    file = given(here)
    found = run(file)

    runs = found.runs
    assert runs["status"].tolist() == ["ok", "stopped", "stopped", "ok"]
    assert runs["loss"].isna().tolist() == [False, True, True, False]
    curves = hp.curves(runs)
    assert curves.groupby("lr")["epoch"].max().to_dict() == {0.05: 8, 0.1: 8, 0.2: 2, 0.3: 2}
    said = swept.outcome(file, found)
    assert "2 finished, 2 stopped early (no results: what they would have come to" in said
    assert [line.split() for line in said.splitlines()[-5:-3]] == [
        ["0.2", "-", "0", "1"],
        ["0.3", "-", "0", "1"],
    ]
    assert "the best finished run: loss 0.175 at lr=0.05\n" in said


def test_they_are_not_run_again_under_the_rule_and_run_to_the_end_without_it(here):
    run(given(here))
    assert run(given(here)).runs.attrs["n_new"] == 0

    whole = run(given(here, rest="")).runs
    assert whole.attrs["n_new"] == 2  # those that finished are taken as they are
    assert whole["status"].tolist() == ["ok"] * 4
    assert run(given(here)).runs["status"].tolist() == ["ok"] * 4  # a result is a result


def test_what_was_recorded_counts_when_a_sweep_goes_on(here):
    run(given(here, values="[0.1]"))
    assert run(given(here, values="[0.3, 0.05]")).runs["status"].tolist() == ["ok", "ok"]
    again = run(given(here, values="[0.1, 0.2]")).runs
    assert again["status"].tolist() == ["ok", "stopped"]


def test_a_script_that_is_stopped_is_ended(here):
    source = """
        import sys, time
        lr = float(sys.argv[1].partition("=")[2])
        for epoch in range(1, 9):
            print(f"loss={lr + 1 / epoch}")
            if lr > 0.15 and epoch == 2:
                time.sleep(30)
        open(f"ended-{lr}", "w")
    """
    runs = run(given(here, source)).runs
    assert runs["status"].tolist() == ["ok", "stopped", "stopped", "ok"]
    assert sorted(path.name for path in here.glob("ended-*")) == ["ended-0.05", "ended-0.1"]


def test_a_function_that_gives_its_result_at_once_cannot_be_stopped_and_that_is_told(here, capsys):
    runs = run(given(here, "def train(lr):\n    return {'loss': lr}\n")).runs
    assert set(runs["status"]) == {"ok"}
    assert "so early_terminate never stops it" in capsys.readouterr().err


def test_runs_of_worker_processes_are_stopped_too(here):
    file = given(here, values="[0.1, 0.2, 0.3, 0.4, 0.5]")
    with sweepruns.prepared(file, jobs=2) as job:
        runs = sweepruns.run(file, job, jobs=2).runs
    assert runs["status"].tolist() == ["ok"] + ["stopped"] * 4


# ----------------------------------------------------------------------- nothing averages them


def half_stopped(here):
    """Two settings with six seeds: of the second, the bad half is stopped."""
    source = """
        def train(lr, seed=0):
            for epoch in range(1, 5):
                bad = lr > 0.1 and seed > 2
                yield {"loss": 1 / epoch + 0.01 * lr * seed + (0.5 if bad else 0.1 - lr)}
    """
    rest = "early_terminate: {type: median, min_iter: 2, min_runs: 6}"
    return run(given(here, source, values="[0.1, 0.12]", rest=rest), n_seeds=6).runs


def test_a_verdict_on_stopped_runs_is_refused(here):
    """The three that finished are better than any of the other setting; the six are not."""
    runs = half_stopped(here)
    assert runs["status"].tolist() == ["ok"] * 9 + ["stopped"] * 3
    fine = runs[runs["status"] == "ok"]
    assert fine.groupby("lr")["loss"].mean().diff().iloc[-1] < 0

    verdict = hp.judge(runs, "loss at lr=0.12 beats lr=0.1")
    assert verdict.outcome == "inconclusive"
    said = "3 of 6 runs at lr 0.12 were pruned, for doing badly; those that finished cannot speak"
    assert verdict.why_open.startswith(said)
    assert hp.judge(fine, "loss at lr=0.12 beats lr=0.1").outcome != "inconclusive"


def test_figures_and_means_leave_them_out_and_say_so(here):
    runs = half_stopped(here)
    n = int((runs["status"] == "stopped").sum())
    figure = hp.plots.axis(runs, x="lr", y="loss")
    assert f"{n} runs stopped early for doing badly and left out" in figure.caption
    fine = runs[runs["status"] == "ok"]
    means = figure.data.set_index("lr")
    for lr, part in fine.groupby("lr"):
        assert means.loc[lr, "mean"] == pytest.approx(part["loss"].mean())
        assert means.loc[lr, "n"] == len(part)

    lines = hp.plots.learning_curves(hp.curves(runs), y="loss", by="lr")
    assert f"{n} runs stopped early for doing badly and left out" in lines.caption
    at = lines.data.groupby("lr")["n"].agg(["min", "max"])  # over all epochs
    assert at.to_numpy().tolist() == [[6, 6], [3, 3]]


def test_the_explorer_gets_the_curve_of_a_stopped_run_up_to_where_it_was_and_its_mark(here):
    """The script draws it by itself, as is tested in a browser."""
    runs = half_stopped(here)
    records = [default_store().get(key) for key in runs["key"]]
    data = explorer_data.of_table(runs, curves=[record["curves"] for record in records])
    assert data["ended"] == dict.fromkeys(map(str, range(9, 12)), "stopped")
    curves = data["curves"]["series"]["loss"]
    assert [len(curve) for curve in curves] == [len(record["curves"]["loss"]) for record in records]
    assert max(map(len, curves[9:])) < min(map(len, curves[:9]))


def test_a_table_of_runs_read_elsewhere_keeps_them_apart(here):
    runs = half_stopped(here)
    table = foreign.of(runs)
    assert set(table.runs["status"]) == {"ok"}
    assert set(table.left_out["state"]) == {"pruned"}


def test_the_store_keeps_them_under_a_key_of_their_own(here):
    run(given(here))
    heads = list(default_store().heads())
    by = {head["config"]["point"]["lr"]: head for head in heads}
    assert "hyperband" in by[0.2]["config"]["stopped_by"]
    assert "stopped_by" not in by[0.1]["config"]


def test_a_bayesian_search_takes_a_stopped_run_for_no_result(here):
    pytest.importorskip("optuna")
    path = given(here).path
    path.write_text(
        path.read_text()
        .replace("grid", "bayes")
        .replace("{values: [0.1, 0.2, 0.3, 0.05]}", "{min: 0.0, max: 1.0}")
        + "run_cap: 12\n"
    )
    first = run(sweepfile.read(path)).runs
    assert set(first["status"]) == {"ok", "stopped"}
    again = run(sweepfile.read(path)).runs
    assert again.attrs["n_new"] == 0
    assert again["lr"].tolist() == first["lr"].tolist()
