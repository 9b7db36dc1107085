"""The page on speed shows what the benchmarks wrote, and says so where they wrote nothing."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from hplab.pages.tables import speed
from hplab.training.networks import models
from hplab.trial import Trial

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MACHINE = {
    "processor": "A <small> chip",
    "cores": 2,
    "torch": "2.15.0+cpu",
    "python": "3.12.1",
    "matmul_gflops": 100.0,
    "matmul_bf16_gflops": 200.0,
    "copy_gb_s": 10.0,
}


@pytest.fixture
def folder(tmp_path):
    row = {
        "name": "W2",
        "trials": 4,
        "seconds_a_trial": {"hplab": 0.5, "plain loop": 1.0},
        "ratio": {"plain loop": 2.0},
        "gflops": 25.0,
        "peak_gflops": 100.0,
    }
    files = {
        "engine": {"machine": MACHINE, "rounds": 3, "rows": [row]},
        "scaling": {
            "rounds": 3,
            "rows": [
                {"network": "MLP", "lanes": lanes, "seconds": 0.08 / lanes} for lanes in (1, 2, 4)
            ],
        },
        "overhead": {
            "rows": [{"trials": 1000, "put_s": 2.0, "load_s": 0.5, "cached_sweep_s": 0.25}]
        },
    }
    files["tried"] = {
        "rows": [{"tried": "a change", "network": "W2", "ratio": 1.234, "usual_ms": 5}]
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_every_table_is_there_for_the_committed_benchmarks():
    for name, make in speed.tables(BENCHMARKS.parent / "book" / "results" / "bench").items():
        assert make() != speed._NONE, name


def test_the_reports_own_workloads_stand_beside_their_goals(tmp_path):
    photos = {"images_s": 4000, "over_files": 7.86, "over_decoded": 1.81, "diagnostics": 0.017}
    mobilenet = {
        "peer": {"images_per_s": 100, "times_peer": 1},
        "fp32": {"images_per_s": 174, "times_peer": 1.74},
        "mixed bf16": {"images_per_s": 242, "times_peer": 2.42},
    }
    way = {"way": "pairs, fp32", "ratio": 1.804, "share": 0.5, "losses_s": 2.0}
    sharpness = {"images": 2500, "rows": [way]}
    files = {"photos": photos, "mobilenet": {"rows": mobilenet}, "sharpness": sharpness}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    tables = speed.tables(tmp_path)

    assert "takes 7.9 times as long (goal 5)" in tables["bench-photos"]()
    assert "2 % of training (goal at most 5 %)" in tables["bench-photos"]()
    said = tables["bench-mobilenet"]()
    assert "1.74 times as fast in single precision (goal 1.4)" in said
    assert "2.42 times as fast with bfloat16 in them (goal 1.6)" in said
    assert "1.8 (goal 1.3)" in tables["bench-sharpness"]()
    assert "5,000" in tables["bench-sharpness"]()  # twice a second over 2,500 images


def test_ratios_stand_beside_their_goals(folder):
    assert "2 (goal 1.4)" in speed.tables(folder)["bench-ratios"]()


def test_the_order_that_a_user_would_write_has_a_column_once_it_is_measured(folder):
    path = folder / "engine.json"
    found = json.loads(path.read_text())
    assert "pool last" not in speed.tables(folder)["bench-ratios"]()

    found["rows"][0]["ratio"][speed.POOL_LAST] = 2.5
    path.write_text(json.dumps(found))

    assert "pool last" in speed.tables(folder)["bench-ratios"]()


def test_the_first_sweep_of_a_process_is_told_once_it_is_measured(folder):
    path = folder / "engine.json"
    found = json.loads(path.read_text())
    said = speed.tables(folder)["bench-fresh"]()
    assert said.startswith("Rounds count from the second on")
    assert said.endswith("is not measured yet.")

    seconds = {"hplab": 1.5, "plain loop": 3.0}
    first = found["rows"][0] | {"name": f"W2{speed.FRESH}", "seconds_a_trial": seconds}
    path.write_text(json.dumps(found | {"rows": [*found["rows"], first]}))
    said = speed.tables(folder)["bench-fresh"]()

    assert "(W2) takes 6 s from the start of Python to its end, a later one 2 s" in said


def test_the_share_of_the_peak_is_a_share(folder):
    assert "<td>25 %</td>" in speed.tables(folder)["bench-share"]().replace(' class="hp-num"', "")


def test_the_machine_is_named_and_escaped(folder):
    text = speed.tables(folder)["bench-machine"]()
    assert "A &lt;small&gt; chip with 2 cores" in text
    assert "at 100 GFLOP/s" in text


def test_the_figure_says_what_stacking_gains(folder):
    assert "MLP: at best 4 times as fast" in speed.tables(folder)["bench-lanes"]()


def test_overhead_is_a_trials(folder):
    table = speed.tables(folder)["bench-overhead"]()
    assert "2 ms" in table
    assert "0.25 s" in table


def test_a_change_stands_beside_what_it_gains(folder):
    table = speed.tables(folder)["bench-tried"]()
    assert "a change" in table
    assert "1.23" in table


def test_what_was_not_measured_is_said(tmp_path):
    for make in speed.tables(tmp_path).values():
        assert "run `make bench`" in make()


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("engine", "peers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("engine", BENCHMARKS / "engine.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "engine", module)
    spec.loader.exec_module(module)
    return module


def test_every_goal_belongs_to_a_workload(engine):
    names = {workload.name for workload in engine.WORKLOADS}
    assert set(speed.TARGETS) <= names
    against = {peer for workload in engine.WORKLOADS for peer in workload.against}
    assert against == {*speed.PEERS, speed.POOL_LAST}
    for workload in engine.WORKLOADS:
        assert workload.fresh == workload.name.endswith(speed.FRESH)
        assert workload.name.removesuffix(speed.FRESH) in names


def test_the_plain_loop_ends_where_hplab_ends(engine):
    """The peer that needs no package: same weights, same order, same losses."""
    workload = engine.Workload(
        "tiny", engine.DIGITS.replace(epochs=2, batch_size=48), 2, ("plain loop",)
    )
    _, losses = engine.ours(workload)
    _, loss = engine.theirs(workload, "plain loop")
    assert loss == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.slow
def test_a_fresh_process_trains_the_same(engine):
    trial = engine.DIGITS.replace(epochs=2, batch_size=48)
    usual = engine.Workload("tiny", trial, 2, ("plain loop",))
    fresh = engine.Workload("tiny, fresh process", trial, 2, ("plain loop",), fresh=True)
    (seconds, losses), (theirs, loss) = engine.ours(fresh), engine.theirs(fresh, "plain loop")

    assert losses[0] == pytest.approx(engine.ours(usual)[1][0], rel=1e-4)
    assert loss == pytest.approx(losses[0], rel=1e-4)
    assert min(seconds, theirs) > 0.2  # two trials in no less than it takes to import torch


def test_a_network_that_pools_last_computes_the_same(engine):
    trial = Trial(data="mnist", model_args={"channels": [4, 6], "batch_norm": True})
    network = models.build(trial, (1, 8, 8), 10).eval()
    images = torch.randn(5, 1, 8, 8)

    other = engine.peers.activated_first(network)

    kinds = [type(layer).__name__ for layer in other][:4]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert [type(layer).__name__ for layer in network][2:4] == ["MaxPool2d", "ReLU"]
    assert torch.equal(other(images), network(images))


def test_operations_of_a_trial_are_counted(engine):
    """Two operations a weight forwards, four backwards, two for measuring; biases are not counted.

    The first layer needs no gradient of its input.
    """
    trial = engine.DIGITS.replace(epochs=1)
    weights, first, n, n_val = 64 * 64 + 64 * 32 + 32 * 10, 64 * 64, 1437, 360
    wanted = n * (6 * weights - 2 * first) + (n + n_val) * 2 * weights
    assert engine.flops_per_trial(trial) == pytest.approx(wanted)
