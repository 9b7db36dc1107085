"""The losses are what their names say, slips included."""

import math

import pytest
import torch
from torch.nn import functional

from hplab.catalogue import LOSSES
from hplab.training import loop, losses
from hplab.trial import Trial

DEAD = {"channels": [4], "hidden": 8}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    logits = 4 * torch.randn(50, 15, generator=generator)
    return logits, torch.randint(0, 15, (50,), generator=generator)


def value_and_gradient(function, logits, labels):
    logits = logits.clone().requires_grad_()
    value = function(logits, labels).mean()
    return value.detach(), torch.autograd.grad(value, logits)[0]


def test_kl_divergence_from_one_hot_is_cross_entropy_in_value_and_gradient(batch):
    kl = value_and_gradient(losses.kl_div, *batch)
    ce = value_and_gradient(losses.cross_entropy, *batch)

    assert kl[0] == ce[0]
    assert torch.equal(kl[1], ce[1])


def test_kl_div_is_torchs_batchmean_on_log_softmax(batch):
    logits, labels = batch
    target = functional.one_hot(labels, 15).float()
    expected = torch.nn.KLDivLoss(reduction="batchmean")(logits.log_softmax(1), target)

    assert losses.kl_div(logits, labels).mean() == pytest.approx(float(expected), rel=1e-6)


def test_cross_entropy_of_log_softmax_outputs_is_cross_entropy(batch):
    """The report's networks end in a log-softmax and its loss makes a second one: no harm done."""
    logits, labels = batch
    once = value_and_gradient(losses.cross_entropy, logits, labels)
    twice = value_and_gradient(
        lambda z, y: losses.cross_entropy(z.log_softmax(1), y), logits, labels
    )

    torch.testing.assert_close(twice, once, rtol=1e-6, atol=1e-8)


def test_the_mean_reduction_divides_by_the_number_of_classes(batch):
    mean, whole = (value_and_gradient(f, *batch) for f in (losses.kl_div_mean, losses.kl_div))

    torch.testing.assert_close([15 * part for part in mean], list(whole))


def test_probabilities_in_place_of_their_logarithm_give_minus_the_probability(batch):
    logits, labels = batch
    expected = -logits.softmax(1)[torch.arange(50), labels]

    torch.testing.assert_close(losses.kl_div_of_softmax(logits, labels), expected)


def test_logits_in_place_of_log_probabilities_give_minus_the_logit(batch):
    logits, labels = batch

    assert torch.equal(losses.kl_div_of_logits(logits, labels), -logits[torch.arange(50), labels])


def test_a_softmax_too_many_keeps_the_loss_up():
    sure = torch.zeros(1, 15)
    sure[0, 4] = 1e4
    found = losses.cross_entropy_of_softmax(sure, torch.tensor([4]))

    assert float(found) == pytest.approx(math.log(1 + 14 / math.e), rel=1e-6)


def test_training_with_either_loss_is_the_same_run(stripes):
    """Not close: the same numbers, every update of both epochs and every weight at the end."""
    base = Trial(data="digits", epochs=2, batch_size=24, model_args=DEAD, measure=("steps",))
    ce, kl = (loop.train(base.replace(loss=name), stripes) for name in ("cross_entropy", "kl_div"))

    assert kl.curves == ce.curves
    for a, b in zip(kl.model.parameters(), ce.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_slip_is_another_run(stripes):
    base = Trial(data="digits", epochs=1, batch_size=24, model_args=DEAD)
    found = {name: loop.train(base.replace(loss=name), stripes).curves for name in LOSSES}

    assert all(found[n]["val_loss"] != found["kl_div"]["val_loss"] for n in list(LOSSES)[2:])
    assert all(-1 <= x <= 0 for x in found["kl_div_of_softmax"]["val_loss"])
