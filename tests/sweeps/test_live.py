"""What runs is seen as it trains, by whoever looks, and can be stopped without losing anything."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from click.testing import CliRunner

import hplab as hp
from hplab.cli import cli
from hplab.errors import HplabError
from hplab.pages.tables import watched
from hplab.sweeps import checkpoints, live, sweepfile, sweepruns
from hplab.sweeps.store import Store

NOBODY = 2**22 + 1  # no process of Linux has this number


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live, "EVERY_S", 0.05)


def test_a_run_is_seen_while_it_trains_and_no_longer(store):
    seen = []

    def curve(lr):
        for epoch in range(3):
            time.sleep(2.5 * live.EVERY_S)
            seen.append(live.sweeps(store.pending))
            yield {"val_acc": lr + epoch}

    hp.sweep(curve, lr=[0.1, 0.2], store=store, jobs=1)

    assert [sweep.name for [sweep] in seen] == ["curve"] * 6
    assert [(sweep.done, sweep.total) for [sweep] in seen] == [(0, 2)] * 3 + [(1, 2)] * 3
    runs = [run for [sweep] in seen for run in sweep.running]
    assert [run.point for run in runs] == [{"lr": 0.1}] * 3 + [{"lr": 0.2}] * 3
    assert [len(run.epochs) for run in runs] == [0, 1, 2] * 2
    assert runs[2].epochs == [{"val_acc": 0.1}, {"val_acc": 1.1}]
    assert live.sweeps(store.pending) == []
    assert list((store.pending.parent / "live").iterdir()) == []


def test_a_run_that_fails_is_seen_no_longer(store):
    def broken(lr):
        yield {"val_acc": 1.0}
        time.sleep(2.5 * live.EVERY_S)
        assert lr < 0.2
        [sweep] = live.sweeps(store.pending)
        yield {"val_acc": 0.1 * len(sweep.running)}

    runs = hp.sweep(broken, lr=[0.3, 0.1], store=store, jobs=1)
    assert runs["val_acc"].tolist() == [0.1]


def test_a_sweep_file_says_how_many_runs_there_are_in_all(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(
        "import json, pathlib, time\n"
        "time.sleep(0.2)\n"
        "[file] = pathlib.Path('.hplab/live').glob('*/sweep.json')\n"
        "print(json.dumps({'total': json.loads(file.read_text())['total']}))\n"
    )
    (tmp_path / "sweep.yaml").write_text(
        "program: train.py\nmethod: grid\nparameters:\n  lr: {values: [1, 2]}\n"
    )
    store = Store(tmp_path / "results", tmp_path / ".hplab" / "pending")
    file = sweepfile.read(tmp_path / "sweep.yaml")
    with sweepruns.prepared(file, jobs=1) as job:
        found = sweepruns.run(file, job, n_seeds=2, jobs=1, store=store)
    assert found.runs["total"].tolist() == [4.0] * 4


def test_where_it_cannot_be_posted_the_sweep_goes_on(store):
    store.pending.parent.mkdir(parents=True, exist_ok=True)
    (store.pending.parent / "live").write_text("a file where a folder would be")

    def slow(lr):
        time.sleep(2.5 * live.EVERY_S)
        return {"val_acc": lr}

    runs = hp.sweep(slow, lr=[0.1, 0.2], store=store, jobs=1)
    assert runs["val_acc"].tolist() == [0.1, 0.2]


def test_what_a_killed_sweep_left_is_deleted_and_a_line_cut_short_is_passed_over(tmp_path):
    pending = tmp_path / "pending"
    with live.posting(pending, "mine") as post:
        post.expect(3)
        post.write()
        slot = live.Slot(post.folder, {"lr": 0.1})
        slot.write()
        with slot.path.open("a") as file:
            file.write('{"val_acc": 0.5}\n{"val_a')
        dead = post.folder.with_name(f"{NOBODY}-0")
        dead.mkdir()
        (dead / "sweep.json").write_text(
            f'{{"name": "old", "process": {NOBODY}, "began": 1.0, "total": 1, "done": 0}}'
        )
        [sweep] = live.sweeps(pending)
        assert (sweep.name, sweep.total) == ("mine", 3)
        assert sweep.running[0].epochs == [{"val_acc": 0.5}]
        assert not dead.exists()


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_trials_are_seen_as_stacks_with_the_mean_of_their_curves(store, monkeypatch, n_seeds):
    seen = []
    see = checkpoints.Checkpoint.see

    def looked(keeper, lanes):
        see(keeper, lanes)
        time.sleep(3 * live.EVERY_S)
        seen.extend(live.sweeps(store.pending))

    monkeypatch.setattr(checkpoints.Checkpoint, "see", looked)
    trial = hp.Trial(data="digits", model="mlp", batch_size=256, epochs=3, n_train=256)
    trials = hp.grid(trial, seed=range(n_seeds))
    runs = hp.run(trials, preset="paper", store=store, jobs=1, device="cpu")
    means = hp.curves(runs, store=store).groupby("epoch")["val_loss"].mean()

    assert [(sweep.done, sweep.total) for sweep in seen] == [(0, n_seeds)] * 3
    [run] = seen[-1].running
    assert run.point.get("trials", 1) == n_seeds
    assert run.point["lr"] == trial.lr
    assert [row["val_loss"] for row in run.epochs] == pytest.approx(means.tolist(), rel=1e-6)


# -------------------------------------------------------------------------------- what is shown


def test_what_is_shown_has_progress_settings_and_curves(tmp_path):
    pending = tmp_path / "pending"
    with live.posting(pending, "train") as post:
        post.total, post.done = 8, 2
        post.write()
        slot = live.Slot(post.folder, {"lr": 1e-4, "seed": 3})
        slot.epochs = [{"val_loss": 2.0, "val_acc": 0.1}, {"val_loss": 1.0, "val_acc": 0.9}]
        slot.write()
        lines = watched.shown(pending, now=post._began + 100).splitlines()
        loss = watched.shown(pending, "val_loss")
        with pytest.raises(HplabError, match="unknown metric 'val_los'.*did you mean 'val_loss'"):
            watched.shown(pending, "val_los")
    assert lines[0] == "train: 2 of 8 runs done, 2 min, about 5 min left"
    assert lines[1].split() == ["running", "epochs", "val_acc", "for"]
    assert lines[2].split()[:5] == ["lr=1e-4", "seed=3", "2", "0.9", "▁█"]
    assert "█▁" in loss
    assert watched.shown(pending) == ""


@pytest.mark.parametrize("n", [1, 29, 30, 31, 1000])
def test_a_curve_of_any_length_ends_with_its_last_value_and_fits(n):
    drawn = watched.curve([float(i) for i in range(n)])
    assert len(drawn) == min(n, 30)
    assert drawn[-1] == ("█" if n > 1 else "▁")
    assert sorted(drawn) == list(drawn)


# ------------------------------------------------------------------------------- how it is stopped


def test_stop_ends_a_sweep_and_keeps_what_is_finished(tmp_path, monkeypatch):
    (tmp_path / "go.py").write_text(
        textwrap.dedent(
            """
            import time
            import hplab as hp
            def train(lr):
                if lr > 0.15:
                    open("there", "w").close()
                    time.sleep(60)
                return {"val_acc": lr}
            hp.sweep(train, lr=[0.1, 0.2, 0.3], jobs=1)
            """
        )
    )
    env = {**os.environ, "HPLAB_RESULTS": str(tmp_path / "results"), "PYTHONPATH": os.getcwd()}
    with subprocess.Popen(
        [sys.executable, "go.py"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while not (tmp_path / "there").exists():
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(0.6)  # it posts every 0.2 s
            monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
            seen = CliRunner().invoke(cli, ["watch"], catch_exceptions=False).output
            with pytest.raises(HplabError, match="unknown sweep 'trian'.*did you mean 'train'"):
                CliRunner().invoke(cli, ["watch", "trian", "--stop"], catch_exceptions=False)
            said = CliRunner().invoke(cli, ["watch", "--stop"], catch_exceptions=False).output
            told = process.communicate(timeout=30)[1]
        finally:
            process.send_signal(signal.SIGKILL)
    assert "train: 1 of 3 runs done" in seen
    assert "lr=0.2" in seen
    assert f"told train (process {process.pid}) to stop; 1 of 3 runs were done" in said
    assert "1 of the 3 runs that were missing are finished and kept" in told
    store = Store(tmp_path / "results", tmp_path / ".hplab" / "pending")
    assert [head["config"]["point"] for head in store.heads()] == [{"lr": 0.1}]
    assert CliRunner().invoke(cli, ["watch"]).output == "no sweep is going on here\n"
