"""What runs have cost, added up by study, sweep and claim."""

import re

import pytest
from tiny_functions import tree

import hplab as hp
from hplab.errors import HplabError
from hplab.pages.tables import spent
from hplab.sweeps import declared, presets
from hplab.trial import Trial, grid


def head(device="cpu", threads=1, train_s=3600.0, eval_s=0.0, **more):
    cost = {"train_s": train_s, "eval_s": eval_s, "device": device, "threads": threads, **more}
    return {"cost": cost}


def test_cores_and_cards_are_counted_apart_and_joules_where_they_are_known():
    heads = [head(eval_s=400.0), head(threads=4, cpu_j=5.0), head("cuda:0", None, gpu_j=7.0)]
    found = spent.of_records([*heads, {"cost": {"train_s": 1.0}}, {}])
    assert (found.runs, found.core_s, found.gpu_s) == (5, 4000.0 + 4 * 3600.0 + 1.0, 3600.0)
    assert found.joules == {"cpu_j": 5.0, "gpu_j": 7.0}
    assert found.measured == {"cpu_j": 1, "gpu_j": 1}


def test_the_table_has_a_line_a_study_and_sweep_and_a_run_of_two_studies_counts_once(
    store, tmp_path
):
    trial = hp.Trial(data="digits", model="mlp", batch_size=256, epochs=1, n_train=256)
    size = presets.PRESETS["paper"]
    hp.run([trial], preset="paper", store=store, jobs=1, device="cpu")
    hp.sweep(tree, depth=[2, 4], store=store, jobs=1)
    assert size.scale(trial) == trial
    path = tmp_path / "trials.jsonl"
    path.write_text(declared.dumps([("one", trial), ("two", trial)]))

    text = spent.table(store, tmp_path)

    counts = dict(re.split("  +", line)[:2] for line in text.splitlines()[1:5])
    assert counts == {"one": "1", "tree": "2", "two": "1", "in all": "3"}
    alone = spent.table(store, tmp_path, "tree").splitlines()
    assert alone[1].split()[:2] == ["tree", "2"]
    with pytest.raises(HplabError, match="unknown study, sweep or claim 'treee'.*mean 'tree'"):
        spent.table(store, tmp_path, "treee")


def test_a_claim_without_runs_has_cost_nothing(store, tmp_path):
    said = "no recorded run decides S4-01, so it has cost nothing yet"
    assert spent.table(store, tmp_path, "S4-01") == said

    trials = grid(
        Trial(data="mnist", model="cnn", optimizer="adam", lr=1e-3, batch_size=64, epochs=5),
        seed=range(20),
    )
    (tmp_path / "trials.jsonl").write_text(declared.dumps([("one", trial) for trial in trials]))
    assert spent.table(store, tmp_path, "S4-01") == (
        f"{said}; it lacks 3 runs (nobody has timed any like them) for a first verdict and 20 runs "
        "(nobody has timed any like them) for all planned seeds; `make execute STUDY=one "
        "PRESET=paper` trains them with all else there"
    )


def test_no_records(store, tmp_path):
    assert spent.table(store, tmp_path) == "there are no records yet"
