"""Runs exported to other tools: each tool's own reader finds them, and so does `hplab judge`."""

import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import hplab as hp
from hplab.cli import cli
from hplab.errors import HplabError
from hplab.sweeps import files, foreign, results
from hplab.sweeps import table as schema
from hplab.sweeps.store import Store
from hplab.sweeps.trackers import batch, export

PLACES = {
    "wandb": "w",
    "trackio": "t",
    "mlflow": "m.db",
    "tensorboard": "b",
    "optuna": "o.db",
    "parquet": "p.parquet",
    "csv": "c.csv",
}
SLOW = {"mlflow", "wandb"}  # import or set up for seconds


def train(lr, opt, wide=False, layers=(8, 4), seed=0):
    rng = np.random.default_rng(seed)
    for epoch in range(1, 4):
        yield {"val_acc": 0.9 - lr / epoch + 0.01 * rng.normal(), "val_loss": lr / (3 * epoch)}
        if lr > 0.5 and seed == 1 and epoch == 2:
            yield {"val_acc": 0.1, "val_loss": math.inf}
            return
    yield {"val_acc": 1 / 3 + lr / 10, "val_loss": 0.1, "test_acc": 2 / 3 - lr}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Runs with every kind of setting, of which some diverged and one was stopped; their store."""
    folder = tmp_path_factory.mktemp("swept")
    store = Store(folder / "results", folder / ".hplab" / "pending")
    runs = hp.sweep(
        train, store=store, jobs=1, lr=[1e-3, 0.3, 0.7], opt=["adam", "sgd"], seed=range(3)
    )
    runs.loc[10, ["val_acc", "val_loss", "test_acc"]] = math.nan
    runs.loc[10, "status"] = "stopped"
    assert sorted(runs["status"].unique()) == ["diverged", "ok", "stopped"]
    return runs, store


@pytest.fixture(scope="module")
def exported(swept, tmp_path_factory):
    """A function that exports the runs to a tool once, and returns where they are."""
    places = {}

    def of(tool):
        package = export.TOOLS[tool].package
        if package:
            pytest.importorskip(package, reason=f"{package} is not installed")
        if tool not in places:
            place = tmp_path_factory.mktemp(tool) / PLACES[tool]
            places[tool] = hp.export(swept[0], place, to=tool, store=swept[1])
        return places[tool]

    return of


def tools(*names):
    return pytest.mark.parametrize(
        "tool", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in names or PLACES]
    )


def wanted(swept):
    """Each run by its name: settings, results, and curves by epoch, from the store."""
    runs, store = swept
    found = {}
    for run in runs.to_dict("records"):
        record = store.get(run["key"])
        settings = {n: run[n] for n in ("lr", "opt", "wide", "layers", "code")}
        curves = {
            epoch: {
                n: v[epoch - 1] for n, v in record["curves"].items() if v[epoch - 1] is not None
            }
            for epoch in range(1, len(record["curves"]["val_acc"]) + 1)
        }
        ends = record["final"].items() if run["status"] != "stopped" else ()
        final = {name: value for name, value in ends if value is not None}
        name = f"lr={schema.setting(run['lr'])} opt={run['opt']} seed={run['seed']}"
        found[name] = {**settings, "seed": run["seed"]}, final, curves, run["status"]
    return found


# --------------------------------------------------------------------- the round trip, of each tool


@tools()
def test_what_is_read_back_are_the_same_settings_seeds_ends_and_results(exported, swept, tool):
    before, after = foreign.of(swept[0]), foreign.of(files.read(exported(tool)))

    assert after.settings == before.settings
    assert set(after.metrics) == set(before.metrics)
    assert after.seed == "seed"
    assert (before.states, after.states) == ({"pruned": 1}, {"pruned": 1})
    columns = [*before.settings, "seed", "status", *sorted(before.metrics)]
    pd.testing.assert_frame_equal(
        after.runs[columns], before.runs[columns], check_exact=True, check_dtype=False
    )


@tools()
def test_a_verdict_is_the_same(exported, swept, tool):
    question = "val_acc at lr=0.001 beats lr=0.3 by 0.1 pp where opt=adam"
    assert str(hp.judge(files.read(exported(tool)), question)) == str(hp.judge(swept[0], question))


# ------------------------------------------------------------- what each tool's own reader finds


@pytest.mark.slow
def test_wandb_sync_finds_every_run(exported, swept, tmp_path):
    """It lists what it is to upload, and then asks for the account, which there is none of."""
    place = exported("wandb")
    env = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    command = [sys.executable, "-m", "wandb", "sync"]
    done = subprocess.run(
        command, cwd=place, env={**env, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert f"Syncing {len(swept[0])} run(s)" in said
    found = set(re.findall(r"run-([0-9a-f]{32})\.wandb", said))
    assert 5 <= len(found) <= len(swept[0])  # it prints the first few
    assert found <= set(swept[0]["key"])


def of_wandb(place):
    from wandb.proto import wandb_internal_pb2 as known

    from hplab.sweeps.trackers import wandb

    for path in wandb.find(place):
        config, rows, summary, name = {}, {}, {}, ""
        for data in wandb._records(path):
            record = known.Record.FromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                name, tags = record.run.display_name, list(record.run.tags)
                config |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
            elif kind == "history":
                row = {
                    i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.history.item
                }
                rows[row.pop("_step")] = {k: v for k, v in row.items() if k[0] != "_"}
            elif kind == "summary":
                summary |= {
                    i.key or i.nested_key[0]: json.loads(i.value_json)
                    for i in record.summary.update
                }
        config = {k: v for k, v in config.items() if k[0] != "_"}
        yield name, config, {k: v for k, v in summary.items() if k[0] != "_"}, rows, tags


@pytest.mark.slow
def test_wandb_has_every_number_of_every_run(exported, swept):
    runs = wanted(swept)
    found = {name: rest for name, *rest in of_wandb(exported("wandb"))}
    assert found.keys() == runs.keys()
    for name, (config, final, curves, status) in runs.items():
        got = found[name]
        assert got[0] == config
        assert got[1].items() >= final.items()
        for epoch, row in curves.items():
            assert got[2][epoch].items() >= row.items()
        assert got[3] == ([] if status == "ok" else [status])


def test_trackio_has_every_number_of_every_run(exported, swept, tmp_path):
    place = exported("trackio")
    code = (
        "import json, trackio; from trackio.sqlite_storage import SQLiteStorage as S;"
        "print(json.dumps({r.name: [r.config, S.get_logs('train', r.name)]"
        " for r in trackio.Api().runs('train')}))"
    )
    env = {**os.environ, "TRACKIO_DIR": str(place)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    found = json.loads(done.stdout)
    runs = wanted(swept)
    assert found.keys() == runs.keys()
    for name, (config, final, curves, status) in runs.items():
        made, logged = found[name]
        rows = {row["step"]: row for row in logged}
        assert made.items() >= config.items()
        assert made["hplab"]["status"] == status
        for epoch, row in curves.items():
            assert {n: rows[epoch][n] for n in row} == row
        last = {k: v for step in sorted(rows) for k, v in rows[step].items()}
        assert last.items() >= final.items()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own
def test_mlflow_has_every_number_of_every_run(exported, swept):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    client = mlflow.MlflowClient(f"sqlite:///{exported('mlflow')}")
    experiment = client.get_experiment_by_name("train").experiment_id
    found = {run.info.run_name: run for run in client.search_runs([experiment])}
    runs = wanted(swept)
    assert found.keys() == runs.keys()
    for name, (config, final, curves, status) in runs.items():
        run = found[name]
        assert run.data.params == {k: str(v) for k, v in config.items()}
        assert run.data.metrics.items() >= final.items()
        assert run.data.tags["hplab.status"] == status
        assert run.info.status == ("KILLED" if status == "stopped" else "FINISHED")
        for metric in curves[1]:
            history = {m.step: m.value for m in client.get_metric_history(run.info.run_id, metric)}
            assert (
                history.items() >= {e: r[metric] for e, r in curves.items() if metric in r}.items()
            )


def test_event_files_have_every_number_as_float32(exported, swept):
    exported("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    runs = wanted(swept)
    folders = sorted(exported("tensorboard").iterdir())
    assert len(folders) == len(runs)
    for folder, (config, final, curves, _) in zip(folders, runs.values(), strict=True):
        events = EventAccumulator(str(folder)).Reload()
        note = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        told = HParamsPluginData.FromString(note).session_start_info.hparams
        assert {k: getattr(v, v.WhichOneof("kind")) for k, v in told.items()} == config
        for metric in final:
            assert events.Scalars(metric)[-1].value == np.float32(final[metric])
        for epoch, row in curves.items():
            for metric, value in row.items():
                at = {event.step: event.value for event in events.Scalars(metric)}
                assert at[epoch] == np.float32(value)


def test_optuna_loads_the_study(exported, swept):
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    study = optuna.load_study(study_name="train", storage=f"sqlite:///{exported('optuna')}")
    runs = wanted(swept)
    assert study.direction.name == "MAXIMIZE"
    assert study.user_attrs["units"]["val_acc"] == "share"
    found = {trial.user_attrs["run_name"]: trial for trial in study.trials}
    assert found.keys() == runs.keys()
    for name, (config, final, curves, status) in runs.items():
        trial = found[name]
        assert {**trial.params, "seed": trial.user_attrs["seed"]} == config
        assert trial.user_attrs.items() >= final.items()
        states = {"ok": "COMPLETE", "diverged": "FAIL", "stopped": "PRUNED"}
        assert trial.state.name == states[status]
        assert trial.value == (final["val_acc"] if status == "ok" else None)
        assert trial.intermediate_values == {e: row["val_acc"] for e, row in curves.items()}


@tools("csv", "parquet")
def test_tables_have_the_curves_beside_them_and_say_what_columns_are(exported, swept, tool):
    place = exported(tool)
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}
    curves = read[tool](place.with_stem(f"{place.stem}-curves"))
    for name, (_, _, want, _) in wanted(swept).items():
        rows = curves[curves["run"] == name].set_index("epoch")[["val_acc", "val_loss"]]
        assert {e: dict(row.dropna()) for e, row in rows.iterrows()}.keys() == want.keys()
        for epoch, row in want.items():
            assert {n: rows.loc[epoch, n] for n in row if n in rows} == {
                n: v for n, v in row.items() if n in rows
            }
    columns = read[tool](place.with_stem(f"{place.stem}-columns")).set_index("column")
    assert columns.loc["val_acc", ["kind", "unit"]].tolist() == ["metric", "share"]
    assert columns.loc["train_s", "unit"] == "s"
    assert columns.loc["lr", "kind"] == "setting"


@tools("wandb", "mlflow", "optuna")
def test_runs_that_the_tool_itself_logged_are_read_too(exported, swept, monkeypatch, tool):
    """Without the notes of hplab the files are like those that anybody's script leaves."""
    place = exported(tool)
    monkeypatch.setattr(batch, "NOTE", "nobody")

    found, runs = foreign.of(files.read(place)), swept[0]

    assert {"lr", "opt", "layers"} <= set(found.settings)
    assert found.seed == "seed"
    fine = runs[runs["status"] == "ok"]
    got = found.runs[found.runs["lr"].eq(0.001) & found.runs["opt"].eq("sgd")]
    want = fine[fine["lr"].eq(0.001) & fine["opt"].eq("sgd")]
    for metric in ("val_acc", "val_loss", "test_acc"):
        assert got[metric].tolist() == want[metric].tolist()
    assert got["seed"].tolist() == want["seed"].tolist()


# ------------------------------------------------------------------------------- what is refused


def test_a_tool_that_is_not_known_gets_the_nearest(swept, tmp_path):
    with pytest.raises(HplabError, match="unknown tool 'wandbb'.*did you mean 'wandb'"):
        hp.export(swept[0], tmp_path / "x", to="wandbb", store=swept[1])


@pytest.mark.parametrize(
    ("runs", "place", "said"),
    [
        (None, "x.csv", r"export needs a table of runs \(a DataFrame\), got NoneType"),
        (pd.DataFrame({"x": [1]}), None, "export needs the name of a file or folder to write"),
    ],
)
def test_what_is_no_table_or_no_place_is_refused(runs, place, said):
    with pytest.raises(HplabError, match=said):
        hp.export(runs, place, to="csv")


@pytest.mark.parametrize("tool", PLACES)
def test_a_place_without_a_name_is_refused(swept, tool):
    with pytest.raises(HplabError, match="'.' names no file and no folder to write"):
        hp.export(swept[0], "", to=tool, store=swept[1])


@pytest.mark.parametrize("tool", PLACES)
def test_a_place_that_is_taken_is_left_as_it_is(swept, tmp_path, tool):
    place = tmp_path / PLACES[tool]
    place.write_text("mine")
    with pytest.raises(HplabError, match="is there already: name a place that is not"):
        hp.export(swept[0], place, to=tool, store=swept[1])
    assert place.read_text() == "mine"


@pytest.mark.parametrize("tool", [name for name, tool in export.TOOLS.items() if tool.package])
def test_a_package_that_is_missing_says_which_extra_brings_it(swept, tmp_path, monkeypatch, tool):
    monkeypatch.setitem(sys.modules, export.TOOLS[tool].package, None)
    with pytest.raises(HplabError, match=rf"pip install 'hplab\[{export.TOOLS[tool].extra}\]'"):
        hp.export(swept[0], tmp_path / PLACES[tool], to=tool, store=swept[1])
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_breaks_off_leaves_nothing(swept, tmp_path, monkeypatch):
    def broken(made, temporary):
        temporary.mkdir()
        (temporary / "half").touch()
        raise RuntimeError

    monkeypatch.setitem(export.TOOLS, "tensorboard", export.Tool())
    monkeypatch.setattr("hplab.sweeps.trackers.tensorboard.write", broken)
    with pytest.raises(RuntimeError):
        hp.export(swept[0], tmp_path / "there", to="tensorboard", store=swept[1])
    assert list(tmp_path.iterdir()) == []


def test_no_runs_are_refused(tmp_path):
    with pytest.raises(HplabError, match="there are no runs to export"):
        hp.export(pd.DataFrame(), tmp_path / "x.csv", to="csv")


# -------------------------------------------------------------------------- other runs than ours


def test_runs_of_another_tool_keep_how_they_ended(tmp_path, store):
    path = tmp_path / "runs.csv"
    path.write_text(
        "Name,State,config.lr,config.seed,summary.val_acc\n"
        "a,finished,0.1,0,91.5\nb,crashed,0.1,1,11.0\nc,finished,0.2,0,\n"
    )
    hp.export(files.read(path), tmp_path / "out.csv", to="csv", store=store)
    found = foreign.of(files.read(tmp_path / "out.csv"))
    assert found.runs[["lr", "seed", "val_acc"]].to_numpy()[0].tolist() == [0.1, 0, 0.915]
    assert math.isnan(found.runs["val_acc"][1])
    assert found.states == {"crashed": 1}


def test_runs_of_trials_carry_their_settings_and_curves(tmp_path, store):
    trial = hp.Trial(data="digits", model="mlp", batch_size=256, epochs=2, n_train=256)
    runs = hp.run(hp.grid(trial, lr=[0.1, 0.01], seed=[0]), preset="laptop", store=store, jobs=1)
    made = batch.of(runs, "digits", store)
    curves = hp.curves(runs, store=store)
    assert [run.settings["lr"] for run in made.runs] == runs["lr"].tolist()
    assert made.units["val_acc"] == "share"
    for run, (_, part) in zip(made.runs, curves.groupby("key", sort=False), strict=True):
        assert [row["val_loss"] for row in run.curves.values()] == part["val_loss"].tolist()
        assert run.final["val_acc"] == part["val_acc"].iloc[-1]
    hp.export(runs, tmp_path / "runs.csv", to="csv", store=store)
    read = foreign.of(files.read(tmp_path / "runs.csv"))
    assert read.runs["val_acc"].tolist() == runs["val_acc"].tolist()


@pytest.mark.parametrize(
    ("final", "curves", "rows"),
    [
        ({"a": 2.0}, {1: {"a": 1.0}, 2: {"a": 2.0}}, {1: {"a": 1.0}, 2: {"a": 2.0}}),
        ({"a": 3.0}, {1: {"a": 1.0}}, {1: {"a": 1.0}, 2: {"a": 3.0}}),
        ({"a": 1.0, "b": 5.0}, {1: {"a": 1.0}}, {1: {"a": 1.0, "b": 5.0}}),
        ({"b": 5.0}, {}, {0: {"b": 5.0}}),
        ({}, {}, {}),
    ],
)
def test_the_last_value_that_is_logged_is_the_result(final, curves, rows):
    run = batch.Run("a", "0" * 32, {}, 0, "ok", final, curves)
    assert run.rows() == rows
    assert curves == {epoch: dict(row) for epoch, row in curves.items()}
    last = {}
    for row in rows.values():
        last |= row
    assert last.items() >= final.items()


# -------------------------------------------------------------------------------- the command


def test_the_command_takes_a_recorded_sweep_by_name_and_a_table(tmp_path, monkeypatch):
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    runs = hp.sweep(train, jobs=1, lr=[1e-3, 0.3], opt="adam", seed=range(2))
    monkeypatch.chdir(tmp_path)

    said = CliRunner().invoke(
        cli, ["export", "train", "runs.csv", "--to", "csv"], catch_exceptions=False
    )

    assert said.output == "wrote 4 runs to runs.csv\n"
    columns = ["lr", "opt", "layers", "seed", "val_acc"]
    read = files.read("runs.csv").sort_values(["lr", "seed"], ignore_index=True)
    pd.testing.assert_frame_equal(read[columns], runs[columns], check_dtype=False)
    CliRunner().invoke(
        cli, ["export", "runs.csv", "again.csv", "--to", "csv"], catch_exceptions=False
    )
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "runs.csv").read_bytes()
    assert (tmp_path / "again-curves.csv").read_bytes() == (
        tmp_path / "runs-curves.csv"
    ).read_bytes()
    with pytest.raises(HplabError, match="unknown sweep 'trian'.*did you mean 'train'"):
        CliRunner().invoke(cli, ["export", "trian", "x.csv", "--to", "csv"], catch_exceptions=False)


def test_runs_of_two_versions_of_the_code_are_not_mixed(tmp_path, monkeypatch):
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    for version in "ab":
        hp.sweep(train, jobs=1, version=version, lr=0.1, opt="adam", seed=range(2))
    with pytest.raises(HplabError, match=r"2 versions.*'train version a' \(2 runs, "):
        results.recorded("train")
    assert len(results.recorded("train version b")) == 2
