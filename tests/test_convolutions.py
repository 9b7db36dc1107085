"""A convolution by a matrix product is the convolution."""

import pytest
import torch
from torch import nn

from hplab.training import convolutions


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 5, 7), (3, 4, 1, 2)])
def test_values_and_gradients_are_torchs(shape):
    torch.manual_seed(0)
    layer = nn.Conv2d(shape[1], 6, 3, padding=1, dtype=torch.float64)
    x = torch.randn(shape, dtype=torch.float64).to(memory_format=torch.channels_last)
    found = []
    for convolve in (layer, lambda x: convolutions.unfolded(layer, x)):
        layer.zero_grad()
        images = x.clone().requires_grad_()
        y = convolve(images)
        (y**3).sum().backward()
        found.append((y.detach(), images.grad, layer.weight.grad, layer.bias.grad))

    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_images_that_need_no_gradient_get_none():
    layer = nn.Conv2d(2, 3, 3, padding=1)
    convolutions.unfolded(layer, torch.ones(1, 2, 4, 4)).sum().backward()

    assert layer.weight.grad is not None


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 5, padding=2),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
    ],
)
def test_other_convolutions_are_left_to_torch(other):
    plain = nn.Conv2d(3, 4, 3, padding=1)

    assert convolutions.can_unfold([plain, nn.ReLU()])
    assert not convolutions.can_unfold([plain, other])
