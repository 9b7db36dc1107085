"""Tables of runs that were made elsewhere: one small file by hand of each kind."""

import gzip
import json
import math
import sqlite3
import sys

import pandas as pd
import pytest

from hplab.errors import HplabError
from hplab.sweeps import files, foreign, metrics
from hplab.sweeps.table import hyperparameters


def table_of(tmp_path, name, text, **named):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return foreign.of(files.read(path), **named)


WANDB = """\
Name,State,Runtime,lr,config.lr,config.optimizer,config.seed,summary.val_acc,summary._step
a,finished,12,0.1,0.1,adam,0,91.5,100
b,finished,12,0.1,0.1,adam,1,92.0,100
c,crashed,3,0.1,0.1,adam,2,11.0,10
"""


def test_wandb_says_config_and_summary(tmp_path):
    found = table_of(tmp_path, "runs.csv", WANDB)
    assert found.settings == ("lr", "optimizer")
    assert (found.seed, found.metrics) == ("seed", ("val_acc",))
    assert found.runs["val_acc"].tolist() == [0.915, 0.92]
    assert found.states == {"crashed": 1}
    assert found.notes == ("val_acc has values above 1: taken as percent",)
    assert hyperparameters(found.runs) == ["lr", "optimizer"]
    assert found.runs["row"].tolist() == [1, 2]
    assert found.ignored == ("Runtime", "summary._step")


def test_wandb_may_nest_its_config(tmp_path):
    rows = [
        {
            "name": f"run {seed}",
            "state": "finished",
            "config": {"lr": {"value": 0.1, "desc": None}, "model": {"width": 8}, "seed": seed},
            "summary": {"val_loss": 0.5 + seed, "_runtime": 3.0},
        }
        for seed in range(2)
    ]
    found = table_of(tmp_path, "runs.json", json.dumps(rows))
    assert found.settings == ("lr", "model.width")
    assert found.metrics == ("val_loss",)
    assert found.runs["val_loss"].tolist() == [0.5, 1.5]


def test_wandbs_recipe_writes_mappings_as_text(tmp_path):
    rows = pd.DataFrame(
        {"summary": ["{'acc': 0.5, 'f': nan}"], "config": ["{'lr': 0.1}"], "name": ["a"]}
    )
    found = table_of(tmp_path, "project.csv", rows.to_csv())
    assert (found.settings, found.metrics) == (("lr",), ("acc",))


def test_mlflow_writes_parameters_as_text(tmp_path):
    text = (
        "run_id,experiment_id,status,artifact_uri,metrics.val_acc,params.lr,params.model,params.seed,"
        "tags.mlflow.user\n"
        "a1,0,FINISHED,x,0.9,0.1,cnn,0,me\n"
        "a2,0,FAILED,x,,0.1,cnn,1,me\n"
        "a3,0,FINISHED,x,0.8,0.01,cnn,None,me\n"
    )
    found = table_of(tmp_path, "runs.csv", text)
    assert (found.settings, found.metrics, found.seed) == (("lr", "model"), ("val_acc",), "seed")
    assert found.runs["lr"].tolist() == [0.1, 0.01]
    assert found.states == {"failed": 1}
    assert found.runs["seed"].nunique() == 2


def test_optuna_prunes(tmp_path):
    text = (
        "number,value,datetime_start,duration,params_lr,params_optimizer,user_attrs_seed,state\n"
        "0,0.9,2026-01-01,1,0.1,adam,0,COMPLETE\n"
        "1,0.2,2026-01-01,1,0.5,sgd,1,PRUNED\n"
    )
    found = table_of(tmp_path, "trials.csv", text)
    assert found.settings == ("lr", "optimizer")
    assert (found.metrics, found.seed) == (("value",), "seed")
    assert found.states == {"pruned": 1}


def test_tensorboard_hparams_have_no_fronts(tmp_path):
    text = "lr,dropout,hparam/accuracy\n0.1,0.5,0.9\n0.01,0.5,0.8\n"
    found = table_of(tmp_path, "hparams_table.csv", text)
    assert (found.settings, found.metrics) == (("lr", "dropout"), ("hparam/accuracy",))
    assert found.seed is None


def test_trackio_keeps_steps_and_configs_apart(tmp_path):
    path = tmp_path / "project.db"
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE metrics (id INTEGER, run_name TEXT, step INTEGER, metrics TEXT)")
        base.execute("CREATE TABLE configs (run_name TEXT, config TEXT)")
        for i, (run, lr) in enumerate((("a", 0.1), ("b", 0.2))):
            base.execute("INSERT INTO configs VALUES (?, ?)", (run, json.dumps({"lr": lr})))
            for step in range(3):
                logged = json.dumps({"val_acc": 0.1 * step + lr})
                base.execute(
                    "INSERT INTO metrics VALUES (?,?,?,?)", (9 * i + step, run, step, logged)
                )
    base.close()
    found = foreign.of(files.read(path))
    assert found.runs[["lr", "val_acc"]].round(3).to_numpy().tolist() == [[0.1, 0.3], [0.2, 0.4]]
    assert len(found.curves) == 6
    assert found.notes == ("6 rows are steps of 2 runs: the last value of each counts",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "lr\tseed\tval_acc\n0.1\t0\t0.5\n0.2\t1\t0.6\n"),
        ("a.csv", "lr;seed;val_acc\n0.1;0;0.5\n0.2;1;0.6\n"),
        ("a.csv", "\ufefflr,seed,val_acc\n0.1,0,0.5\n0.2,1,0.6\n"),
        ("a.json", '{"runs": [{"lr": 0.1, "seed": 0, "val_acc": 0.5},'
         ' {"lr": 0.2, "seed": 1, "val_acc": 0.6}]}'),
        ("a.json", '{"lr": [0.1, 0.2], "seed": [0, 1], "val_acc": [0.5, 0.6]}'),
        ("a.jsonl", '{"lr": 0.1, "seed": 0, "val_acc": 0.5}\n'
         '{"lr": 0.2, "seed": 1, "val_acc": 0.6}\n'),
    ],
)  # fmt: skip
def test_plain_tables(tmp_path, name, text):
    found = table_of(tmp_path, name, text)
    assert (found.settings, found.seed, found.metrics) == (("lr",), "seed", ("val_acc",))
    assert found.runs[["lr", "seed", "val_acc"]].to_numpy().tolist() == [
        [0.1, 0, 0.5],
        [0.2, 1, 0.6],
    ]


def test_parquet_without_pyarrow_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    path = tmp_path / "runs.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(HplabError, match=r"hplab\[trackers\]', or export the table as CSV"):
        files.read(path)


def test_event_files_without_tensorboard_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    (tmp_path / "events.out.tfevents.1").touch()
    with pytest.raises(HplabError, match=r"needs tensorboard: pip install 'hplab\[trackers\]'"):
        files.read(tmp_path)


def test_a_folder_without_event_files_says_so(tmp_path):
    with pytest.raises(HplabError, match="is a folder without event files; name a file in it"):
        files.read(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_what_windows_programs_write_is_read(tmp_path, encoding):
    path = tmp_path / "runs.csv"
    path.write_bytes("Größe; val_acc \n8;0,5\n16;0,75\n".encode(encoding))
    found = files.read(path)
    assert found.columns.tolist() == ["Größe", "val_acc"]
    assert found["Größe"].tolist() == [8, 16]


def test_a_column_that_says_otherwise_than_the_tracker_is_told():
    rows = pd.DataFrame({"config.lr": [0.1, 0.2], "lr": [0.1, 0.3], "val_acc": [0.5, 0.6]})
    assert foreign.of(rows).notes == ("lr is taken from config.lr; the column lr has other values",)
    assert foreign.of(rows.assign(lr=rows["config.lr"])).notes == ()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("runs.xlsx", "", "runs.xlsx is a workbook; save the sheet of runs as CSV"),
        ("runs.doc", "", "runs.doc has none of the endings .csv, "),
        ("runs.csv", "a,b\n1,2\n1,2,3\n", "table: line 3 has 3 cells, those above it have 2"),
        ("runs.json", "[1, 2]", "cannot read runs.json as a table"),
        ("runs.json", "{", "cannot read runs.json as a table"),
        ("runs.csv", "lr,acc\n", "runs.csv holds no runs"),
        ("runs.csv", "", "runs.csv is empty"),
        ("runs.csv", "\n\n", "runs.csv is empty"),
        ("runs.json", "", "runs.json is empty"),
        (
            "runs.csv",
            "lr,val_acc\n<<<<<<< HEAD\n1,0.5\n=======\n1,0.6\n>>>>>>> other\n",
            "line 2 is a mark of a merge conflict",
        ),
        ("runs.db", "not a data base", "cannot read runs.db as a table"),
    ],
)
def test_what_is_no_table_is_refused_in_a_line(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(HplabError, match=said) as caught:
        files.read(path)
    assert "\n" not in str(caught.value)


def test_a_compressed_table_that_is_cut_is_refused_in_a_line(tmp_path):
    path = tmp_path / "runs.csv.gz"
    whole = gzip.compress(b"lr,val_acc\n0.1,0.5\n")
    for end in (2, len(whole) - 12, len(whole) - 2):
        path.write_bytes(whole[:end])
        with pytest.raises(HplabError, match="cannot read runs.csv.gz as a table"):
            files.read(path)
    path.write_bytes(whole)
    assert len(files.read(path)) == 1


def test_a_config_as_python_writes_it_keeps_its_words():
    config = {"model": "nanogpt", "by": "finance", "lr": math.nan, "clip": -math.inf}
    found = files.spread(pd.DataFrame({"config": [str(config)]})).iloc[0].to_dict()
    assert (found["config.model"], found["config.by"]) == ("nanogpt", "finance")
    assert found["config.lr"] is None or math.isnan(found["config.lr"])
    assert found["config.clip"] == -math.inf


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(HplabError, match="there is no file"):
        files.read(tmp_path / "runs.csv")


FRAME = pd.DataFrame({"lr": [0.1, 0.2], "rs": [0, 1], "val_acc": [0.5, 0.6], "foo": [1.5, 2.5]})


def test_columns_can_be_named():
    found = foreign.of(FRAME, settings=["foo"], seed="rs", metrics=["val_acc"], ignore=["lr"])
    assert (found.settings, found.seed, found.metrics) == (("foo",), "rs", ("val_acc",))
    assert found.runs["seed"].tolist() == [0, 1]
    assert "lr" in found.ignored


def test_a_name_that_is_no_column_gets_the_nearest():
    with pytest.raises(HplabError, match="did you mean 'val_acc'"):
        foreign.of(FRAME, metrics=["val_ac"])


def test_a_table_without_metrics_lists_its_columns():
    with pytest.raises(
        HplabError, match=r"name it \(metric=..., in a shell --metric ...\): lr, rs"
    ):
        foreign.of(FRAME[["lr", "rs"]])


def test_runs_that_all_failed_are_no_runs():
    with pytest.raises(HplabError, match="none of 2 runs has finished: 2 crashed"):
        foreign.of(FRAME.assign(state="crashed"))


def test_columns_of_the_reader_may_be_called_as_ours():
    found = foreign.of(FRAME.assign(key=[7, 7], row=["x", "y"]), settings=["key", "row"])
    assert found.settings == ("lr", "key_", "row_")
    assert found.runs["row"].tolist() == [1, 2]
    assert found.runs["key_"].tolist() == [7, 7]


def test_shares_above_one_are_percent_and_losses_are_not():
    found = foreign.of(pd.DataFrame({"lr": [1, 2], "acc": [4.0, 90.0], "loss": [0.1, 90.0]}))
    assert found.runs["acc"].tolist() == [0.04, 0.9]
    assert found.runs["loss"].tolist() == [0.1, 90.0]


def test_shares_and_percent_in_one_column_are_refused_with_their_rows():
    runs = pd.DataFrame({"lr": [1, 1, 2, 2], "val_acc": [97.1, 0.972, 0.981, 98.0]})
    with pytest.raises(HplabError, match=r"rows 2, 3 \(0.972\) .* percent in rows 1, 4 \(97.1\)"):
        foreign.of(runs)
    # A run that failed in percent, and one that learned nothing, keep their column in percent.
    fine = runs.assign(val_acc=[97.1, 0.0, 9.8, 98.0])
    assert foreign.of(fine).runs["val_acc"].tolist() == [0.971, 0.0, 0.098, 0.98]
    # The smallest percent beside a share: ten classes, of which a lost run guesses one.
    with pytest.raises(HplabError, match="write all of them alike"):
        foreign.of(runs.assign(val_acc=[97.1, 9.8, 0.981, 0.97]))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("lr;seed;val_acc\n0,001;0;0,9739\n0,0001;0;98,1e-2\n", "val_acc is written with decimal"),
        ('lr,seed,val_acc\n"0,001",0,"0,9739"\n"1e-4",0,"0,981"\n', "0,9739 is read as 0.9739"),
        ("lr,seed,val_acc\n0.001,0,97.39%\n0.0001,0,98.1 %\n", "val_acc is written with '%'"),
        ("lr;seed;val_acc\n0,001;0;97,39%\n0,0001;0;0,981\n", "decimal commas and with '%'"),
    ],
)
def test_decimal_commas_and_percent_signs_are_read_and_said(tmp_path, text, note):
    found = table_of(tmp_path, "runs.csv", text)
    assert found.runs["lr"].tolist() == [0.001, 0.0001]
    assert found.runs["val_acc"].tolist() == pytest.approx([0.9739, 0.981], rel=1e-12)
    assert note in "; ".join(found.notes)


def test_commas_that_may_divide_thousands_stay_text():
    runs = pd.DataFrame({"lr": ["1,024", "2,048"], "seed": [0, 0], "val_acc": [0.1, 0.2]})
    assert foreign.of(runs).runs["lr"].tolist() == ["1,024", "2,048"]
    with pytest.raises(
        HplabError, match="holds '1,024' in rows 1, 2, which is no number .thousand"
    ):
        foreign.of(runs.assign(val_acc=runs["lr"]))


@pytest.mark.parametrize("named", [[], ["val_acc"]])
def test_text_where_results_should_be_is_said_with_its_row(named):
    runs = pd.DataFrame({"lr": [1, 1, 2], "val_acc": ["0.5", "oom", None]})
    with pytest.raises(HplabError, match="val_acc holds 'oom' in row 2, which is no number"):
        foreign.of(runs, metrics=named)
    found = foreign.of(runs.assign(val_loss=1.0))
    assert found.metrics == ("val_loss",)
    assert found.notes == ("val_acc holds 'oom' in row 2, which is no number: taken for no metric",)


def test_a_run_that_ended_early_is_noted_where_no_column_says_how_it_ended():
    runs = pd.DataFrame({"lr": [0.1] * 3 + [0.2] * 3, "seed": [0, 1, 2] * 2, "val_acc": 0.5})
    runs["epoch"] = [19, 2, 19, 4, 4, 4]  # four epochs are usual where lr is 0.2
    note = "row 2 ended at epoch 2, where others of its setting end at 19: leave it out?"
    assert foreign.of(runs).notes == (note,)
    assert (
        foreign.of(runs.rename(columns={"epoch": "_step"}))
        .notes[0]
        .startswith("row 2 ended at step 2")
    )
    assert foreign.of(runs.assign(epoch=[19, 10, 17, 4, 4, 3])).notes == ()
    assert foreign.of(runs.assign(state="finished")).notes == ()  # its tracker says it is fine
    two = foreign.of(runs.assign(epoch=[19, 2, 18, 10, 10, 1])).notes[0]
    assert two == (
        "rows 2, 6 ended at epoch 1 to 2, where others of their settings end at 10 to 18: leave "
        "them out?"
    )
    long = pd.DataFrame(
        [(r, e, 0.1, 0.5 + e / 100) for r in range(4) for e in range(2 if r == 3 else 9)],
        columns=["run", "epoch", "lr", "val_acc"],
    )
    assert (
        "row 28 ended at epoch 1, where others of its setting end at 8" in foreign.of(long).notes[1]
    )


def test_a_chart_is_no_table_of_runs():
    names = ["Step", "a - val_acc", "a - val_acc__MIN", "a - val_acc__MAX"]
    with pytest.raises(HplabError, match="export of a chart, .* export the table of runs"):
        foreign.of(pd.DataFrame([[0, 0.5, 0.5, 0.5]], columns=names))


def test_runs_keep_the_names_that_people_know_them_by():
    runs = pd.DataFrame({"ID": ["x1", "x2"], "Name": ["calm-sea", None], "lr": [1, 2], "acc": 0.5})
    assert foreign.of(runs).names == {1: "calm-sea"}
    assert foreign.of(runs.drop(columns="Name")).names == {1: "x1", 2: "x2"}
    assert foreign.of(runs.drop(columns=["ID", "Name"])).names == {}


def test_the_last_step_of_each_run_counts_whatever_the_order():
    rows = [(r, s, 0.1 * s + r / 2) for s in (2, 0, 1) for r in (0, 1)]
    long = pd.DataFrame(rows, columns=["run", "epoch", "val_acc"]).assign(lr=0.1)
    found = foreign.of(long)
    assert found.runs["val_acc"].tolist() == [0.2, 0.7]
    assert found.curves["epoch"].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("name", [[], ["run"]])
def test_the_epoch_at_which_runs_stopped_makes_no_curve(name):
    """Five runs of a setting that stopped at different epochs are five runs."""
    stopped = pd.DataFrame({"lr": [0.1] * 5, "epoch": [9, 12, 10, 8, 11], "val_acc": [0.5] * 5})
    found = foreign.of(stopped.assign(**dict.fromkeys(name, "baseline")))
    assert len(found.runs) == 5
    assert found.curves is None


@pytest.mark.parametrize(
    ("name", "better", "share"),
    [
        ("val_acc", 1, True),
        ("eval/accuracy", 1, True),
        ("trainLoss", -1, False),
        ("test.rmse", -1, False),
        ("f1_error", 0, False),
        ("value", 0, False),
        ("episode_return", 1, False),
    ],
)
def test_what_a_metrics_name_says(name, better, share):
    assert (metrics.better(name), metrics.is_share(name)) == (better, share)


def test_validation_is_asked_about_before_test_and_training():
    names = ["train_acc", "test_acc", "val_loss", "val_acc", "acc"]
    assert sorted(names, key=metrics.order) == [
        "val_acc",
        "val_loss",
        "test_acc",
        "acc",
        "train_acc",
    ]
