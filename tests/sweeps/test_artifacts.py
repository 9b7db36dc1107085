"""Artifacts: what was kept comes back bit for bit, damage is found, what is named stays."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from tiny_functions import model as train
from tiny_functions import weights
from torch import nn

import hplab as hp
from hplab.cli import cli
from hplab.errors import HplabError
from hplab.sweeps import contents, sweepfile, sweepruns
from hplab.sweeps.contents import Item
from hplab.sweeps.keeping import Keeping, shelf_of
from hplab.sweeps.records import DamagedError
from hplab.sweeps.shelf import Shelf
from hplab.training import datasets


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "artifacts", budget=1e6)


def item(text="x", n=10):
    return Item(contents.FILES, {"a.txt": (text * n).encode()}, {})


def paths(shelf):
    return {path: path.read_bytes() for path in shelf.folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------- what comes back is what was


class Odd(nn.Module):
    """A tied weight, a buffer that is a whole number, half precision, a transposed parameter."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.small = nn.Parameter(torch.randn(3, 5).half())
        self.turned = nn.Parameter(torch.randn(5, 3).T)


def same(a, b):
    """Whether two states hold the same bits, NaN included."""

    def bits(state):
        return {n: (t.dtype, t.shape, t.contiguous().numpy().tobytes()) for n, t in state.items()}

    return bits(a) == bits(b)


def test_a_network_comes_back_bit_for_bit(store):
    network = Odd()
    network.norm(torch.randn(8, 4))
    with torch.no_grad():
        network.small[0, 0] = float("nan")

    hp.artifacts.save("odd", network, store=store)
    found = hp.artifacts.load("odd", store=store)

    assert same(found, {name: one.detach() for name, one in network.state_dict().items()})
    Odd().load_state_dict(found)


@pytest.mark.parametrize(
    "thing",
    [
        {"w": np.arange(6.0).reshape(2, 3), "n": np.array(3), "turned": np.ones((3, 2)).T},
        pd.DataFrame({"lr": [1e-3, 1 / 3], "opt": ["adam", "sgd"], "n": [1, 2]}),
    ],
)
def test_arrays_and_tables_come_back(store, thing):
    hp.artifacts.save("it", thing, store=store)
    found = hp.artifacts.load("it", store=store)
    if isinstance(thing, pd.DataFrame):
        pd.testing.assert_frame_equal(found, thing)
        return
    for name, value in thing.items():
        assert isinstance(found[name], np.ndarray)
        np.testing.assert_array_equal(found[name], value, strict=True)


def test_a_data_set_comes_back_with_its_digest(store):
    digits = datasets.load("digits")
    version = hp.artifacts.save("digits", digits, aliases=["mine"], store=store)
    found = hp.artifacts.load("digits:mine", store=store)
    assert (version.kind, version.about["data"]) == ("data", digits.digest)
    assert (found.digest, found.class_names) == (digits.digest, digits.class_names)
    assert torch.equal(found.images, digits.images)


def test_files_come_back(store, tmp_path):
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.bin").write_bytes(b"\0\1")
    hp.artifacts.save("it", folder, store=store)
    assert hp.artifacts.load("it", store=store) == {"deep/a.bin": b"\0\1"}
    [path] = hp.artifacts.get("it", tmp_path / "out", store=store)
    assert path.read_bytes() == b"\0\1"
    with pytest.raises(HplabError, match="is there already"):
        hp.artifacts.get("it", tmp_path / "out", store=store)


@pytest.mark.parametrize("thing", [3, {}, {"a": 1.0}, {"a": np.float64(1)}, object(), [1]])
def test_other_things_are_refused(store, thing):
    with pytest.raises(HplabError, match="cannot be kept: give a network"):
        hp.artifacts.save("it", thing, store=store)


def test_an_array_of_no_numbers_is_refused(store):
    with pytest.raises(HplabError, match="words is an array of object: give one of numbers"):
        hp.artifacts.save("it", {"words": np.array([{1}, {2}], dtype=object)}, store=store)


@pytest.mark.parametrize("ref", [None, 5])
def test_a_version_of_no_name_is_refused(store, ref):
    with pytest.raises(HplabError, match=f"unknown artifact '{ref}'"):
        hp.artifacts.load(ref, store=store)


@pytest.mark.parametrize("name", ["", "a b", "../up", ".hidden", "a/b", "a:b"])
def test_a_name_is_one_of_a_file(store, name):
    with pytest.raises(HplabError, match="has letters, digits"):
        hp.artifacts.save(name, pd.DataFrame({"a": [1]}), store=store)


# ---------------------------------------------------------------------------- versions and names


def test_versions_count_up_and_equal_files_lie_there_once(shelf):
    made = [shelf.add("it", item(text), {}) for text in "aba"]
    other = shelf.add("other", item("a"), {"key": "1"})
    assert [one.number for one in made] == [0, 1, 0]
    assert other.ref == "other:v0"
    assert len(list(shelf.blobs.iterdir())) == 2
    assert shelf.find("it").ref == "it:v0"  # added last
    assert shelf.find("it:v1").aliases == ()
    assert shelf.item(shelf.find("it:v1")).files == {"a.txt": b"b" * 10}


def test_an_alias_points_to_one_version(shelf):
    for text in "abc":
        shelf.add("it", item(text), {})
    shelf.alias("it:v0", "mine")
    assert shelf.find("it:mine").ref == "it:v0"
    shelf.alias("it:latest", "mine")
    assert [one.aliases for one in shelf.versions("it")] == [(), (), ("latest", "mine")]
    with pytest.raises(HplabError, match="'v7' is the number of a version"):
        shelf.alias("it", "v7")


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("itt", "unknown artifact 'itt'; known: it; did you mean 'it'"),
        ("it:lates", "unknown version 'lates' in it; known: latest, v0; did you mean 'latest'"),
        ("it:v3", "unknown version 'v3' in it"),
    ],
)
def test_what_is_not_there_gets_the_nearest(shelf, ref, said):
    shelf.add("it", item(), {})
    with pytest.raises(HplabError, match=said):
        shelf.find(ref)


# ------------------------------------------------------------------------------------- clearing up


def test_clearing_up_deletes_what_no_alias_points_to_and_no_blob_that_another_has(shelf):
    for text in "abc":
        shelf.add("it", item(text), {})
    shelf.alias("it:v0", "mine")
    shelf.add("other", item("b"), {})
    before = paths(shelf)

    would = shelf.gc(dry_run=True)
    assert paths(shelf) == before
    gone = shelf.gc()

    assert [one.ref for one in gone.versions] == [one.ref for one in would.versions] == ["it:v1"]
    assert gone.size == would.size == 0  # other:v0 has the same file
    assert [one.ref for one in shelf.versions()] == ["it:v0", "it:v2", "other:v0"]
    assert list(shelf.faults()) == []
    assert shelf.gc().versions == []


def test_a_budget_takes_the_oldest_without_an_alias_and_no_more_than_it_must(shelf):
    for text in "abcd":
        shelf.add("it", item(text, 100), {})
    gone = shelf.gc(300)
    assert [one.ref for one in gone.versions] == ["it:v0"]
    assert gone.size == 100
    assert shelf.size() == 300


def test_what_is_added_makes_room_and_what_is_too_large_is_refused(tmp_path):
    shelf = Shelf(tmp_path, budget=250)
    for text in "abc":
        shelf.add("it", item(text, 100), {})
    assert [one.ref for one in shelf.versions()] == ["it:v1", "it:v2"]
    with pytest.raises(HplabError, match="all artifacts together may have 250 B"):
        shelf.add("it", item("d", 300), {})


def test_blobs_of_nobody_go_but_not_while_a_damaged_version_may_need_them(shelf):
    shelf.add("it", item("a"), {})
    shelf.add("it", item("b"), {})
    (shelf.blobs / ("0" * 64)).write_bytes(b"left by a writer that was killed")
    [manifest] = (shelf.shelves / "it").glob("v1-*.json")
    whole = manifest.read_bytes()
    manifest.write_bytes(whole.replace(b"a.txt", b"c.txt"))

    shelf.gc()
    assert len(list(shelf.blobs.iterdir())) == 3
    manifest.write_bytes(whole)
    shelf.gc()
    assert len(list(shelf.blobs.iterdir())) == 1
    assert shelf.item(shelf.find("it:v1")).files == {"a.txt": b"b" * 10}


# ------------------------------------------------------------------------------------------ damage


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda s: flip(next(iter(s.blobs.iterdir()))), "it:v0: a.txt is damaged"),
        (lambda s: next(iter(s.blobs.iterdir())).unlink(), "it:v0: a.txt is missing"),
        (lambda s: flip(next((s.shelves / "it").glob("v0-*"))), "damaged or edited"),
        (lambda s: flip(s.shelves / "it" / "aliases.json"), "damaged or edited"),
        (lambda s: next((s.shelves / "it").glob("v0-*")).unlink() or (s.add("it", item("b"), {})
         and None), ""),
    ],
)  # fmt: skip
def test_every_damage_is_found(shelf, harm, said):
    shelf.add("it", item("a"), {})
    assert list(shelf.faults()) == []
    harm(shelf)
    faults = list(shelf.faults())
    assert (len(faults) == 1 and said in faults[0]) if said else not faults


def test_an_alias_that_points_nowhere_is_found(shelf):
    shelf.add("it", item("a"), {})
    shelf.alias("it", "mine")
    shelf.add("it", item("b"), {})
    next((shelf.shelves / "it").glob("v0-*")).unlink()
    assert list(shelf.faults()) == ["it:mine points to v0, which is not there"]


def test_damaged_weights_are_refused_and_hide_no_others(shelf):
    shelf.add("it", item("a"), {})
    flip(next(iter(shelf.blobs.iterdir())))
    good = shelf.add("it", item("b"), {})
    with pytest.raises(DamagedError, match="it:v0: a.txt is damaged"):
        shelf.item(shelf.find("it:v0"))
    assert shelf.item(good).files == {"a.txt": b"b" * 10}


# ------------------------------------------------------------------------------- what sweeps keep


def test_the_best_run_is_kept_and_comes_back(store):
    hp.sweep(train, lr=[0.1, 0.2, 0.4], seed=range(2), store=store, jobs=1, keep="best")

    found = hp.artifacts.find("model:best", store=store)

    assert len(hp.artifacts.table("model", store=store)) == 1
    assert found.aliases == ("best", "latest")
    assert found.lineage["point"] == {"lr": 0.2}
    assert found.lineage["score"] == {"metric": "val_acc", "value": pytest.approx(0.91)}
    record = store.get(found.lineage["key"])
    assert (record["config"]["code"], record["seed"]) == (found.lineage["code"], 1)
    for name, value in weights(0.2, 1).items():
        np.testing.assert_array_equal(hp.artifacts.load("model:best", store=store)[name], value)


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_are_kept_in_whatever_process_they_ran(store, jobs):
    runs = hp.sweep(train, lr=[0.1, 0.2], seed=range(2), store=store, jobs=jobs, keep="all")
    versions = hp.artifacts.table("model", store=store)
    assert set(versions["run"]) == set(runs["key"])
    for ref, key in zip(versions["artifact"], versions["run"], strict=True):
        run = runs[runs["key"] == key].iloc[0]
        got = hp.artifacts.load(ref, store=store)
        np.testing.assert_array_equal(got["w"], weights(run["lr"], run["seed"])["w"])
    assert hp.artifacts.find("model:best", store=store).lineage["seed"] == 1


def test_nothing_is_kept_unless_it_is_asked_for_and_numbers_stay_the_same(store):
    runs = hp.sweep(train, lr=[0.1, 0.2], store=store, jobs=1)
    assert hp.artifacts.table(store=store).empty
    assert runs["val_acc"].tolist() == [train(0.1)["val_acc"], train(0.2)["val_acc"]]


def test_runs_that_were_recorded_without_are_told(store, capsys):
    hp.sweep(train, lr=[0.1, 0.2], store=store, jobs=1)
    capsys.readouterr()
    hp.sweep(train, lr=[0.1, 0.2, 0.3], store=store, jobs=1, keep="all")
    assert "2 runs were recorded before without what it trained" in capsys.readouterr().err
    assert len(hp.artifacts.table(store=store)) == 1
    hp.sweep(train, lr=0.3, store=store, jobs=1, keep="all")
    assert "recorded before" not in capsys.readouterr().err


def test_a_sweep_that_keeps_and_gets_nothing_says_so(store, capsys):
    hp.sweep(lambda lr: {"val_acc": lr}, lr=[0.1, 0.2], store=store, jobs=1, keep="best")
    assert "2 runs gave nothing to keep: let the function return its network" in (
        capsys.readouterr().err
    )


def test_of_a_generator_the_last_epoch_is_kept_and_a_run_that_diverged_is_not_the_best(store):
    def curve(lr, seed=0):
        for epoch in range(3):
            yield {
                "val_acc": lr + epoch / 10 if lr < 1 else float("nan"),
                "model": weights(epoch + 1, 0),
            }

    runs = hp.sweep(curve, lr=[0.1, 2.0], store=store, jobs=1, keep="all")

    assert runs["status"].tolist() == ["ok", "diverged"]
    assert hp.artifacts.find("curve:best", store=store).lineage["point"] == {"lr": 0.1}
    best = hp.artifacts.load("curve:best", store=store)
    np.testing.assert_array_equal(best["w"], weights(3, 0)["w"])
    assert hp.curves(runs, store=store)["val_acc"].iloc[:3].tolist() == [0.1, 0.2, 0.1 + 0.2]


def test_a_run_that_was_stopped_is_not_the_best(store):
    keeping = Keeping("all", store)
    for text, status, value in (("a", "ok", 0.5), ("b", "stopped", 0.9), ("c", "ok", 0.4)):
        head = {"status": status, "final": {"val_acc": value}}
        keeping.take("it", [item(text)], {"key": text}, head)
    assert hp.artifacts.find("it:best", store=store).lineage["key"] == "a"
    assert len(hp.artifacts.table(store=store)) == 3


def test_keep_is_best_or_all(store):
    with pytest.raises(HplabError, match="unknown keep 'bset'; known: all, best; did you mean"):
        hp.sweep(train, lr=0.1, store=store, keep="bset")


def test_less_of_a_loss_is_better(store):
    def loss(lr):
        return {"val_loss": lr, "w": {"w": np.full(2, lr)}}

    hp.sweep(loss, lr=[0.3, 0.1, 0.2], store=store, jobs=1, keep="best")
    assert hp.artifacts.load("loss:best", store=store)["w"].tolist() == [0.1, 0.1]


TRIAL = hp.Trial(data="digits", model="mlp", batch_size=256, epochs=1, n_train=256)


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_the_network_of_a_trial_predicts_bit_for_bit_what_it_did(store, n_seeds):
    trials = hp.grid(TRIAL, lr=[0.1], seed=range(n_seeds))
    options = {"preset": "paper", "store": store, "jobs": 1, "device": "cpu"}
    runs = hp.run(trials, **options, keep="all")
    digits = datasets.load("digits")
    pixels = digits.test_images.float() / 255

    from hplab.training import loop

    outcomes = loop.train_lanes(trials, digits)
    rows = {row.run: row for row in hp.artifacts.table(store=store).itertuples()}
    for trial, outcome in zip(trials, outcomes, strict=True):
        row = rows[trial.key(digits.digest)]
        network = hp.artifacts.network(row.artifact, store=store)
        with torch.no_grad():
            assert torch.equal(network(pixels), outcome.model.eval()(pixels))
        assert row.data == digits.digest
        assert row.code
    best = hp.artifacts.find("digits-mlp:best", store=store)
    assert best.lineage["score"]["value"] == runs["val_acc"].max()


def test_weights_of_a_function_are_no_network_of_a_trial(store):
    hp.sweep(train, lr=0.1, store=store, jobs=1, keep="all")
    with pytest.raises(HplabError, match="model:v0 is not from a trial"):
        hp.artifacts.network("model", store=store)


SCRIPT = """
import argparse, pathlib, wandb
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
lr = parser.parse_args().lr
with wandb.init() as run:
    path = pathlib.Path(f"model-{lr}.bin")
    path.write_text(f"weights at {lr}")
    artifact = wandb.Artifact("net", type="model", metadata={"lr": lr})
    artifact.add_file(path, name="model.bin")
    run.log_artifact(artifact, aliases=["mine", "latest"])
    run.log({"loss": lr})
    path.unlink()
"""


@pytest.mark.parametrize("keep", [None, "best"])
def test_an_artifact_that_a_script_logs_to_wandb_is_kept(store, tmp_path, monkeypatch, keep):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT.replace("    path.unlink()\n", ""))
    (tmp_path / "sweep.yaml").write_text(
        "program: train.py\nmethod: grid\nmetric: {name: loss, goal: minimize}\n"
        "parameters:\n  lr: {values: [0.3, 0.1, 0.2]}\n"
    )
    file = sweepfile.read(tmp_path / "sweep.yaml")
    with sweepruns.prepared(file, jobs=1, stand_in=True) as job:
        sweepruns.run(file, job, jobs=1, store=store, keep=keep)
    if keep is None:
        assert hp.artifacts.table(store=store).empty
        return
    assert hp.artifacts.load("net:best", store=store) == {"model.bin": b"weights at 0.1"}
    found = hp.artifacts.find("net:mine", store=store)
    assert found.about == {"type": "model", "lr": 0.1}


# ---------------------------------------------------------------------------- killed in the middle


@pytest.mark.slow
def test_a_sweep_that_is_killed_keeps_each_model_once(tmp_path):
    (tmp_path / "go.py").write_text(
        textwrap.dedent(
            """
            import time
            import numpy as np
            import hplab as hp
            def train(lr, seed):
                time.sleep(0.05)
                return {"val_acc": lr, "w": {"w": np.full(1000, lr + seed)}}
            hp.sweep(train, lr=[0.1, 0.2], seed=range(20), jobs=1, keep="all")
            """
        )
    )
    env = {**os.environ, "HPLAB_RESULTS": str(tmp_path / "results"), "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "go.py"]
    for wait in (3.5, 1.5):
        process = subprocess.Popen(command, cwd=tmp_path, env=env)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, cwd=tmp_path, env=env).returncode == 0

    from hplab.sweeps.store import Store

    store = Store(tmp_path / "results", tmp_path / ".hplab" / "pending")
    shelf = shelf_of(store)
    assert list(shelf.faults()) == []
    versions = shelf.versions("train")
    assert sorted(one.lineage["key"] for one in versions) == sorted(h["key"] for h in store.heads())
    assert len(versions) == 40


# ------------------------------------------------------------------------------------ the commands


def test_the_commands_list_get_name_verify_and_clear_up(tmp_path, monkeypatch):
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)

    def ask(*args, code=0):
        options = {"standalone_mode": False, "catch_exceptions": False}
        done = CliRunner().invoke(cli, ["artifact", *args], **options)
        assert (done.return_value or 0) == code
        return done.output

    assert "nothing is kept yet" in ask("list")
    hp.sweep(train, lr=[0.1, 0.2], jobs=1, keep="all")
    assert "model:v1  best, latest  weights" in ask("list")
    assert "model:mine is model:v0" in ask("alias", "model:v0", "mine")
    said = ask("get", "model:best", "out")
    assert "settings  lr=0.2, seed=0" in said
    assert "wrote out/weights.safetensors" in said
    assert "artifacts: no problem" in ask("verify")
    hp.sweep(train, lr=0.19, seed=0, jobs=1, keep="all")
    hp.sweep(train, lr=0.18, seed=0, jobs=1, keep="all")
    assert "would delete model:v2" in ask("gc", "--dry-run")
    assert "deleted model:v2" in ask("gc")
    flip(next(iter((tmp_path / ".hplab" / "artifacts" / "blobs").iterdir())))
    assert "is damaged" in ask("verify", code=1)
