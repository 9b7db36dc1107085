"""What `hplab report` writes and prints, and how it ranks settings."""

import json
import re
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats
from synthetic_runs import make_runs

import hplab as hp
from hplab import cli
from hplab.errors import HplabError
from hplab.pages.figures import ranking
from hplab.pages.site import sweep_report
from hplab.pages.tables import best as ranked
from hplab.pages.tables.best import best
from hplab.sweeps import foreign

EVIL = "<script>alert(1)</script>"
TRAIN = """
import math

def train(lr, width, seed=0):
    for epoch in range(1, 4):
        score = -(math.log10(lr) + 2) ** 2 + 0.01 * ((seed * 7) % 5) + width / 1000 - 1 / epoch
        yield {"score": score}
"""
SWEEP = """
program: train.py
method: grid
metric: {name: score, goal: maximize}
parameters:
  lr: {values: [0.001, 0.01]}
  width: {values: [8, 16]}
"""


@pytest.fixture
def runs():
    parts = [
        make_runs((1e-4, 1e-3, 1e-2), 4, batch_size=size, n_diverged=2 * (size == 32))
        for size in (32, 64)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A folder with a sweep file and its program; what is run there is recorded there."""
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HPLAB_JOBS", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return tmp_path


def said(*words):
    found = CliRunner().invoke(cli.cli, list(map(str, words)))
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.output


def csv_of(text):
    [link] = re.findall(r'href="data:text/csv;charset=utf-8,([^"]*)"', text)
    return unquote(link).splitlines()


def panels_of(text):
    """Return what the panels of a page draw."""
    [found] = re.findall(r'data-for="panels">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


# ---------------------------------------------------------------------------------- the ranking


def test_settings_are_ranked_by_their_means_and_single_runs_come_after_several(runs):
    lucky = runs.iloc[[0]].assign(batch_size=128, val_acc=0.9999)
    found = best(pd.concat([runs, lucky], ignore_index=True), "val_acc", 1)
    kinds = found.table["kind"].tolist()
    assert kinds == [ranked.WHOLE] * 5 + [ranked.LOST, ranked.SINGLE]
    whole = found.table["mean"][:5]
    assert whole.is_monotonic_decreasing
    assert best(runs, "val_loss", -1).table["mean"][:5].is_monotonic_increasing
    assert found.sentence.startswith(f"The best mean is {100 * whole[0]:.2f} % (95 % interval")
    assert "2 settings cannot be compared: run once, or with runs that diverged" in found.sentence
    assert found.shown["runs"][5] == "2 (and 2 diverged)"


def test_a_setting_with_a_run_that_gave_no_number_is_not_the_best_and_that_is_said(runs):
    table = foreign.of(runs[["lr", "batch_size", "seed", "val_acc"]].dropna().assign(epoch=1))
    names = ["lr", "batch_size"]
    top = best(sweep_report.panel_runs(table, "val_acc"), "val_acc", 1).table.iloc[0][names]
    first = table.runs.index[(table.runs[names] == top).all(axis=1)]
    table.runs.loc[table.runs.loc[first, "val_acc"].idxmin(), "val_acc"] = np.nan
    shown = sweep_report.panel_runs(table, "val_acc")
    assert (shown["status"] == ranked.NO_RESULT).sum() == 1
    found = best(shown, "val_acc", 1)
    assert found.table["kind"].tolist().count(ranked.LOST) == 1
    assert not (found.table.iloc[0][names] == top).all()
    assert re.search(
        r"is better, .*, but it is not called the best; of its \d runs 1 gave no result \(NaN\)",
        found.sentence,
    )
    lost = found.table["kind"].tolist().index(ranked.LOST)
    assert found.shown["runs"][lost].endswith("(and 1 no result (NaN))")


def test_p_values_are_those_of_the_pairs_corrected_for_all_of_them(runs):
    found = best(runs, "val_acc", 1).table
    values = [runs["val_acc"].to_numpy()[at] for at in found["rows"]]
    pairs = 5 * 4 / 2
    for i in range(1, 5):
        p = stats.ttest_rel(values[0], values[i]).pvalue
        assert found["p"][i] == pytest.approx(min(1, pairs * p))
    unpaired = best(runs.assign(seed=range(len(runs))), "val_acc", 1).table
    for i in range(1, 5):
        p = stats.ttest_ind(values[0], values[i], equal_var=False).pvalue
        assert unpaired["p"][i] == pytest.approx(min(1, pairs * p))
    assert np.isnan(found["p"][5])
    assert np.isnan(found["p"][0])


def test_nothing_is_sure_where_no_result_scatters():
    """As in a function that takes a seed and does not use it; `hp.judge` leaves it open too."""
    runs = pd.DataFrame({"lr": [1, 1, 2, 2, 3, 3], "seed": range(6), "acc": [0.9] * 4 + [0.8] * 2})
    for one in (runs, runs.assign(seed=[0, 1] * 3)):
        found = best(one, "acc", 1)
        assert found.table["p"].tolist()[1:] == [1.0, 1.0]
        assert "none of the 2 other settings is surely worse" in found.sentence
        assert "3 settings have the same result at every seed" in found.sentence


def test_of_settings_that_were_run_once_none_is_the_best(runs):
    found = best(runs[runs["seed"] == 3], "val_acc", 1)
    assert "run once, so none is called the best" in found.sentence
    assert "best mean" not in found.sentence
    assert (found.shown["95 % interval"] == "").all()
    assert "beside the first" not in found.shown


@pytest.mark.parametrize(
    ("n", "sure", "said"),
    [
        (
            1,
            0,
            " But the one other setting is not surely worse (HOW): these runs do not tell which",
        ),
        (3, 0, " But none of the 3 other settings is surely worse (HOW): these runs do not"),
        (3, 3, " Of 3 other settings 3 are surely worse (HOW)."),
        (
            3,
            1,
            " Of 3 other settings 1 is surely worse (HOW); whether the other 2 are worse, these",
        ),
        (3, 2, " Of 3 other settings 2 are surely worse (HOW); whether the other one is worse, th"),
    ],
)
def test_what_is_sure_and_what_is_not_is_one_sentence(n, sure, said):
    text = ranked._worse(n, sure).replace("p < 0.05, corrected for all pairs", "HOW")
    assert text.startswith(said)
    assert text.endswith(".")


def test_no_mean_at_all_is_told(runs):
    found = best(runs.assign(status="diverged", val_acc=np.nan), "val_acc", 1)
    assert found.sentence.startswith("No setting has a mean")


def lines_of(figure):
    """Return what a figure of settings draws: (marker, hollow, x) of each line, row by row."""
    [ax] = figure.figure.axes
    rows = {}
    for line in ax.lines:
        if len(line.get_xdata()):
            rows.setdefault(round(max(line.get_ydata()) + ranking.ASIDE / 2), []).append(line)
    return rows


def test_the_best_settings_are_drawn_with_their_intervals(runs):
    """Every row is the mean, the interval and the runs of the setting that the table has there."""
    found = best(runs, "val_acc", 1)
    figure = ranking.of(found.table, ["lr", "batch_size"], "val_acc", alpha=0.05)
    rows = lines_of(figure)
    assert len(rows) == len(found.table) == 6
    for at, row in enumerate(found.table.to_dict("records")):
        dots, bar, mean = rows[at]
        np.testing.assert_allclose(sorted(dots.get_xdata()), 100 * np.sort(row["values"]))
        np.testing.assert_allclose(bar.get_xdata(), [100 * row["low"], 100 * row["high"]])
        np.testing.assert_allclose(mean.get_xdata(), [100 * row["mean"]])
        is_hollow = mean.get_markerfacecolor() != mean.get_color()
        assert is_hollow == (row["p"] < 0.05)
    assert any(found.table["p"] < 0.05)
    assert "each by its learning rate and batch size" in figure.caption
    assert "n = 2 to 4 seeds a setting" in figure.caption


def test_single_runs_are_drawn_without_an_interval_and_what_has_no_mean_is_not(runs):
    one = best(runs[runs["seed"] == 3], "val_acc", 1).table
    figure = ranking.of(one, ["lr", "batch_size"], "val_acc", alpha=0.05)
    assert {len(lines) for lines in lines_of(figure).values()} == {1}
    assert "each was run once, so there is no interval" in figure.caption
    stopped = runs.assign(status=["stopped"] + ["ok"] * 23)
    figure = ranking.of(best(stopped, "val_acc", 1).table, ["lr"], "val_acc", alpha=0.05)
    assert len(lines_of(figure)) == 5
    assert figure.caption.startswith("The first 5 of 6 settings")
    nothing = best(runs.assign(status="stopped"), "val_acc", 1).table
    assert "No setting has a mean" in ranking.of(nothing, [], "val_acc", alpha=0.05).text


# ------------------------------------------------------------------------------------- the page


def test_the_page_stands_alone_and_has_it_all(runs):
    found = sweep_report.report("runs.csv", foreign.of(runs))
    for part in ("The best settings", "What matters", "Panels", "The runs"):
        assert f"<h2>{part}</h2>" in found.html
    assert "mean validation accuracy, the best first" in found.html
    assert "default-src 'none'" in found.html
    assert not re.search(r'(?:src|href)="(?!data:|#)', found.html)
    assert found.html.count('class="hp-explorer-data"') == 1
    assert len(csv_of(found.html)) == 1 + len(runs)
    assert "Of val_acc, more is better. The best mean is" in found.text
    assert "Share of the variance of val_acc: lr" in found.text


def test_names_and_values_are_never_markup(runs):
    evil = pd.DataFrame(
        {
            f"config.{EVIL}": [EVIL, "b"] * 12,
            "config.lr": runs["lr"],
            "run_name": EVIL,
            "State": [EVIL, *["finished"] * 23],
            f"summary.{EVIL}_acc": runs["val_acc"],
        }
    )
    page = sweep_report.report(EVIL, foreign.of(evil)).html
    assert "alert(1)" in page
    assert EVIL not in page
    assert (
        page.count("<script") == page.count("</script>") == 3
    )  # the theme, the data, the explorer


def test_runs_that_failed_or_were_stopped_are_told_and_never_averaged():
    rows = [
        {"config.lr": lr, "config.seed": seed, "summary.val_acc": 0.9 + lr + seed / 100}
        for lr in (0.01, 0.02, 0.03)
        for seed in range(4)
    ]
    table = pd.DataFrame(rows).assign(State="finished")
    table.loc[0, ["State", "summary.val_acc"]] = ["crashed", 0.1]
    table.loc[4, ["State", "summary.val_acc"]] = ["pruned", 0.2]
    found = sweep_report.report("runs.csv", foreign.of(table))
    runs = sweep_report.panel_runs(foreign.of(table))
    assert runs["status"].value_counts().to_dict() == {"ok": 10, "crashed": 1, "stopped": 1}
    shown = best(runs, "val_acc", 1).table.set_index("lr")
    assert shown["mean"][0.01] == pytest.approx(0.93)  # seeds 1 to 3
    assert shown["n"][0.01] == 3
    assert np.isnan(shown["mean"][0.02])
    assert "run the best few to their end: no early_terminate" in found.text
    told = best(runs, "val_acc", 1).shown.set_index("learning rate")
    assert told["runs"].to_dict() == {
        "0.03": "4",
        "0.01": "3 (and 1 crashed)",
        "0.02": "3 (and 1 stopped early)",
    }
    assert '"ended":{"0":"crashed","4":"stopped"}' in found.html
    assert "left out, as they did not finish: 1 crashed, 1 stopped early" in found.html


def test_a_metric_whose_better_side_is_not_known_is_not_ranked(runs):
    table = foreign.of(
        runs.assign(score=runs["val_acc"])[["lr", "seed", "score"]], metrics=["score"]
    )
    found = sweep_report.report("runs.csv", table)
    assert "say it: --better higher" in found.text
    assert "The best mean" not in found.html
    assert "The best mean" in sweep_report.report("runs.csv", table, better=1).text


def test_one_setting_alone_makes_a_page_too(runs):
    alone = runs[(runs["lr"] == 1e-3) & (runs["batch_size"] == 64)]
    found = sweep_report.report("runs.csv", foreign.of(alone))
    assert "no hyperparameter varies in 4 runs" in found.text
    assert "nothing to draw" in found.html


def test_curves_of_a_table_are_in_the_panels():
    rows = [
        {
            "run_id": f"{lr} {seed}",
            "config.lr": lr,
            "config.seed": seed,
            "epoch": epoch,
            "metrics.acc": e,
        }
        for lr in (0.1, 0.2)
        for seed in range(2)
        for epoch, e in ((1, 0.5), (2, lr))
    ]
    page = sweep_report.report("runs.csv", foreign.of(pd.DataFrame(rows))).html
    assert '"series":{"acc":[[0.5,0.1],[0.5,0.1],[0.5,0.2],[0.5,0.2]]}' in page


# ------------------------------------------------------------------------------------ the command


def test_a_sweep_writes_the_report_at_its_end_and_report_writes_it_again(sweep):
    said("sweep", "sweep.yaml", "--seeds", 3, "--html", "end.html")
    first = (sweep / "end.html").read_text(encoding="utf-8")
    output = said("report", "sweep.yaml")
    again = (sweep / "sweep.html").read_text(encoding="utf-8")
    for page in (first, again):
        assert len(csv_of(page)) == 1 + 12
        assert '"series":{"score":' in page
    assert "Of score, more is better. The best mean is" in output
    assert "at learning rate 0.01 and width 16" in output
    assert "wrote sweep.html" in output


def test_report_takes_runs_of_the_code_as_it_is_and_runs_nothing(sweep):
    said("sweep", "sweep.yaml", "--seeds", 2, "--code", "1")
    with pytest.raises(HplabError, match="no run of 'train' .* is recorded here"):
        said("report", "sweep.yaml")
    assert "score" in said("report", "sweep.yaml", "--code", "1")


def test_report_takes_a_sweep_by_its_name(sweep):
    """Runs of two versions of its code are not mixed: one is named."""

    def fit(width, seed):
        return {"val_acc": width / 100 + seed / 1000}

    hp.sweep(fit, width=[8, 16], seed=range(5), version="1", jobs=1)
    hp.sweep(fit, width=[8, 16], seed=range(2), version="2", jobs=1)
    told = r"'fit version 2' \(4 runs, [-\d]+, the newest\), 'fit version 1' \(10 runs, [-\d]+\)"
    with pytest.raises(HplabError, match=rf"say which: {told}"):
        said("report", "fit")
    assert "wrote fit version 1.html" in said("report", "fit version 1")
    said("report", "fit", "--code", "1", "--html", "fit.html")
    assert len(csv_of((sweep / "fit.html").read_text(encoding="utf-8"))) == 1 + 10
    said("report", "fit", "--code", "2", "--html", "fit.html")
    assert len(csv_of((sweep / "fit.html").read_text(encoding="utf-8"))) == 1 + 4
    with pytest.raises(HplabError, match="unknown sweep 'fitt'.*fit"):
        said("report", "fitt")


def test_the_goal_of_a_sweep_file_is_that_of_its_own_metric(sweep):
    """Not that of another metric which is asked about."""
    program = TRAIN.replace('{"score": score}', '{"score": score, "val_acc": 0.9 + score / 100}')
    (sweep / "train.py").write_text(program)
    (sweep / "sweep.yaml").write_text(SWEEP.replace("maximize", "minimize"))
    said("sweep", "sweep.yaml", "--seeds", 2)
    assert "Of score, less is better" in said("report", "sweep.yaml")
    assert "Of score, less is better" in said("report", "sweep.yaml", "--metric", "score")
    assert "Of val_acc, more is better" in said("report", "sweep.yaml", "--metric", "val_acc")


def test_a_sweep_file_is_judged_and_exported_as_it_is(sweep):
    """By its metric and goal, with --code as for `hplab sweep`; its name is the nearest match."""
    (sweep / "sweep.yaml").write_text(SWEEP.replace("maximize", "minimize"))
    said("sweep", "sweep.yaml", "--seeds", 4, "--code", "1")
    code = ("--code", "1")
    told = said("judge", "sweep.yaml", *code)
    assert "surely worse" in told
    assert "lr: 1e-3 has the best" in told  # less is better
    question = "lr=0.001 beats lr=0.01 by 0.5 where width=16"
    told = said("judge", "sweep.yaml", question, *code)
    assert told == said("judge", "train", question, "--better", "lower", *code)
    assert "Inconclusive: " in told  # one difference at every seed says nothing of luck
    said("export", "sweep.yaml", "a.csv", "--to", "csv", *code)
    said("export", "train", "b.csv", "--to", "csv", *code)
    assert (sweep / "a.csv").read_text() == (sweep / "b.csv").read_text()
    assert len(pd.read_csv(sweep / "a.csv")) == 16


@pytest.mark.parametrize("command", ["report", "judge", "export"])
def test_what_is_not_there_is_told_with_the_nearest(sweep, command):
    more = ("out.csv", "--to", "csv") if command == "export" else ()
    said("sweep", "sweep.yaml", "--code", "1")
    (sweep / "mine.csv").write_text("lr,acc\n1,2\n")
    for given, line in (
        (("swep.yaml",), "cannot read swep.yaml: No such file or directory; did you mean 'sweep.y"),
        (("mina.csv",), "there is no file 'mina.csv'; did you mean 'mine.csv'"),
        (("trian",), "unknown sweep 'trian' in what is recorded; known: train; did you mean 'trai"),
        (("sweep.yaml",), "no run of 'train' .* 4 recorded runs of 'train' do not count here"),
        (("train", "--code", "2"), "unknown code 'version 2' in what is recorded of 'train'"),
        (("mine.csv", "--code", "2"), "--code is about a sweep, and mine.csv is a table of runs"),
    ):
        with pytest.raises(HplabError, match=line):
            said(command, *given, *more)


def test_report_has_stopped_runs_as_such(sweep):
    stopping = "early_terminate: {type: median, min_iter: 1, min_runs: 2}\n"
    (sweep / "sweep.yaml").write_text(SWEEP + stopping)
    said("sweep", "sweep.yaml", "--seeds", 3, "--html", "end.html")
    said("report", "sweep.yaml")
    for name in ("end.html", "sweep.html"):
        page = (sweep / name).read_text(encoding="utf-8")
        assert len(csv_of(page)) == 1 + 12
        [told] = re.findall(r"left out, as they did not finish: (\d+) stopped early", page)
        panels = panels_of(page)
        assert len(panels["ended"]) == int(told)
        curves = panels["curves"]["series"]["score"]
        assert [len(curve) for curve in curves] == [
            1 if str(row) in panels["ended"] else 3 for row in range(12)
        ]
        assert "of which a run was stopped are left out" in page or "Too few runs" in page


def test_what_a_sweep_drew_on_a_logarithmic_scale_is_drawn_so(sweep):
    """Its values may span less than the two powers of ten by which a table is known to be so."""
    text = SWEEP.replace("grid", "random\nrun_cap: 5").replace("lr: {values: [0.001, 0.01]}", LOG)
    (sweep / "sweep.yaml").write_text(text)
    (sweep / "train.py").write_text(TRAIN.replace("lr", "step"))
    said("sweep", "sweep.yaml", "--html", "end.html")
    said("report", "sweep.yaml")
    for name in ("end.html", "sweep.html"):
        columns = panels_of((sweep / name).read_text(encoding="utf-8"))["columns"]
        [step] = [column for column in columns if column["name"] == "step"]
        assert step["log"]
        assert max(step["values"]) < 100 * min(step["values"])


LOG = "step: {distribution: log_uniform_values, min: 0.001, max: 0.02}"


def test_report_reads_any_table(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs[["lr", "batch_size", "seed", "val_acc"]].to_csv("mine.csv", index=False)
    output = said("report", "mine.csv")
    assert "wrote mine.html" in output
    assert "Share of the variance of val_acc" in output
    said("report", "mine.csv", "--html", "other.html", "--better", "lower")
    assert "less is better" in (tmp_path / "other.html").read_text(encoding="utf-8")
    assert "there is no folder 'gone'" in said("report", "mine.csv", "--html", "gone/page.html")
