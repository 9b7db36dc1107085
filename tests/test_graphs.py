"""Recorded updates are the updates they stand for, each made once."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hplab.training import graphs, loop, optim
from hplab.training.dropout import LaneDropout
from hplab.trial import Trial

TRIAL = Trial(data="digits", model="mlp", epochs=3, batch_size=24)


@pytest.fixture
def pretended(monkeypatch):
    """A stand-in for `torch.cuda` on the CPU: recording leaves no trace, a replay computes."""
    total = torch.zeros(2)

    def step(x):
        total.add_(x)
        return (total,)

    captured = graphs.Captured(step)
    recorded = []

    class Graph:
        def replay(self):
            [places] = [p for graph, p, _ in captured.graphs.values() if graph is self]
            step(*places)

    @contextlib.contextmanager
    def record(graph):
        before = total.clone()
        yield
        total.copy_(before)
        recorded.append(graph)

    stream = SimpleNamespace(wait_stream=lambda other: None)
    fake = SimpleNamespace(
        CUDAGraph=Graph,
        graph=record,
        Stream=lambda: stream,
        current_stream=lambda: stream,
        stream=lambda some: contextlib.nullcontext(),
    )
    monkeypatch.setattr(graphs.torch, "cuda", fake)
    return captured, total, recorded


def test_every_step_is_made_once_and_on_its_own_input(pretended):
    captured, total, recorded = pretended
    n_steps = graphs.WARM_UP + 4

    seen = [captured(torch.full((2,), float(i)))[0][0].item() for i in range(n_steps)]

    assert seen == [sum(range(i + 1)) for i in range(n_steps)]
    assert total.tolist() == [sum(range(n_steps))] * 2
    assert len(recorded) == 1


def test_each_shape_of_a_batch_has_a_graph_of_its_own(pretended):
    """The last batch of an epoch is smaller."""
    captured, total, recorded = pretended

    for _ in range(graphs.WARM_UP + 2):
        captured(torch.ones(2))
        captured(torch.ones(1))

    assert len(recorded) == 2
    assert total.tolist() == [2.0 * (graphs.WARM_UP + 2)] * 2


def test_what_needs_the_host_is_not_recorded():
    cuda, net = torch.device("cuda"), nn.Sequential(nn.Linear(2, 2))
    assert graphs.can_capture("adam", [net], cuda)
    assert not graphs.can_capture("adam", [net], torch.device("cpu"))
    assert not graphs.can_capture("adagrad", [net], cuda)
    assert not graphs.can_capture("adam", [nn.Sequential(*net, LaneDropout(0.5, seed=0))], cuda)


def test_a_learning_rate_in_a_tensor_is_the_same_learning_rate():
    """The others take a tensor on a graphics card only: see the test there."""
    trial = TRIAL.replace(optimizer="sgd", lr=0.25)
    results = []
    for capturable in (False, True):
        weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
        built = optim.build([(trial, [weight])], capturable=capturable)
        for lr in (0.5, 0.125):
            optim.set_lr(built.param_groups[0], lr)
            weight.grad = torch.tensor([0.5, 0.25], dtype=torch.float64)
            built.step()
        results.append(weight.detach().clone())
    assert torch.equal(*results)
    assert not torch.equal(results[0], torch.tensor([1.0, -2.0], dtype=torch.float64))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("n_lanes", [1, 4])
@pytest.mark.parametrize("optimizer", graphs.CAPTURABLE)
def test_recorded_updates_are_the_ordinary_ones(stripes, monkeypatch, optimizer, n_lanes):
    lanes = [TRIAL.replace(optimizer=optimizer, seed=i, lr=1e-3 * (1 + i)) for i in range(n_lanes)]
    recorded = loop.train_lanes(lanes, stripes, device="cuda")
    monkeypatch.setattr(graphs, "can_capture", lambda *_: False)
    ordinary = loop.train_lanes(lanes, stripes, device="cuda")

    for one, other in zip(recorded, ordinary, strict=True):
        assert one.curves["running_loss"] == pytest.approx(other.curves["running_loss"], rel=1e-5)


def test_training_happens_on_the_card_that_was_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "device", lambda d: asked.append(d) or contextlib.nullcontext())
    for device in ("cpu", "cuda:1", "mps"):
        with graphs.current(device):
            pass

    assert asked == ["cuda:1"]
