"""What `hplab judge` prints and writes: columns, answers, JSON, and one page of its own."""

import io
import json
import re
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from hplab import cli
from hplab.errors import HplabError
from hplab.pages.tables import judged, seeds

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {
            "Name": EVIL,
            "State": "finished" if seed else "crashed",
            "config.lr": lr,
            "config.model": EVIL,
            "config.seed": seed,
            "summary.val_acc": 90 + 3 * np.log10(lr) + rng.normal(0, 0.1),
            "summary.val_loss": 1.0,
        }
        for lr in (0.001, 0.01, 0.1)
        for seed in range(6)
    ]
    path = tmp_path / "runs<b>.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def said(*words):
    found = CliRunner().invoke(cli.cli, ["judge", *map(str, words)])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.output


def test_it_says_what_it_took_the_columns_for(path):
    output = said(path)
    assert "settings: lr; the same in all runs: model; seed: seed; metrics: val_acc" in output
    assert "15 runs; left out, as they did not finish: 3 crashed" in output
    assert "val_acc has values above 1: taken as percent" in output
    assert "lr: 0.1 has the best mean and surely beats all others." in output
    assert "5 (and 1 crashed)" in output


def test_a_mean_says_how_many_of_the_runs_it_rests_on(tmp_path):
    """A seed that one value lacks is in no mean, and the table says so."""
    lr, seed = [0.1] * 6 + [0.01] * 6, [0, 1, 2, 3, 4, 6, 0, 1, 2, 3, 4, 5]
    acc = [0.90, 0.91, 0.92, 0.90, 0.91, 0.99, 0.80, 0.82, 0.81, 0.83, 0.80, 0.40]
    path = tmp_path / "runs.csv"
    pd.DataFrame({"lr": lr, "seed": seed, "val_acc": acc}).to_csv(path, index=False)
    output, page = said(path, "--html", tmp_path / "page.html"), tmp_path / "page.html"
    assert re.search(r"0.01 +5 of 6 +81.20 ", output)
    assert re.search(r"0.1 +5 of 6 +90.80 ", output)
    assert "with the seeds and other settings that all values have" in output
    assert "5 of 6" in page.read_text(encoding="utf-8")
    assert [one["n_compared"] for one in json.loads(said(path, "--json"))["values"]] == [5, 5]
    output = said(path, "--no-pair")
    assert re.search(r"0.01 +6 +74.33 ", output)
    assert "all values have" not in output


@pytest.mark.parametrize(
    ("table", "words", "option"),
    [
        ("lr,note\n0.1,5\n0.2,5\n", [], "--metric"),
        ("lr,acc,seed\n0.1,0.5,0\n", [], "--setting"),
        ("lr,score,seed\n0.1,0.5,0\n0.2,0.6,1\n", ["--metric", "score"], "--better higher"),
        ("lr,acc\n" + "0.1,0.5\n0.2,0.6\n" * 3, ["lr=0.1 beats lr=0.2", "--pair"], "--seed"),
        (
            "lr,acc,seed\n0.1,0.4,0\n" + "".join(f"0.1,0.5,{s}\n0.2,0.6,{s}\n" for s in range(3)),
            ["lr=0.1 beats lr=0.2", "--pair"],
            "--no-pair",
        ),
        (
            "lr,bs,acc\n" + "0.1,1,0.5\n0.1,2,0.5\n0.2,1,0.6\n0.2,2,0.6\n" * 3,
            ["lr=0.1 beats lr=0.2"],
            "--ignore",
        ),
    ],
)
def test_a_message_names_the_option_of_the_shell(tmp_path, table, words, option):
    path = tmp_path / "runs.csv"
    path.write_text(table)
    with pytest.raises(HplabError, match=f"{option}\\b"):
        said(path, *words)


def test_a_question_is_answered(path):
    output = said(path, "lr=0.1 beats lr=0.01 by 1 pp")
    assert "Supported: The runs show that val_acc is higher at lr 0.1 than at lr 0.01" in output
    output = said(path, "lr=0.1 beats lr=0.01 by 1 pp", "lr=0.01 beats lr=0.1")
    assert "after Holm's correction over 2 questions" in output
    assert "Contradicted" in output


def test_columns_can_be_named(path):
    output = said(path, "--setting", "Name", "--metric", "val_loss", "--seed", "config.seed")
    assert "metrics: val_loss, val_acc" in output
    assert "the same in all runs: Name, model" in output


def test_json_has_it_all(path):
    found = json.loads(said(path, "--json"))
    assert found["columns"]["varied"] == ["lr"]
    assert found["left_out"] == {"crashed": 3}
    assert [row["value"] for row in found["values"]] == [0.1, 0.01, 0.001]
    [one] = json.loads(said(path, "lr=0.1 is best", "--json"))["judgements"]
    assert (one["outcome"], one["n"], one["paired"]) == ("supported", [5, 5, 5], True)


def test_a_margin_makes_a_difference_a_matter_of_size(path):
    assert "open" in said(path, "--margin", "3 pp")
    with pytest.raises(HplabError, match="could be 0.2 pp or 20 pp"):
        said(path, "--margin", "0.2")


@pytest.mark.parametrize("question", [(), ("lr=0.1 beats lr=0.01 by 1 pp", "lr=0.1 is best")])
def test_the_page_stands_alone_and_escapes_what_it_shows(path, tmp_path, question):
    page = tmp_path / "report.html"
    said(path, *question, "--html", page)
    text = page.read_text(encoding="utf-8")
    assert EVIL not in text
    assert "<b>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "runs&lt;b&gt;.csv" in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert "url(" not in text.replace("url(#", "")
    assert "default-src 'none'" in text
    assert text.count("<svg") >= 1
    assert 'theme="light"' in text
    assert "prefers-color-scheme: dark" in text
    [link] = re.findall(r'href="data:text/csv;charset=utf-8,([^"]*)"', text)
    rows = unquote(link).splitlines()
    assert len(rows) == 1 + 18  # with the three that are left out, and why
    assert rows[0] == "row,run,lr,model,seed,val_acc,val_loss,status"
    assert [row.rpartition(",")[2] for row in rows[1:]] == ["crashed", *["ok"] * 5] * 3


def test_the_page_names_runs_and_says_which_are_left_out(tmp_path):
    runs = pd.DataFrame({"lr": [0.1] * 4 + [0.2] * 4, "seed": [0, 1, 2, 3] * 2})
    runs = runs.assign(Name=[f"run-{i}" for i in range(8)], acc=0.5 + runs.index / 100)
    runs["State"] = ["finished"] * 7 + ["killed"]
    runs.to_csv(tmp_path / "runs.csv", index=False)
    said(tmp_path / "runs.csv", "--html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.search(r'<th scope="row"[^>]*>7</th><td[^>]*>run-6</td>', text)
    grey = re.findall(r'<span class="hp-left-out">([^<]*)</span>', text)
    assert grey == ["8", "run-7", "0.2", "3", "57", "killed"]
    assert "8 runs, of which 1 are left out (in grey)" not in text
    assert "8 runs, of which 1 is left out (in grey)" in text


def test_the_page_says_what_was_asked_and_which_runs_answer_it(tmp_path):
    rows = [
        {"lr": lr, "bs": bs, "seed": seed, "acc": 0.5 + lr + seed / 100}
        for bs in (1, 2)
        for lr in (0.1, 0.2)
        for seed in range(4)
    ]
    rows[4]["acc"] = None
    pd.DataFrame(rows).to_csv(tmp_path / "runs.csv", index=False)
    page = tmp_path / "page.html"
    said(tmp_path / "runs.csv", "lr=0.1 beats lr=0.2 where bs=1", "--html", page)
    text = page.read_text(encoding="utf-8")
    asked = "lr=0.1 beats lr=0.2 where bs=1"
    assert f"Asked: <q>{asked}</q> This is about 8 of the 16 runs." in text
    before = text.partition("<details>")[0]
    assert "at lr 0.1 than at lr 0.2, with bs 1." in before
    assert "1 seed of 4 diverged or lacks acc, and at most 10 % may" in before
    body = text.partition("<h2>The runs</h2>")[2]
    cells = re.findall(r"<tr>(.*?)</tr>", body)[1:]
    ends = [re.findall(r"<td[^>]*>([^<]*)</td>", row)[-2:] for row in cells]
    # Seed 0 is not there at both rates, so neither of its runs is used.
    used = [i for i, (_, mark) in enumerate(ends) if mark == "yes"]
    assert used == [1, 2, 3, 5, 6, 7]
    assert [status for status, _ in ends] == ["ok"] * 4 + ["no acc"] + ["ok"] * 11
    assert "best mean" not in text  # of two that are compared


def test_the_example_of_a_question_can_be_asked(path, tmp_path):
    rows = [
        {"lr": lr, "bs": bs, "seed": seed, "acc": 0.5 + lr + seed / 100}
        for bs in (16, 64)
        for lr in (0.2, 0.3)
        for seed in range(4)
    ]
    other = tmp_path / "other.csv"
    pd.DataFrame(rows).to_csv(other, index=False)
    for one, margin in ((path, []), (other, ["--margin", "0.5 pp"])):
        [question] = re.findall(r"ask it by itself: '([^']*)'", said(one, *margin))
        assert said(one, question).split()[-1]
    assert question == "acc at lr=0.3 beats lr=0.2 by 0.5 pp where bs=16"


def test_the_calculator_is_filled_in_with_what_was_asked(path, tmp_path):
    page = tmp_path / "report.html"
    said(path, "lr=0.1 beats lr=0.01 by 1 pp", "--html", page)
    text = page.read_text(encoding="utf-8")
    assert 'name="margin" type="number" min="0" step="any" value="1"' in text
    found = judged.answer(judged.read(path), ["lr=0.1 beats lr=0.01 by 1 pp"])[0]
    sides = [rows["judged"].to_numpy() * 100 for rows in found.finding.sample.rows]
    sd = (sides[0] - sides[1]).std(ddof=1)
    assert f'name="sd" type="number" min="0" step="any" value="{sd:.3g}"' in text
    seen = (sides[0] - sides[1]).mean()
    assert f'name="expected" type="number" min="0" step="any" value="{seen:.3g}"' in text


def test_the_calculator_has_the_scatter_of_runs_that_are_not_paired(tmp_path):
    """Of one run of each setting, whichever number of runs each has."""
    rng = np.random.default_rng(0)
    groups = rng.normal(0.9, 0.004, 6), rng.normal(0.88, 0.008, 4)
    runs = pd.DataFrame({"lr": [0.1] * 6 + [0.01] * 4, "acc": np.concatenate(groups)})
    runs.to_csv(tmp_path / "runs.csv", index=False)
    sd = 100 * np.sqrt(np.mean([group.var(ddof=1) for group in groups]))
    for question in (["lr=0.1 beats lr=0.01 by 1 pp"], []):
        said(tmp_path / "runs.csv", *question, "--html", tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert f'name="sd" type="number" min="0" step="any" value="{sd:.3g}"' in text
        assert '<option value="setting" selected>' in text


def test_shares_are_in_one_unit_on_the_whole_page(tmp_path):
    """A column that was given in percent is in percent in tables, in figures and in the file."""
    rng = np.random.default_rng(0)
    runs = pd.DataFrame({"lr": [0.1] * 4 + [0.01] * 4, "seed": [*range(4)] * 2})
    name = "Top-1 val acc [%]"
    runs[name] = np.round(92 + rng.normal(0, 0.3, 8), 2)
    runs.to_csv(tmp_path / "runs.csv", index=False)
    said(tmp_path / "runs.csv", "--html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"{name} (%)" not in text
    figures = re.sub(r"(?s)<script.*?</script>|href=\"data:[^\"]*\"", "", text)
    assert "0.92" not in figures
    assert f'<td class="hp-num">{runs[name][0]:g}</td>' in text
    link = re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', text)
    again = pd.read_csv(io.StringIO(unquote(link[1])))
    assert again[name].tolist() == runs[name].tolist()


def test_a_run_without_a_number_is_no_ok_run_on_the_page(tmp_path):
    runs = pd.DataFrame({"lr": [0.1] * 4 + [0.01] * 4, "seed": [*range(4)] * 2})
    runs["acc"] = [0.9, 0.91, 0.92, np.nan, 0.8, 0.81, 0.82, 0.81]
    runs.to_csv(tmp_path / "runs.csv", index=False)
    said(tmp_path / "runs.csv", "--html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<td>no result (NaN)</td>") == 1
    assert text.count("<td>ok</td>") == 7


def test_two_files_are_compared(tmp_path):
    for name, acc in (("old", 0.8), ("new", 0.9)):
        runs = pd.DataFrame({"seed": range(4), "val_acc": acc + np.arange(4) / 500})
        runs["val_acc"] += np.arange(4) % 2 / 500 * (name == "new")
        runs.to_csv(tmp_path / f"{name}.csv", index=False)
    output = said(tmp_path / "old.csv", tmp_path / "new.csv")
    assert "settings: file" in output
    assert "file: new has the best mean and surely beats the other." in output
    output = said(tmp_path / "old.csv", tmp_path / "new.csv", "file=new beats file=old by 5 pp")
    assert output.split("\n\n")[1].startswith("Supported")


def test_a_column_that_counts_the_runs_of_a_setting_is_named_as_the_likely_seed(tmp_path):
    runs = pd.DataFrame({"lr": [0.1] * 4 + [0.01] * 4, "fold": [*range(4)] * 2, "val_acc": 0.5})
    runs["val_acc"] += np.arange(8) / 100
    runs.to_csv(tmp_path / "runs.csv", index=False)
    assert "if fold is the seed: --seed fold" in said(tmp_path / "runs.csv")
    runs.rename(columns={"fold": "rng"}).to_csv(tmp_path / "runs.csv", index=False)
    assert "; seed: rng;" in said(tmp_path / "runs.csv")


def test_the_calculator_says_that_it_plans_another_comparison(path, tmp_path):
    """An open answer counts seeds for what was seen beyond the margin, the calculator for it."""
    page = tmp_path / "report.html"
    output = said(path, "lr=0.1 beats lr=0.01 by 2.9 pp", "--html", page)
    assert "more seeds of each setting would settle it" in output
    text = page.read_text(encoding="utf-8")
    assert "<h2>Planning a new comparison</h2>" in text
    assert "does not say how many more seeds an answer above needs" in text
    assert "Filled in are the difference seen; the margin that was asked for; and the" in text
    said(path, "lr=0.1 beats lr=0.01", "--html", page)
    assert "no margin, as none was asked for" in page.read_text(encoding="utf-8")
    said(path, "lr=0.1 is higher than lr=0.01 by a factor of 1", "--html", page)
    assert "as logarithms of ratios" in page.read_text(encoding="utf-8")


def test_the_calculator_needs_no_file_beside_it():
    assert "src=" not in seeds.form()
    assert 'name="margin" type="number" min="0" step="any" value="0.1"' in seeds.form()
    assert "</script>" not in seeds.form().rpartition("<script>")[2].removesuffix("</script>")


def test_a_folder_that_is_not_there_is_said(path, tmp_path):
    told = CliRunner().invoke(
        cli.cli, ["judge", str(path), "--html", str(tmp_path / "none" / "r.html")]
    )
    assert told.exit_code == 2
    assert "there is no folder" in told.output
    assert not list(tmp_path.glob("none"))
