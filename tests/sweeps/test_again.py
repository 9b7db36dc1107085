"""Records made a second time are told apart from those that are committed, and replace none."""

import pytest

from hplab import cli
from hplab.cli import base, studies
from hplab.sweeps import again
from hplab.sweeps.store import Store
from hplab.trial import Trial

DIGEST = "0" * 64


def record(lr, acc, *, version=1, status="ok", data="digits"):
    trial = Trial(data, "mlp", lr=lr)
    return {
        **{"v": 1, "task": "classify", "task_version": version, "data": DIGEST, "seed": 0},
        **{"key": f"{version}{trial.key(DIGEST)[1:]}", "config": trial.config(), "prov": "0" * 12},
        **{"status": status, "at": None, "curves": {"val_acc": [acc]}},
        **{"final": {"val_acc": acc, "val_loss": 1.0}, "cost": {"train_s": 1.0}},
    }


@pytest.fixture
def stores(tmp_path):
    """Two stores, of committed records and of new ones; returns what `compare` says of them."""

    def compare(before, after):
        pair = [Store(tmp_path / name, tmp_path / name / "pending") for name in ("old", "new")]
        for store, records in zip(pair, (before, after), strict=True):
            store.put(records)
        return again.compare(*pair, "digits")

    return compare


def test_each_trial_is_equal_moved_new_or_gone(stores):
    old = [record(0.1, 0.9), record(0.2, 0.8), record(0.3, 0.7), record(0.6, 0.5)]
    new = [record(0.1, 0.9), record(0.2, 0.81), record(0.3, 0.75), record(0.4, 0.6)]
    changes = stores([*old, record(0.5, 0.1, data="mnist")], new)

    assert [change.kind for change in changes] == ["moved", "moved", "equal", "gone", "new"]
    assert [round(change.delta, 6) for change in changes] == [0.05, 0.01, 0, 0, 0]
    assert [one["config"]["lr"] for one in again.unrecorded(changes)] == [0.4]
    lines = again.summary(changes).splitlines()
    assert lines[0].startswith("5 trials: 1 equal to the last digit, 2 moved, 1 not recorded")
    assert lines[1].startswith("  moved by 0.05: {")
    assert '"lr":0.3,"model":"mlp"' in lines[1]
    assert len(lines) == 3


def test_a_run_that_now_diverges_moved_infinitely(stores):
    (change,) = stores([record(0.1, 0.9)], [record(0.1, 0.9, status="diverged")])

    assert (change.kind, change.delta) == ("moved", float("inf"))


def test_under_a_new_version_of_the_task_all_are_to_be_written_and_still_compared(stores):
    old = [record(0.1, 0.9), record(0.2, 0.8)]
    new = [record(0.1, 0.9, version=2), record(0.2, 0.7, version=2)]
    changes = stores(old, new)

    assert [change.kind for change in changes] == ["moved", "equal"]
    assert len(again.unrecorded(changes)) == 2


def test_of_many_that_moved_the_farthest_are_listed(stores):
    lrs = [n / 100 for n in range(1, 31)]
    changes = stores([record(lr, 0.5) for lr in lrs], [record(lr, 0.5 + lr) for lr in lrs])
    lines = again.summary(changes).splitlines()

    assert len(lines) == 1 + again.MOST_LINES + 1
    assert '"lr":0.3' in lines[1]
    assert lines[-1] == "  and 10 that moved less"


def test_a_preset_that_trains_for_hours_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["records", "--preset", "paper"])

    assert ended.value.code == 2
    assert "make execute" in capsys.readouterr().err


@pytest.mark.parametrize("write", [False, True])
def test_what_is_not_recorded_is_added_only_when_asked(write, tmp_path, monkeypatch, capsys):
    mine = Store(tmp_path / "results", tmp_path / ".hplab" / "pending")
    mine.put([record(0.1, 0.9), record(0.3, 0.9)])
    mine.pack()

    def execute(studies, *, env, out, **options):
        scratch = Store(env["HPLAB_RESULTS"], tmp_path / "_build/records-laptop/.hplab/pending")
        prov = scratch.put_provenance({"device": "cpu"})
        scratch.put([record(0.1, 0.8) | {"prov": prov}, record(0.2, 0.7) | {"prov": prov}])
        return 0

    monkeypatch.setattr(base, "ROOT", tmp_path)
    monkeypatch.setattr(studies, "execute_pages", execute)
    monkeypatch.setattr("hplab.sweeps.store.default_store", lambda: mine)
    with pytest.raises(SystemExit) as ended:
        cli.main(["records", *(["--write"] if write else [])])

    assert ended.value.code == 1
    assert (
        "1 moved, 1 not recorded before, 1 recorded and trained no more" in capsys.readouterr().out
    )
    mine.refresh()
    kept = {one["config"]["lr"]: one["final"]["val_acc"] for one in mine.records()}
    assert kept == {0.1: 0.9, 0.3: 0.9} | ({0.2: 0.7} if write else {})
    assert mine.conflicts() == []
    if write:
        assert mine.provenance(mine.find(Trial("digits", "mlp", lr=0.2))["prov"]) == {
            "device": "cpu"
        }


@pytest.mark.parametrize(("arguments", "code"), [([], 1), (["--write"], 0)])
def test_trials_that_are_only_new_are_no_fault_once_they_are_written(
    arguments, code, tmp_path, monkeypatch
):
    mine = Store(tmp_path / "results", tmp_path / ".hplab" / "pending")

    def execute(studies, *, env, out, **options):
        scratch = Store(env["HPLAB_RESULTS"], tmp_path / "_build/records-laptop/.hplab/pending")
        scratch.put([record(0.1, 0.8) | {"prov": scratch.put_provenance({"device": "cpu"})}])
        return 0

    monkeypatch.setattr(base, "ROOT", tmp_path)
    monkeypatch.setattr(studies, "execute_pages", execute)
    monkeypatch.setattr("hplab.sweeps.store.default_store", lambda: mine)
    with pytest.raises(SystemExit) as ended:
        cli.main(["records", *arguments])

    assert ended.value.code == code
