"""A number format changes how a trial trains, not how it is measured, and nothing else."""

import contextlib

import pytest
import torch

from hplab.catalogue import PRECISIONS
from hplab.sweeps import provenance
from hplab.training import evaluation, loop, precision, updates
from hplab.training.measures import diagnostics, norms
from hplab.training.measures import sharpness as measures
from hplab.training.networks import models
from hplab.training.sharpness import hessian
from hplab.trial import Trial

TRIAL = Trial(data="digits", epochs=2, batch_size=24, model_args={"channels": [4], "hidden": 8})
PLACES = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)


def test_tf32_is_fp32_on_a_processor(stripes):
    one, other = (loop.train(TRIAL.replace(precision=p), stripes) for p in ("fp32", "tf32"))
    assert one.curves == other.curves


def by_hand(trial, dataset):
    """Return the loss of every step of the textbook loop, with torch's own autocast or without."""
    net = models.build(trial, (1, 8, 8), len(dataset.class_names))
    optimizer = torch.optim.Adam(net.parameters(), lr=trial.lr)
    order = torch.Generator().manual_seed(trial.stream("order"))
    images = (dataset.images.float() / 255 - dataset.mean[0]) / dataset.std[0]
    found = []
    for _ in range(trial.epochs):
        for rows in torch.randperm(len(images), generator=order).split(trial.batch_size):
            with torch.autocast("cpu", torch.bfloat16, enabled=trial.precision == "bf16"):
                logits = net(images[rows])
            loss = torch.nn.functional.cross_entropy(logits.float(), dataset.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    return torch.tensor(found)


@pytest.mark.parametrize("n_lanes", [1, 3])
def test_bf16_takes_the_steps_of_torchs_autocast(stripes, n_lanes):
    """Much closer to them than to those of single precision, with weights in fp32."""
    lanes = [TRIAL.replace(precision="bf16", measure=("steps",), seed=i) for i in range(n_lanes)]
    for trial, outcome in zip(lanes, loop.train_lanes(lanes, stripes), strict=True):
        rough, exact = (by_hand(trial.replace(precision=p), stripes) for p in ("bf16", "fp32"))
        error = (torch.tensor(outcome.curves["step_loss"]) - rough).abs().max()
        assert error < 0.01 * (rough - exact).abs().max()
        assert all(p.dtype is torch.float32 for p in outcome.model.parameters())


def test_a_trial_is_measured_in_fp32_whatever_it_trained_in(stripes):
    """The recorded loss is the network's loss in single precision."""
    outcome = loop.train(TRIAL.replace(precision="bf16"), stripes)
    x = stripes.test_images.float() / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (stripes.mean, stripes.std))
    with torch.no_grad():
        logits = outcome.model((x - mean) / std)
    loss = torch.nn.functional.cross_entropy(logits, stripes.test_labels).item()
    assert outcome.final["val_loss"] == pytest.approx(loss, rel=1e-5)


def test_tf32_is_for_updates_and_not_for_what_they_are_measured_by(stripes, monkeypatch):
    """Read off the switches: a processor computes the same either way."""
    seen = {"updates": [], "evaluations": [], "measures": []}

    def spy(place, name, what):
        real = getattr(place, name)

        def call(*args, **keywords):
            seen[what] += [switch.fp32_precision for switch in PLACES]
            return real(*args, **keywords)

        monkeypatch.setattr(place, name, call)

    spy(updates.Updates, "update", "updates")
    spy(evaluation, "evaluate", "evaluations")
    spy(norms, "norms", "measures")
    loop.train(TRIAL.replace(precision="tf32", measure=("probes", "norms")), stripes)

    assert {what: set(found) for what, found in seen.items()} == {
        "updates": {"tf32"},
        "evaluations": {"ieee"},
        "measures": {"ieee"},
    }


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_callers_settings_come_back_even_after_an_error(name):
    before = [place.fp32_precision for place in PLACES]
    inside = []
    with contextlib.suppress(KeyError), precision.matmul(name):
        inside += [place.fp32_precision for place in PLACES]
        raise KeyError
    assert inside == ["tf32" if name == "tf32" else "ieee"] * 2
    assert [place.fp32_precision for place in PLACES] == before


def test_provenance_leaves_the_format_to_the_trial():
    """The switches as they stand outside training say nothing about it."""
    switches = provenance.collect_provenance()["switches"]
    assert "deterministic" in switches
    assert not [name for name in switches if name.endswith("_precision")]


class NoDouble(torch.Tensor):
    """A tensor that says it is on an Apple GPU, and refuses float64 as that does."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function == torch.Tensor.device.__get__:
            return torch.device("mps")
        if function is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        wants = [*args, *kwargs.values(), *([torch.float64] if "double" in str(function) else [])]
        if any(value is torch.float64 for value in wants):
            raise TypeError("Cannot convert a MPS Tensor to float64")
        return super().__torch_function__(function, types, args, kwargs)


def test_measures_do_without_float64_where_there_is_none():
    numbers = torch.tensor([[[3.0], [4.0]]]).as_subclass(NoDouble)
    with pytest.raises(TypeError, match="float64"):
        numbers.double()
    net = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False))
    del net[0].weight
    net[0].weight = numbers[0]
    net.parameters = lambda: iter([net[0].weight])
    watch = evaluation.Watch(1)
    watch.entropy, watch.n_images = numbers[0, 0], 2

    assert diagnostics.gradient_norms({"0.weight": numbers})["batch_grad_norm"] == [5.0]
    assert watch.mean_entropy() == [1.5]
    assert norms.norms(net) == {"weight_norm": 5.0}
    assert measures.norm(numbers.flatten()) == 5.0
    assert hessian._dot(numbers.flatten(), numbers.flatten()) == 25.0
