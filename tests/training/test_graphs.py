"""Recorded updates are the updates they stand for, each made once."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hplab import catalogue
from hplab.catalogue import OPTIMIZERS
from hplab.training import evaluation, graphs, loop, optim, updates
from hplab.trial import Trial

TRIAL = Trial(data="digits", model="mlp", epochs=3, batch_size=24)


class Pretended:
    """A stand-in for `torch.cuda` on the CPU: recording leaves no trace, a replay computes.

    Attributes:
        total: What the step adds up.
        n_recorded: Graphs recorded so far.
        streams: The stream each graph was recorded on.
        refuses: Recording raises, as it does when a step waits for the device.
        is_empty: Replays compute nothing, as they do when the kernels ran on another stream.
    """

    def __init__(self):
        self.total, self.n_recorded, self.streams = torch.zeros(2), 0, []
        self.refuses = self.is_empty = False
        self.captured = graphs.Captured(self.step)
        self.CUDAGraph = lambda: SimpleNamespace(replay=self._replay)

    def step(self, x):
        self.total.add_(x)
        self.places = x
        return self.total.clone(), torch.tensor([1, 2])

    def _replay(self):
        if not self.is_empty:
            self.outputs[0].copy_(self.step(self.places)[0])
            self.outputs[1].copy_(torch.tensor([1, 2]))

    @contextlib.contextmanager
    def graph(self, graph, pool, stream):
        before = self.total.clone()
        self.streams.append(stream)
        step = self.captured.step

        def noted(*inputs):
            self.outputs = step(*inputs)
            return self.outputs

        self.captured.step = noted
        yield
        self.captured.step = step
        self.total.copy_(before)
        self.n_recorded += 1
        if self.refuses:
            raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    def Stream(self):
        return SimpleNamespace(wait_stream=lambda other: None)

    current_stream = Stream

    def graph_pool_handle(self):
        return (0, 1)

    def stream(self, some):
        return contextlib.nullcontext()


@pytest.fixture
def pretended(monkeypatch):
    fake = Pretended()
    monkeypatch.setattr(graphs.torch, "cuda", fake)
    return fake


def steps(captured, n):
    """Make steps 0, 1, ... and return the totals they gave."""
    return [captured(torch.full((2,), float(i)))[0][0].item() for i in range(n)]


def test_every_step_is_made_once_and_on_its_own_input(pretended):
    n_steps = graphs.WARM_UP + 4

    seen = steps(pretended.captured, n_steps)

    assert seen == [sum(range(i + 1)) for i in range(n_steps)]
    assert pretended.total.tolist() == [sum(range(n_steps))] * 2
    assert pretended.n_recorded == 1
    assert pretended.captured.refusal is None


@pytest.mark.parametrize("fault", ["refuses", "is_empty"])
def test_a_step_that_cannot_be_recorded_is_made_all_the_same_and_told_once(
    pretended, capsys, fault
):
    setattr(pretended, fault, True)
    n_steps = graphs.WARM_UP + 4

    seen = steps(pretended.captured, n_steps)

    assert seen == [sum(range(i + 1)) for i in range(n_steps)]
    assert pretended.n_recorded == 1
    said = capsys.readouterr().out
    assert said.count("cannot be recorded as a CUDA graph") == 1
    assert pretended.captured.refusal in said
    assert "more of it" not in said


def test_each_shape_of_a_batch_has_a_graph_of_its_own_on_one_stream(pretended):
    """The last batch of an epoch is smaller."""
    for _ in range(graphs.WARM_UP + 1):
        pretended.captured(torch.ones(2))
        pretended.captured(torch.ones(1))

    assert pretended.n_recorded == 2
    assert pretended.total.tolist() == [2.0 * (graphs.WARM_UP + 1)] * 2
    assert len(pretended.streams) == 2
    assert pretended.streams[0] is pretended.streams[1]


def test_updates_are_recorded_on_a_card_by_every_optimizer_of_the_catalogue():
    for name in OPTIMIZERS:
        assert graphs.can_capture(name, torch.device("cuda"))
        assert not graphs.can_capture(name, torch.device("cpu"))


def test_updates_by_an_optimizer_of_which_nothing_is_known_are_not_recorded(monkeypatch):
    row = catalogue.Optimizer("torch.optim:Adadelta", {})
    monkeypatch.setitem(catalogue.OPTIMIZERS, "adadelta", row)

    assert not graphs.can_capture("adadelta", torch.device("cuda"))


class Waits(TorchDispatchMode):
    """Counts what makes a program wait for its device: numbers read; tensors made, drawn, moved."""

    NAMES = ("_local_scalar_dense", "lift_fresh", "is_nonzero", "nonzero", "item", "rand")

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        options = options or {}
        name = operation.overloadpacket.__name__
        moves = name == "_to_copy" and options.get("device") not in (None, torch.device("cpu"))
        if name in self.NAMES or moves:
            self.seen.append(name)
        return operation(*arguments, **options)


@pytest.mark.parametrize("n_lanes", [1, 3])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_an_update_reads_no_number_and_makes_no_tensor_from_one(stripes, model, n_lanes):
    """What would break the recording of a graph, or stall a card: rows are its only input."""
    augment = {"crop": 1, "flip": 0.5, "rotate": 10.0}
    arguments = {"batch_norm": True, "dropout": 0.3}
    base = TRIAL.replace(
        model=model, model_args=arguments, optimizer="sgd", augment=augment, epochs=1
    )
    seen, made = [], updates.Updates.update

    def watched(self, *inputs):
        with Waits() as waits:
            found = made(self, *inputs)
        seen.append(waits.seen)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updates.Updates, "update", watched)
        loop.train_lanes([base.replace(seed=i) for i in range(n_lanes)], stripes)

    assert len(seen) == 6
    assert not any(seen)


def test_the_counter_of_waits_counts():
    with Waits() as waits:
        torch.ones(2).sum().item()
        torch.tensor([1.0])

        torch.rand(1)

    assert waits.seen == ["_local_scalar_dense", "lift_fresh", "rand"]


def test_learning_rates_in_a_tensor_are_the_same_learning_rates():
    """The others take a tensor on a graphics card only: see tests/training/test_gpu.py."""
    trial = TRIAL.replace(optimizer="sgd", lr=0.25)
    results = []
    for rates in (None, torch.zeros(2, dtype=torch.float64)):
        weights = [nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64)) for _ in range(2)]
        built = optim.build([(trial, [w]) for w in weights], rates=rates)
        for pair in ((0.5, 0.125), (0.125, 0.0625)):
            if rates is None:
                optim.set_lr(built, pair)
            else:
                rates.copy_(torch.tensor(pair))
            for weight in weights:
                weight.grad = torch.tensor([0.5, 0.25], dtype=torch.float64)
            built.step()
        results.append(torch.stack([w.detach() for w in weights]))
    assert torch.equal(*results)
    assert results[0].tolist() == [[0.6875, -2.15625], [0.90625, -2.046875]]


def test_a_card_becomes_the_current_one_and_other_devices_do_not(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "device", lambda d: asked.append(d) or contextlib.nullcontext())
    for device in ("cpu", "cuda:1", "mps"):
        with graphs.current(device):
            pass

    assert asked == ["cuda:1"]


def test_all_of_training_happens_while_its_device_is_the_current_one(stripes, monkeypatch):
    """Streams and graphs belong to the current card, whichever device the tensors are on."""
    current, seen = [], {"build": [], "update": [], "evaluate": []}

    @contextlib.contextmanager
    def made_current(device):
        current.append(device)
        yield
        current.clear()

    def spy(place, name, what):
        real = getattr(place, name)
        monkeypatch.setattr(
            place, name, lambda *a, **k: seen[what].append([*current]) or real(*a, **k)
        )

    monkeypatch.setattr(graphs, "current", made_current)
    spy(updates.optim, "build", "build")
    spy(updates.Updates, "update", "update")
    spy(evaluation, "evaluate", "evaluate")
    loop.train(TRIAL.replace(epochs=1), stripes, device="cpu")

    assert seen == {"build": [["cpu"]], "update": [["cpu"]] * 6, "evaluate": [["cpu"]] * 2}
    assert current == []
