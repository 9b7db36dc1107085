"""A network trains in the form that is fastest where it is."""

import math

import pytest
import torch
from torch import nn

from hplab.training.networks import layouts

PLAIN = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


def convolving():
    return [nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()) for _ in range(2)]


@pytest.fixture
def on_card(monkeypatch):
    """Let every network be on a card."""
    monkeypatch.setattr(layouts, "_place", lambda module: "cuda")


def test_on_a_processor_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(layouts, "_milliseconds", lambda *_: pytest.fail("timed"))
    network = nn.Sequential(nn.Conv2d(1, 2, 3))

    assert layouts.fastest(network, (4, 1, 8, 8), "fp32") is torch.channels_last
    way = layouts.fastest_way(convolving(), (4, 1, 8, 8), "fp32")
    assert way == (torch.channels_last, False)


def test_networks_without_convolutions_have_nothing_to_try(monkeypatch, on_card):
    monkeypatch.setattr(layouts, "_milliseconds", lambda *_: pytest.fail("timed"))

    way = layouts.fastest_way([PLAIN, PLAIN], (4, 1, 2, 2), "fp32")

    assert way == (torch.contiguous_format, False)


@pytest.mark.parametrize("quick", layouts.FORMATS)
def test_on_a_card_the_quicker_one_is_taken(monkeypatch, on_card, quick):
    asked = []

    def timed(network, shape, number_format):
        asked.append((shape, network.layout, number_format))
        return 1.0 if network.layout is quick else 2.0

    monkeypatch.setattr(layouts, "_milliseconds", timed)

    assert layouts.fastest(convolving()[0], (4, 1, 8, 8), "bf16") is quick
    assert asked == [((1, 4, 1, 8, 8), layout, "bf16") for layout in layouts.FORMATS]


@pytest.mark.parametrize("quick", layouts.WAYS)
def test_on_a_card_the_quickest_way_of_a_stack_is_taken(monkeypatch, on_card, quick):
    asked, made = [], layouts.lanes.Stack

    def noted(modules, layout, *, unfolds):
        asked.append((layout, unfolds))
        return made(modules, layout, unfolds=unfolds)

    def timed(network, shape, number_format):
        assert (shape, number_format) == ((2, 4, 1, 8, 8), "fp32")
        return 1.0 if asked[-1] == quick else 2.0

    monkeypatch.setattr(layouts.lanes, "Stack", noted)
    monkeypatch.setattr(layouts, "_milliseconds", timed)

    assert layouts.fastest_way(convolving(), (4, 1, 8, 8), "fp32") == quick
    assert asked == [*layouts.WAYS]


@pytest.mark.parametrize("way", layouts.WAYS)
def test_trying_a_way_makes_training_steps_and_leaves_the_networks_as_they_were(
    monkeypatch, on_card, way
):
    """A clock that counts steps: the way under test is the only one for which memory suffices."""
    networks = convolving()
    before = [p.detach().clone() for net in networks for p in net.parameters()]
    seen = []

    def counted(step):
        if len(seen) != layouts.WAYS.index(way):
            seen.append(None)
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(step())
        return 1e9

    monkeypatch.setattr(layouts, "_timed", counted)

    assert layouts.fastest_way(networks, (4, 1, 8, 8), "fp32") == way
    assert len(seen) == 3
    after = [p for net in networks for p in net.parameters()]
    assert all(map(torch.equal, before, after))
    assert all(p.grad is None for p in after)


def test_where_no_way_fits_the_run_itself_says_so(monkeypatch, on_card):
    def full(step):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(layouts, "_timed", full)
    stack = layouts.lanes.Stack(convolving())

    assert layouts._milliseconds(stack, (2, 4, 1, 8, 8), "fp32") == math.inf
    assert layouts.fastest_way(convolving(), (4, 1, 8, 8), "fp32") in layouts.WAYS
