"""Set-ups of a report that names none: what is tried, and which of them fit."""

import pytest
import torch

from hplab.analysis import setups
from hplab.training import data, loop, models
from hplab.trial import HplabError, Trial

BASE = Trial(data="mnist", model="cnn", optimizer="adam", batch_size=64, epochs=5)
TRIED = setups.trials("004", BASE)


def channels_of(trial):
    return str(trial.argument("model", "channels")) if trial.model == "cnn" else ""


def test_the_set_ups_of_report_004_are_those_fixed_before_any_was_trained():
    """Every network with every scaling, and with both dropouts at the plainest scaling."""
    found = {
        (t.model, channels_of(t), t.normalize, t.argument("model", "dropout"))
        for some in TRIED.values()
        for t in some
    }
    networks = [("cnn", "[32, 64]"), ("cnn", "[32]"), ("mlp", "")]
    plain = {(*n, how, 0.0) for n in networks for how in ("standard", "unit", "symmetric")}
    dropped = {(*n, "unit", p) for n in networks for p in (0.25, 0.5)}

    assert found == plain | dropped
    assert len(TRIED) == 15
    assert {len(some) for some in TRIED.values()} == {15}
    assert {t.lr for t in TRIED["one convolution, 0 to 1"]} == {1e-3, 5e-4, 1e-4}


def test_the_first_set_up_is_the_one_the_study_has_always_used():
    assert TRIED["two convolutions, standardized"][0] == BASE.replace(lr=1e-3, seed=0)


def test_every_set_up_has_the_stated_hidden_units():
    assert {str(t.argument("model", "hidden")) for some in TRIED.values() for t in some} == {
        "128",
        "[128]",
    }


@pytest.mark.parametrize("name", TRIED)
def test_every_set_up_trains_in_lanes_as_it_does_alone(name):
    lanes = [t.replace(data="digits", n_train=128, epochs=1) for t in TRIED[name][::7]]
    digits = data.load("digits")
    network = models.build(lanes[0], (1, 8, 8), 10)
    together = loop.train_lanes(lanes, digits)
    alone = [loop.train(trial, digits) for trial in lanes]

    assert loop.can_stack(lanes[0], network)
    for one, other in zip(together, alone, strict=True):
        assert one.curves["running_loss"] == pytest.approx(other.curves["running_loss"], rel=1e-4)
        torch.testing.assert_close(
            list(one.model.parameters()), list(other.model.parameters()), rtol=1e-3, atol=1e-4
        )


def test_a_report_without_set_ups_is_refused():
    with pytest.raises(HplabError, match="unknown report '001'.*known: 004"):
        setups.trials("001", BASE)
