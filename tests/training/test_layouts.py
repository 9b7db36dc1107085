"""A network trains in the memory format that is fastest where it is."""

import pytest
import torch
from torch import nn

from hplab.training.networks import layouts


def test_on_a_processor_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(layouts, "_milliseconds", lambda *_: pytest.fail("timed"))
    network = nn.Sequential(nn.Conv2d(1, 2, 3))

    assert layouts.fastest(network, (4, 1, 8, 8), "fp32") is torch.channels_last


@pytest.mark.parametrize("quick", layouts.FORMATS)
def test_on_a_card_the_quicker_one_is_taken(monkeypatch, quick):
    asked = []

    def timed(module, images, layout, number_format):
        asked.append((tuple(images.shape), layout, number_format))
        return 1.0 if layout is quick else 2.0

    class OnCard(nn.Conv2d):
        """Says that its weights are on a card; what is drawn for it stays here."""

        def parameters(self, recurse=True):
            weight = next(super().parameters(recurse))
            yield type("Weight", (), {"device": torch.device("cuda"), "dtype": weight.dtype})()

    monkeypatch.setattr(layouts, "_milliseconds", timed)
    zeros = torch.zeros
    monkeypatch.setattr(layouts.torch, "zeros", lambda shape, **_: zeros(shape))

    assert layouts.fastest(OnCard(1, 2, 3), (4, 1, 8, 8), "bf16") is quick
    assert asked == [((4, 1, 8, 8), layout, "bf16") for layout in layouts.FORMATS]
