"""MobileNet is the network of its definition, written a second time in plain PyTorch."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hplab.training.networks import mobilenet, models
from hplab.trial import HplabError, Trial

SIGMOID_BLOCKS = [4, 5, 6, 7, 8, 9, 10]


def build(in_shape=(3, 32, 32), n_classes=100, **fields):
    trial = Trial(data="cifar100", model="mobilenet", **fields)
    return models.build(trial, in_shape, n_classes)


class Plain(nn.Module):
    """The network as its authors' table draws it: blocks of two convolutions, one after another."""

    plan = "64 128/2 128 256/2 256 512/2 512 512 512 512 512 1024/2 1024"

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 1, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(32)
        self.blocks = nn.ModuleList()
        n = 32
        for word in self.plan.split():
            out, stride = int(word.split("/")[0]), 2 if "/" in word else 1
            depthwise = nn.Conv2d(n, n, 3, stride, 1, groups=n, bias=False)
            pointwise = nn.Conv2d(n, out, 1, bias=False)
            norms = nn.BatchNorm2d(n), nn.BatchNorm2d(out)
            self.blocks.append(nn.ModuleList([depthwise, norms[0], pointwise, norms[1]]))
            n = out
        self.head = nn.Linear(1024, 100)

    def forward(self, x, sigmoid_blocks=()):
        x = F.relu(self.stem_bn(self.stem(x)))
        for i, (depthwise, bn1, pointwise, bn2) in enumerate(self.blocks):
            f = torch.sigmoid if i in sigmoid_blocks else F.relu
            x = f(bn2(pointwise(f(bn1(depthwise(x))))))
        return self.head(F.avg_pool2d(x, 2).flatten(1))


def test_it_has_as_many_parameters_as_the_report_s():
    assert sum(p.numel() for p in build().parameters()) == 3_309_476


@pytest.mark.parametrize("sigmoid_blocks", [[], SIGMOID_BLOCKS])
@pytest.mark.parametrize("training", [True, False])
def test_it_equals_the_plain_definition(sigmoid_blocks, training):
    ours = build(activation="sigmoid", model_args={"blocks": sigmoid_blocks or [0]})
    if not sigmoid_blocks:
        ours = build()
    plain = Plain()
    weights = [p.detach().clone() for p in ours.parameters()]
    # Ours lists layer by layer; the plain one has the same order: stem, blocks, head.
    assert [p.shape for p in plain.parameters()] == [w.shape for w in weights]
    for parameter, weight in zip(plain.parameters(), weights, strict=True):
        parameter.data.copy_(weight)
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ours.train(training)
    plain.train(training)

    got, expected = ours(x), plain(x, sigmoid_blocks)

    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
    assert got.std() > 0.01


@pytest.mark.parametrize(
    ("fields", "n_sigmoid", "n_relu"),
    [
        ({}, 0, 27),
        ({"activation": "sigmoid", "model_args": {"blocks": SIGMOID_BLOCKS}}, 14, 13),
        ({"activation": "sigmoid"}, 27, 0),
    ],
)
def test_the_report_s_three_networks_have_these_activations(fields, n_sigmoid, n_relu):
    kinds = [type(layer) for layer in build(**fields)]

    assert (kinds.count(nn.Sigmoid), kinds.count(nn.ReLU)) == (n_sigmoid, n_relu)


def test_changing_the_activation_keeps_the_initial_weights():
    relu = build(model_args={"width": 0.125})
    mixed = build(activation="sigmoid", model_args={"width": 0.125, "blocks": SIGMOID_BLOCKS})

    pairs = zip(relu.parameters(), mixed.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def test_a_narrow_one_takes_digits():
    net = build((1, 8, 8), 10, model_args={"width": 0.125})

    assert net(torch.zeros(4, 1, 8, 8)).shape == (4, 10)
    assert sum(p.numel() for p in net.parameters()) < 70_000


def test_a_block_that_is_not_there_is_refused():
    with pytest.raises(HplabError, match="blocks must be between 0 and 12, got 13"):
        build(model_args={"blocks": [3, 13]})


def test_a_pointwise_layer_in_bf16_rounds_to_eight_bits_and_no_worse():
    layer = mobilenet.Pointwise(24, 40, 1, bias=False)
    x = torch.randn(8, 24, 6, 6, generator=torch.Generator().manual_seed(1))
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    found = []
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = layer(x)
        found.append((y, *torch.autograd.grad(y.square().sum(), [x, layer.weight])))

    for exact, rounded in zip(*found, strict=True):
        assert rounded.dtype is torch.float32
        assert 0 < float((exact - rounded).detach().norm() / exact.detach().norm()) < 2**-7


def test_measuring_a_mixed_network_is_exact():
    """Precision is for training: what is measured at the end of an epoch is computed in fp32."""
    fp32 = build(model_args={"width": 0.125}).eval()
    mixed = build(model_args={"width": 0.125}, precision="bf16").eval()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    assert torch.equal(mixed(x), fp32(x))


def test_only_the_pointwise_layers_are_bf16(monkeypatch):
    net = build((1, 8, 8), 10, model_args={"width": 0.125}, precision="bf16")
    seen = []

    def linear(x, weight, bias=None):
        y = torch._C._nn.linear(x, weight, bias)
        seen.append((y.dtype, weight.shape[1]))
        return y

    monkeypatch.setattr(F, "linear", linear)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = []
        for layer in net:
            layer.register_forward_hook(lambda _, __, y: outputs.append(y.dtype))
        net(torch.randn(2, 1, 8, 8))

    assert [dtype for dtype, _ in seen] == [torch.bfloat16] * 14  # 13 blocks and the last layer
    assert set(outputs[:-1]) == {torch.float32}
