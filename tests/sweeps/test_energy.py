"""Joules of counters: sums are right, counters wrap, and what cannot be read is said."""

import sys
import types

import pytest

import hplab as hp
from hplab.sweeps import energy


def zone(folder, number, name, joules, ends=1000.0):
    path = folder / f"intel-rapl:{number}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{int(ends * 1e6)}\n")
    (path / "energy_uj").write_text(f"{int(joules * 1e6)}\n")


def test_processors_and_their_memory_are_added_and_parts_are_not_counted_twice(tmp_path):
    for number, name in (("0", "package-0"), ("0:0", "core"), ("0:1", "dram"), ("1", "package-1")):
        zone(tmp_path, number, name, 10.0)
    zone(tmp_path, "2", "psys", 10.0)
    meter = energy.Meter("cpu", tmp_path)
    for number, joules in (("0", 11.0), ("0:0", 99.0), ("0:1", 10.5), ("1", 12.0)):
        zone(tmp_path, number, {"0:0": "core", "0:1": "dram"}.get(number, "package-0"), joules)
    zone(tmp_path, "2", "psys", 99.0)
    assert meter.lap() == {energy.CPU: 1.0 + 0.5 + 2.0}
    assert meter.lap() == {energy.CPU: 0.0}


def test_a_counter_that_begins_again_at_0_is_noticed(tmp_path):
    zone(tmp_path, "0", "package-0", 990.0)
    meter = energy.Meter("cpu", tmp_path)
    zone(tmp_path, "0", "package-0", 5.0)
    assert meter.lap() == {energy.CPU: 15.0}


def test_what_cannot_be_read_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    meter = energy.Meter("", tmp_path)
    assert meter.lap() == {}
    assert meter.missing == {
        energy.CPU: f"no counter of energy in {tmp_path}",
        energy.GPU: "nvidia-ml-py is not installed",
    }
    zone(tmp_path, "0", "package-0", 1.0)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert "energy_uj may not be read" in energy.Meter("cpu", tmp_path).missing[energy.CPU]


@pytest.mark.parametrize(("device", "joules"), [("cuda:1", 2.0), ("cuda", 1.0), ("", 3.0)])
def test_cards_are_those_that_train(tmp_path, monkeypatch, device, joules):
    spent = {0: 5000, 1: 7000}  # millijoules
    tool = types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetTotalEnergyConsumption=lambda card: spent[card],
    )
    monkeypatch.setitem(sys.modules, "pynvml", tool)
    meter = energy.Meter(device, tmp_path)
    spent[0] += 1000
    spent[1] += 2000
    assert meter.lap() == {energy.GPU: joules}


@pytest.mark.parametrize("trials", [False, True])
def test_over_a_sweep_the_joules_of_the_runs_add_up(store, tmp_path, monkeypatch, trials):
    """A counter that goes up by one joule whenever it is read."""
    zone(tmp_path, "0", "package-0", 0.0, ends=1e6)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    now, read = energy.Meter._now, []

    def ticking(meter):
        zone(tmp_path, "0", "package-0", len(read), ends=1e6)
        read.append(meter)
        return now(meter)

    monkeypatch.setattr(energy.Meter, "_now", ticking)
    if trials:
        trial = hp.Trial(data="digits", model="mlp", batch_size=256, epochs=1, n_train=256)
        hp.run(hp.grid(trial, seed=range(4)), preset="paper", store=store, jobs=1, device="cpu")
    else:
        hp.sweep(lambda lr: {"val_acc": lr}, lr=[0.1, 0.2, 0.3, 0.4], store=store, jobs=1)
    spent = [head["cost"][energy.CPU] for head in store.heads()]
    assert sum(spent) == pytest.approx(len(read) - 1)
    assert len(set(spent)) == 1
