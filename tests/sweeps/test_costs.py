"""How long a sweep takes is told before anything is loaded."""

import pytest

from hplab import catalogue
from hplab.sweeps import costs
from hplab.training import datasets
from hplab.training.datasets import sources
from hplab.trial import Trial, grid

SMALL = Trial(data="digits", model_args={"channels": [4], "hidden": 8}, epochs=3)
LARGE = Trial(data="digits", model="mlp", model_args={"hidden": [900]}, epochs=3)


def seconds(trials):
    return costs.seconds(trials, costs.SIZES)


def test_the_time_of_a_sweep_is_that_of_its_trials():
    one = seconds([SMALL])

    assert seconds(grid(SMALL, seed=range(7))) == pytest.approx(7 * one)
    assert seconds([SMALL.replace(epochs=30)]) == pytest.approx(10 * one)
    assert seconds([SMALL, LARGE]) == pytest.approx(one + seconds([LARGE]))


def test_a_sweep_of_few_updates_is_long_if_each_is_large():
    few = SMALL.replace(batch_size=1437, model="mlp", model_args={"hidden": [4000, 4000]})
    many = SMALL.replace(batch_size=16, model="mlp", model_args={"hidden": [16]})

    assert seconds([few]) > 10 * seconds([many])
    assert seconds([many]) > 2 * seconds([many.replace(batch_size=64)])


def test_the_sizes_of_data_sets_are_those_that_are_loaded():
    assert costs.SIZES["digits"] == costs.size(datasets.load("digits"))
    assert costs.SIZES.keys() == {"digits", *sources.SOURCES}
    for name, source in sources.SOURCES.items():
        known = costs.SIZES[name]
        assert (known.shape, known.n_classes) == (source.shape, len(source.class_names))


def test_an_image_goes_once_through_a_network_of_the_readers_own(monkeypatch):
    """It costs what an equal one of hplab's does."""
    monkeypatch.setitem(catalogue.MODELS, "mine", catalogue.MODELS["mlp"])
    theirs = LARGE.replace(model="mine")

    assert costs.of_trial(theirs, costs.SIZES["digits"]) == costs.of_trial(
        LARGE, costs.SIZES["digits"]
    )
