"""A number format changes how a trial trains, not how it is measured, and nothing else."""

import contextlib

import pytest
import torch

from hplab.training import loop, precision
from hplab.trial import PRECISIONS, Trial

TRIAL = Trial(data="digits", epochs=2, batch_size=24, model_args={"channels": [4], "hidden": 8})
PLACES = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)


def test_tf32_is_fp32_on_a_processor(stripes):
    one, other = (loop.train(TRIAL.replace(precision=p), stripes) for p in ("fp32", "tf32"))
    assert one.curves == other.curves


@pytest.mark.parametrize("n_lanes", [1, 3])
def test_bf16_trains_to_nearly_the_same_network(stripes, n_lanes):
    lanes = [TRIAL.replace(seed=seed) for seed in range(n_lanes)]
    exact = loop.train_lanes(lanes, stripes)
    rough = loop.train_lanes([t.replace(precision="bf16") for t in lanes], stripes)
    for one, other in zip(exact, rough, strict=True):
        assert other.curves["train_loss"] != one.curves["train_loss"]
        assert other.curves["train_loss"] == pytest.approx(one.curves["train_loss"], rel=0.1)
        assert all(p.dtype is torch.float32 for p in other.model.parameters())


def test_a_trial_is_measured_in_fp32_whatever_it_trained_in(stripes):
    """The recorded loss is the network's loss in single precision."""
    outcome = loop.train(TRIAL.replace(precision="bf16"), stripes)
    x = stripes.test_images.float() / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (stripes.mean, stripes.std))
    with torch.no_grad():
        logits = outcome.model((x - mean) / std)
    loss = torch.nn.functional.cross_entropy(logits, stripes.test_labels).item()
    assert outcome.final["val_loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_callers_settings_come_back_even_after_an_error(name):
    before = [place.fp32_precision for place in PLACES]
    inside = []
    with contextlib.suppress(KeyError), precision.matmul(name):
        inside += [place.fp32_precision for place in PLACES]
        raise KeyError
    assert inside == ["tf32" if name == "tf32" else "ieee"] * 2
    assert [place.fp32_precision for place in PLACES] == before
