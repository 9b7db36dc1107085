"""On a graphics card a trial follows the path it follows on the CPU; skipped where there is none.

Whole runs in float64, so that what differs is a mistake and not rounding; bf16 and tf32 within what
their mantissas allow.
"""

import copy

import pytest
import torch
from test_resuming import Cut, Keeper
from torch import nn

from hplab.catalogue import LOSSES, OPTIMIZERS
from hplab.sweeps import runner
from hplab.sweeps.store import Store
from hplab.training import batches, graphs, loop, precision
from hplab.training.networks import lanes, layouts, models
from hplab.training.schedules import SCHEDULES
from hplab.trial import Trial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
TRIAL = Trial(
    data="digits", model="mlp", epochs=5, batch_size=24, lr=3e-3
)  # 5 whole batches, one of 8
CNN = {"model": "cnn", "model_args": {"channels": [3, 4], "hidden": 8}}
KINDS = {
    "mlp": {},
    "cnn": CNN,
    "batch norm": {"model": "cnn", "model_args": CNN["model_args"] | {"batch_norm": True}},
    "standardized logits": {"model_args": {"hidden": [12, 8], "logit_norm": True}},
    "dropout": {"model_args": {"dropout": 0.3}},
    "dropout in a cnn": CNN | {"model_args": CNN["model_args"] | {"dropout": 0.3}},
    "whole batches only": {"drop_last": True},
    "momentum": {"optimizer": "sgd", "optimizer_args": {"momentum": 0.9}},
    "weights only decay": {"weight_decay": 0.1, "decayed": "weights"},
    "some images": {"n_train": 72},
    "augmented": CNN | {"augment": {"crop": 1, "flip": 0.5, "rotate": 10.0}},
    "diagnostics": CNN | {"measure": ("diagnostics", "probes", "confusion", "steps")},
}


@pytest.fixture(autouse=True)
def _exact(images_in_default_dtype):
    """Let images and weights be float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def recordings(monkeypatch):
    """Note every recorder of graphs that a run makes."""
    made = []

    class Noted(graphs.Captured):
        def __init__(self, step):
            super().__init__(step)
            made.append(self)

    monkeypatch.setattr(graphs, "Captured", Noted)
    return made


def assert_same_paths(lanes, dataset, *, rel=1e-6, curves=None):
    """Assert that all curves agree between the CPU and the card, lane by lane."""
    there = loop.train_lanes(lanes, dataset, device="cuda")
    here = loop.train_lanes(lanes, dataset, device="cpu")
    for one, other in zip(there, here, strict=True):
        assert one.status == other.status
        assert set(one.curves) == set(other.curves)
        for name in curves or other.curves:
            wanted = pytest.approx(other.curves[name], rel=rel, abs=rel)
            assert one.curves[name] == wanted, name


def lanes_of(base, n):
    return [base.replace(seed=i, lr=base.lr * (1 + i)) for i in range(n)]


@pytest.mark.parametrize("n_lanes", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_trial(stripes, recordings, kind, n_lanes):
    base = TRIAL.replace(**KINDS[kind])
    if base.decayed != "all" and n_lanes > 1:
        pytest.skip("weight decay by kind of parameter does not stack")

    # A bias before a batch normalisation has a gradient that is all rounding.
    curves = ("running_loss", "running_acc") if kind == "batch norm" else None
    assert_same_paths(lanes_of(base, n_lanes), stripes, curves=curves)

    [recording] = recordings
    assert recording.refusal is None
    assert len(recording.graphs) == (1 if base.drop_last or base.n_train else 2)


@pytest.mark.parametrize("n_lanes", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_a_schedule(stripes, recordings, optimizer, n_lanes):
    base = TRIAL.replace(optimizer=optimizer, schedule="cosine", weight_decay=1e-2)

    assert_same_paths(lanes_of(base, n_lanes), stripes)

    assert [r.refusal for r in recordings] == [None]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(stripes, recordings, loss):
    assert_same_paths(lanes_of(TRIAL.replace(loss=loss), 3), stripes)

    assert [r.refusal for r in recordings] == [None]


def test_every_schedule_in_one_stack(stripes):
    lanes = [TRIAL.replace(schedule=name, seed=i) for i, name in enumerate(SCHEDULES)]

    assert_same_paths(lanes, stripes)


def test_a_lane_that_diverges_leaves_the_others(stripes):
    lanes = [TRIAL, TRIAL.replace(optimizer_args={}, lr=1e200, seed=1)]

    there = loop.train_lanes(lanes, stripes, device="cuda")

    assert [outcome.status for outcome in there] == ["ok", "diverged"]
    alone = loop.train(TRIAL, stripes, device="cuda")
    assert there[0].curves["val_loss"] == pytest.approx(alone.curves["val_loss"], rel=1e-9)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "batch norm"])
def test_single_precision_and_below(stripes, recordings, kind, precision):
    torch.set_default_dtype(torch.float32)
    base = TRIAL.replace(**KINDS[kind], precision=precision, optimizer="sgd", lr=0.05)
    rel = {"fp32": 2e-3, "tf32": 2e-2, "bf16": 1e-1}[precision]

    assert_same_paths(lanes_of(base, 2), stripes, rel=rel, curves=("running_loss",))

    assert [r.refusal for r in recordings] == [None]


@pytest.mark.parametrize("layout", layouts.FORMATS)
def test_every_layout_computes_the_same_network(layout):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.MaxPool2d(2), nn.ReLU()]
    exact = nn.Sequential(*layers, nn.Conv2d(16, 8, 3, padding=1), nn.Flatten())
    network = copy.deepcopy(exact).to("cuda", torch.float32, memory_format=layout)
    images = torch.rand(32, 3, 24, 24)

    with precision.matmul("fp32"):
        y = network(images.to("cuda", torch.float32).contiguous(memory_format=layout))
    y.square().mean().backward()
    wanted = exact(images)
    wanted.square().mean().backward()

    torch.testing.assert_close(y.cpu().double(), wanted, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(network.parameters(), exact.parameters(), strict=True):
        # A bias before a batch normalisation has a gradient that is all rounding.
        torch.testing.assert_close(ours.grad.cpu().double(), theirs.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("way", layouts.WAYS)
@pytest.mark.parametrize("kind", ["cnn", "batch norm", "dropout in a cnn"])
def test_every_way_of_computing_a_stack(stripes, recordings, monkeypatch, kind, way):
    monkeypatch.setattr(layouts, "fastest_way", lambda *_: way)

    assert_same_paths(
        lanes_of(TRIAL.replace(**KINDS[kind]), 3), stripes, curves=("running_loss", "running_acc")
    )

    assert [r.refusal for r in recordings] == [None]


def test_a_step_of_a_stack_of_mobilenets():
    """Depthwise convolutions; their training amplifies rounding too much for more than a step."""
    trial = Trial(data="digits", model="mobilenet", model_args={"width": 0.0625})
    nets = [models.build(trial.replace(seed=seed), (1, 8, 8), 10) for seed in range(3)]
    images = torch.rand(3, 24, 1, 8, 8)
    found = []
    for way in (None, *layouts.WAYS):
        device = "cpu" if way is None else "cuda"
        moved = [copy.deepcopy(net).to(device) for net in nets]
        how = {} if way is None else {"layout": way.layout, "unfolds": way.unfolds}
        stack = lanes.Stack(moved, **how)
        stack.train(True)
        stack(images.to(device)).square().sum().backward()
        found.append(stack.flat.grad.cpu())

    for gradient in found[1:]:
        assert (gradient - found[0]).norm() / found[0].norm() < 1e-9


def test_the_quickest_way_is_found():
    torch.set_default_dtype(torch.float32)
    nets = [models.build(t, (1, 8, 8), 10).cuda() for t in lanes_of(TRIAL.replace(**CNN), 3)]

    assert layouts.fastest_way(nets, (24, 1, 8, 8), "fp32") in layouts.WAYS


@pytest.mark.parametrize("n_lanes", [1, 3])
def test_epochs_that_are_drawn_ahead_are_those_that_a_processor_draws(n_lanes):
    trials = lanes_of(TRIAL.replace(augment={"crop": 1, "rotate": 10.0}, n_train=72), n_lanes)
    there, here = (batches.Batches(trials, 128, torch.device(d)) for d in ("cuda", "cpu"))
    for _ in range(TRIAL.epochs):
        assert all(map(torch.equal, there.states(), here.states()))
        (rows, changes), (others, too) = there.epoch(), here.epoch()
        assert all(torch.equal(a.cpu(), b) for a, b in zip(rows, others, strict=True))
        for name in too:
            pairs = zip(changes[name], too[name], strict=True)
            assert all(torch.equal(a.cpu(), b) for a, b in pairs)


def test_a_graph_that_is_recorded_on_one_card_replays_on_it(stripes):
    """Two sweeps one after the other, and if there are two cards, one on each."""
    last = torch.cuda.device_count() - 1
    for device in ("cuda:0", f"cuda:{last}"):
        found = loop.train_lanes(lanes_of(TRIAL, 2), stripes, device=device)
        assert all(o.curves["train_loss"][-1] < o.curves["train_loss"][0] for o in found)


def bits(outcomes):
    """All that records and networks hold, to be compared bit by bit."""
    return [
        (
            one.status,
            one.at,
            one.curves,
            {n: v.cpu().numpy().tobytes() for n, v in one.model.state_dict().items()},
        )
        for one in outcomes
    ]


@pytest.mark.parametrize("kind", ["mlp", "batch norm", "dropout in a cnn", "augmented"])
def test_a_card_gives_the_same_bits_twice(stripes, kind):
    trials = lanes_of(TRIAL.replace(**KINDS[kind]), 3)

    once, again = (loop.train_lanes(trials, stripes, device="cuda") for _ in range(2))

    assert bits(once) == bits(again)


@pytest.mark.parametrize("kind", ["mlp", "dropout", "dropout in a cnn", "augmented"])
def test_a_training_that_was_cut_off_goes_on_with_the_bits_of_the_card(stripes, kind):
    """Its random numbers for dropout are drawn on the card, so their state is in the checkpoint."""
    trials = lanes_of(TRIAL.replace(**KINDS[kind]), 2)
    counting = Keeper()
    whole = loop.train_lanes(trials, stripes, device="cuda", keeper=counting)
    cut = Keeper(at=counting.asked // 2)
    with pytest.raises(Cut):
        loop.train_lanes(trials, stripes, device="cuda", keeper=cut)

    resumed = loop.train_lanes(trials, stripes, device="cuda", keeper=Keeper(content=cut.content))

    assert bits(resumed) == bits(whole)


def test_a_stack_that_does_not_fit_on_the_card_is_halved(tmp_path, stripes):
    wide = TRIAL.replace(model_args={"hidden": [4096, 4096]}, epochs=1)
    trials = [wide.replace(seed=seed) for seed in range(8)]
    used = {}
    for n_lanes in (4, 8):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        loop.train_lanes(trials[:n_lanes], stripes, device="cuda")
        used[n_lanes] = torch.cuda.max_memory_reserved()
    assert used[4] < used[8]
    store = Store(tmp_path / "results", tmp_path / "pending")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((used[4] + used[8]) / 2 / total)
    try:
        table = runner.run(trials, device="cuda", store=store, preset="smoke", n_seeds=8)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert list(table["status"]) == ["ok"] * 8
    assert {record["cost"]["lanes"] for record in store.records()} <= {1, 2, 4}
