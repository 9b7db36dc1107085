"""Optimizers are torch's, with the arguments the trial names."""

import inspect

import pytest
import torch

from hplab.catalogue import OPTIMIZERS
from hplab.training import optim
from hplab.trial import Trial


def path(optimizer, n_steps=5):
    """Minimise x^4 from 1 for some steps and return where each step led."""
    x = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    stepper = optimizer([x])
    points = []
    for _ in range(n_steps):
        stepper.zero_grad()
        (x**4).sum().backward()
        stepper.step()
        points.append(float(x[0].detach()))
    return points


def ours(**fields):
    trial = Trial(data="mnist", lr=0.01, **fields)
    return path(lambda params: optim.build([(trial, params)]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_are_torchs_own(name):
    signature = inspect.signature(OPTIMIZERS[name].implementation)
    torchs = {k: p.default for k, p in signature.parameters.items()}
    given = dict(OPTIMIZERS[name].defaults)
    if "beta1" in given:
        assert (given.pop("beta1"), given.pop("beta2")) == torchs["betas"]

    assert given == {name: torchs[name] for name in given}


def test_sgd_follows_its_definition():
    x, points = 1.0, []
    for _ in range(5):
        x -= 0.01 * 4 * x**3
        points.append(x)

    assert ours(optimizer="sgd") == pytest.approx(points, rel=1e-12)


def test_momentum_follows_its_definition():
    x, v, points = 1.0, 0.0, []
    for _ in range(5):
        v = 0.9 * v + 4 * x**3
        x -= 0.01 * v
        points.append(x)

    got = ours(optimizer="sgd", optimizer_args={"momentum": 0.9})

    assert got == pytest.approx(points, rel=1e-12)


def test_adam_follows_its_definition():
    x, m, v, points = 1.0, 0.0, 0.0, []
    for t in range(1, 6):
        g = 4 * x**3
        m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g * g
        x -= 0.01 * (m / (1 - 0.8**t)) / ((v / (1 - 0.99**t)) ** 0.5 + 1e-8)
        points.append(x)

    got = ours(optimizer="adam", optimizer_args={"beta1": 0.8, "beta2": 0.99})

    assert got == pytest.approx(points, rel=1e-9)


def test_adagrad_follows_its_definition():
    x, total, points = 1.0, 0.0, []
    for _ in range(5):
        g = 4 * x**3
        total += g * g
        x -= 0.01 * g / (total**0.5 + 1e-10)
        points.append(x)

    assert ours(optimizer="adagrad") == pytest.approx(points, rel=1e-9)


def test_weight_decay_is_in_the_gradient_for_adam_and_outside_it_for_adamw():
    """With decay d, AdamW first shrinks the weight by lr*d; Adam's first step stays at lr."""
    adam = ours(optimizer="adam", weight_decay=0.5)
    adamw = ours(optimizer="adamw", weight_decay=0.5)

    assert adam[0] == pytest.approx(1 - 0.01, rel=1e-6)
    assert adamw[0] == pytest.approx(1 - 0.01 * 0.5 - 0.01, rel=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_fused_form_equals_the_plain_one(name):
    trial = Trial(data="mnist", optimizer=name, lr=0.01, weight_decay=0.1)
    arguments = trial.arguments("optimizer")
    if "beta1" in arguments:
        arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"))

    def plain(params):
        cls = OPTIMIZERS[name].implementation
        return cls(params, lr=0.01, weight_decay=0.1, foreach=False, **arguments)

    assert path(lambda p: optim.build([(trial, p)])) == pytest.approx(path(plain), rel=1e-12)


def test_only_weights_decay_where_biases_are_spared():
    """Without a gradient a step of SGD is the decay alone: times 1 - lr * decay."""
    trial = Trial(
        data="mnist", optimizer="sgd", lr=0.1, weight_decay=0.5, decayed="weights", model="mlp"
    )
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    before = [p.detach().clone() for p in net.parameters()]
    stepper = optim.build([(trial, net.parameters())])
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    stepper.step()

    factors = [
        float(p.flatten()[0].detach() / q.flatten()[0])
        for p, q in zip(net.parameters(), before, strict=True)
        if q.flatten()[0]
    ]
    assert factors == pytest.approx([0.95, 1.0, 1.0])
    assert [group["setting"] for group in stepper.param_groups] == [0, 0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_follows_torchs_own_optimizer_bit_for_bit(name):
    """Fifty steps with a changing gradient, and torch's class called as its manual says."""
    trial = Trial(data="mnist", optimizer=name, lr=0.01, weight_decay=0.1)
    cls = getattr(torch.optim, type(optim.build([(trial, [torch.zeros(1)])])).__name__)
    options = {"fused": True} if OPTIMIZERS[name].fused else {}

    ours = path(lambda p: optim.build([(trial, p)]), n_steps=50)
    torchs = path(lambda p: cls(p, lr=0.01, weight_decay=0.1, **options), n_steps=50)

    assert ours == torchs


def test_the_state_of_an_optimizer_is_torchs():
    """What was saved of one is taken up by the other, and the next step is the same."""
    trial = Trial(data="mnist", optimizer="adam", lr=0.01)
    here, there = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    ours, torchs = optim.build([(trial, [here])]), torch.optim.Adam([there], lr=0.01, fused=True)
    for stepper, x in ((ours, here), (torchs, there)):
        (x**4).sum().backward()
        stepper.step()
    torchs.load_state_dict(ours.state_dict())
    for stepper in (ours, torchs):
        stepper.step()

    assert isinstance(ours, torch.optim.Adam)
    assert torch.equal(here, there)


def test_an_update_is_not_part_of_the_graph_of_gradients():
    x = torch.nn.Parameter(torch.ones(3))
    stepper = optim.build([(Trial(data="mnist", optimizer="sgd"), [x])])
    x.sum().backward()
    stepper.step()

    assert (x.is_leaf, x.grad_fn, torch.is_grad_enabled()) == (True, None, True)


@pytest.mark.parametrize(
    "arguments", [{}, {"lr_decay": 0.1, "initial_accumulator_value": 0.5}, {"eps": 0.1}]
)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adagrad_for_cards_is_torchs_own_at_every_step(arguments, weight_decay):
    trial = Trial(
        data="mnist",
        optimizer="adagrad",
        optimizer_args=arguments,
        lr=0.01,
        weight_decay=weight_decay,
    )
    rates = torch.tensor([0.01], dtype=torch.float64)

    ours = path(lambda p: optim.build([(trial, p)], rates=rates), n_steps=50)
    torchs = path(
        lambda p: torch.optim.Adagrad(p, lr=0.01, weight_decay=weight_decay, **arguments),
        n_steps=50,
    )

    assert ours == pytest.approx(torchs, rel=1e-12)
