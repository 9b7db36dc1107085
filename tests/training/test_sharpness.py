"""Sharpness against closed forms: quadratics, linear models, and what must not change it."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn

from hplab.training import sharpness as sh
from hplab.training.losses import cross_entropy
from hplab.training.networks.models import StandardizedLogits
from hplab.training.sharpness import factored
from hplab.trial import HplabError


class Polynomial(nn.Module):
    """0.5 t'Ht + g't + sum(c t^3), the same for every example."""

    def __init__(self, hessian, slope=None, cubic=None):
        super().__init__()
        d = len(hessian)
        self.theta = nn.Parameter(torch.zeros(d, dtype=torch.float64))
        self.hessian = hessian
        self.slope = torch.zeros(d).double() if slope is None else slope
        self.cubic = torch.zeros(d).double() if cubic is None else cubic

    def forward(self, inputs):
        t = self.theta
        value = 0.5 * t @ self.hessian @ t + self.slope @ t + (self.cubic * t**3).sum()
        return value + 0 * inputs[:, 0]


def on(model, inputs=None, targets=None, loss=lambda outputs, _: outputs, **options):
    inputs = torch.zeros(3, 1).double() if inputs is None else inputs
    targets = inputs[:, 0] if targets is None else targets
    options = {"batch_norm": "running", "loss": loss, **options}
    return sh.Objective(model, inputs, targets, **options)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def symmetric(d, seed=0):
    a = random(d, d, seed=seed)
    return a @ a.T / d + torch.diag(torch.arange(d).double())


def classifier(*widths, seed=0, head=None, n=60):
    """A ReLU network in float64 with examples for it, as an objective."""
    torch.manual_seed(seed)
    layers = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    layers = [*layers[:-1], *([head] if head else [])]
    model = nn.Sequential(*layers).double()
    labels = torch.arange(n) % widths[-1]
    return on(model, random(n, widths[0], seed=seed + 1), labels, loss=cross_entropy)


def dense_hessian(objective):
    """The Hessian entry by entry, by differentiating twice: slow and obvious."""
    names = objective.names

    def mean_loss(vector):
        weights = dict(zip(names, objective.shaped(vector), strict=True))
        outputs = torch.func.functional_call(objective.model, weights, (objective.inputs,))
        return objective.loss(outputs, objective.targets).mean()

    return torch.autograd.functional.hessian(mean_loss, objective.vector())


# ------------------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("antithetic", [True, False])
def test_on_a_sphere_shaped_bowl_every_direction_gives_the_same(antithetic):
    bowl = on(Polynomial(3.0 * torch.eye(7).double()))

    found = sh.average_direction(bowl, 0.5, n_directions=5, antithetic=antithetic)

    assert found.signed == pytest.approx(0.5**2 * 3.0 / 2, rel=1e-12)
    assert found.value == pytest.approx(0.375, rel=1e-12)
    assert found.se == pytest.approx(0, abs=1e-12)


def test_a_quadratic_has_the_mean_and_the_variances_of_theory():
    d, eps, n = 6, 0.7, 8000
    hessian, slope = symmetric(d), random(d, seed=1)
    bowl = on(Polynomial(hessian, slope))
    trace, square = float(hessian.trace()), float((hessian @ hessian).trace())
    curved = eps**4 / (2 * d * (d + 2)) * (square - trace**2 / d)
    mean, noise = eps**2 * trace / (2 * d), eps**2 * float(slope @ slope) / d

    pairs = sh.average_direction(bowl, eps, n_directions=n, lanes=4000)
    single = sh.average_direction(bowl, eps, n_directions=n, antithetic=False, lanes=4000)

    assert pairs.value == pytest.approx(mean, abs=4 * math.sqrt(curved / n))
    assert pairs.samples.var(ddof=1) == pytest.approx(curved, rel=0.06)
    assert single.samples.var(ddof=1) == pytest.approx(noise + curved, rel=0.06)
    assert single.se == pytest.approx(math.sqrt((noise + curved) / n), rel=0.03)


def test_gaussian_directions_have_the_same_mean():
    d, eps, n = 5, 0.4, 8000
    hessian = symmetric(d)

    found = sh.average_direction(
        on(Polynomial(hessian)), eps, n_directions=n, kind="gaussian", lanes=4000
    )

    assert found.value == pytest.approx(eps**2 * float(hessian.trace()) / (2 * d), rel=0.03)
    assert found.samples.std() > 0


def test_trace_and_eigenvalues_of_a_quadratic_are_exact():
    hessian = symmetric(8)
    bowl = on(Polynomial(hessian, random(8)))
    exact = torch.linalg.eigvalsh(hessian).flip(0).numpy()

    top = sh.top_eigenvalues(bowl, k=3, n_steps=8)
    trace = sh.hessian_trace(bowl, n_probes=400)

    assert top.values == pytest.approx(exact[:3], rel=1e-9)
    assert (top.bounds < 1e-6).all()
    assert abs(trace.value - exact.sum()) < 4 * trace.se
    diagonal = sh.hessian_trace(on(Polynomial(torch.diag(torch.arange(8).double()))), n_probes=3)
    assert diagonal.value == pytest.approx(28.0)
    assert diagonal.se == pytest.approx(0, abs=1e-9)


def test_lanczos_agrees_with_scipy_and_bounds_its_error():
    objective = classifier(6, 9, 4)
    exact = np.linalg.eigvalsh(dense_hessian(objective).numpy())[::-1]

    def times(v):
        return sh.hessian_vector_product(objective, torch.from_numpy(v.copy())).numpy()

    operator = LinearOperator((objective.dim, objective.dim), matvec=times, dtype=np.float64)
    theirs = eigsh(operator, k=3, which="LA", return_eigenvectors=False)[::-1]
    ours = sh.top_eigenvalues(objective, k=3, n_steps=60)
    rough = sh.top_eigenvalues(objective, n_steps=8)

    assert ours.values == pytest.approx(theirs, rel=1e-9)
    assert theirs == pytest.approx(exact[:3], rel=1e-9)
    distance = np.abs(exact - rough.values[0]).min()
    assert 0 < distance <= rough.bounds[0]


def softmax_regression(zero=False):
    objective = classifier(5, 4, n=40)
    if zero:
        objective.assign(torch.zeros(objective.dim))
    return objective


def test_softmax_regression_has_its_closed_form_trace():
    objective = softmax_regression()
    p = objective.model(objective.inputs).detach().softmax(dim=1)
    weight = (objective.inputs**2).sum(dim=1) + 1  # + 1 for the bias
    exact = float((weight * (1 - (p**2).sum(dim=1))).mean())
    eps, d = 1e-2, objective.dim

    hutchinson = sh.hessian_trace(objective, n_probes=200)
    directions = sh.average_direction(objective, eps, n_directions=400)

    assert float(dense_hessian(objective).trace()) == pytest.approx(exact, rel=1e-9)
    assert abs(hutchinson.value - exact) < 4 * hutchinson.se
    assert abs(directions.value - eps**2 * exact / (2 * d)) < 4 * directions.se
    assert directions.se < 0.05 * directions.value


def test_softmax_regression_at_zero_weights():
    objective = softmax_regression(zero=True)
    weight = (objective.inputs**2).sum(dim=1) + 1
    exact = (1 - 1 / 4) * float(weight.mean())

    found = sh.hessian_trace(objective, n_probes=300)

    assert float(dense_hessian(objective).trace()) == pytest.approx(exact, rel=1e-9)
    assert abs(found.value - exact) < 4 * found.se


def test_least_squares_has_the_hessian_of_its_inputs():
    x, y = random(30, 4), random(30, seed=2)
    model = nn.Linear(4, 1, bias=False).double()
    objective = on(model, x, y, loss=lambda out, y: 0.5 * (out[:, 0] - y) ** 2, chunk=7)
    v = random(4, seed=3)

    assert sh.hessian_vector_product(objective, v) == pytest.approx(x.T @ x @ v / 30, rel=1e-10)
    slope = x.T @ (x @ model.weight.detach()[0] - y) / 30
    assert sh.gradient(objective) == pytest.approx(slope, rel=1e-10)


# ----------------------------------------------------------------------------- invariances


def test_scaling_what_the_standardised_logits_ignore_scales_the_radius():
    """Standardised logits make the loss blind to the scale of the last layer."""
    objective = classifier(6, 8, 5, head=StandardizedLogits(eps=0.0))
    for p in objective.model[0].parameters():
        p.requires_grad_(False)
    last = on(objective.model, objective.inputs, objective.targets, loss=cross_entropy)
    options = {"n_directions": 3}
    before = sh.average_direction(last, 0.3, **options)
    adaptive = sh.average_direction(last, 0.3, scale="elementwise", **options)
    top = sh.top_eigenvalues(last, n_steps=30).values[0]

    last.assign(4.0 * last.vector())

    assert sh.average_direction(last, 1.2, **options).value == pytest.approx(before.value)
    assert sh.average_direction(last, 0.3, **options).value < 0.5 * before.value
    assert sh.average_direction(last, 0.3, scale="elementwise", **options).value == pytest.approx(
        adaptive.value
    )
    assert sh.top_eigenvalues(last, n_steps=30).values[0] == pytest.approx(top / 16, rel=1e-6)


def test_rescaling_layers_changes_sharpness_but_not_adaptive_sharpness():
    """Dinh et al. (2017): the same function, as sharp as you like."""
    objective = classifier(6, 8, 5)
    losses, options = objective.losses(), {"n_directions": 4}
    plain = sh.average_direction(objective, 0.5, **options).value
    top = sh.top_eigenvalues(objective, n_steps=30).values[0]
    adaptive = sh.average_direction(objective, 0.2, scale="elementwise", **options).value
    worst = sh.worst_case(objective, 0.2, adaptive=True).value
    box = sh.worst_case(objective, 0.05, adaptive=True, norm="linf").value

    with torch.no_grad():
        objective.model[0].weight *= 10
        objective.model[0].bias *= 10
        objective.model[2].weight /= 10

    assert objective.losses() == pytest.approx(losses, rel=1e-12)
    assert sh.average_direction(objective, 0.5, **options).value > 3 * plain
    assert sh.top_eigenvalues(objective, n_steps=30).values[0] > 3 * top
    assert sh.average_direction(
        objective, 0.2, scale="elementwise", **options
    ).value == pytest.approx(adaptive)
    assert sh.worst_case(objective, 0.2, adaptive=True).value == pytest.approx(worst)
    assert sh.worst_case(objective, 0.05, adaptive=True, norm="linf").value == pytest.approx(box)


def test_standardised_logits_bound_the_loss():
    labels = torch.arange(5000) % 10
    head = StandardizedLogits(eps=0.0)
    best = cross_entropy(head(torch.eye(10)[labels].double()), labels).mean()
    chance = cross_entropy(head(random(5000, 10)), labels).mean()

    assert float(best) == pytest.approx(math.log(1 + 9 * math.exp(-10 / 3)), rel=1e-9)
    assert float(best) == pytest.approx(0.27844, abs=1e-5)
    assert float(chance) == pytest.approx(2.728, abs=0.06)


def test_standardised_logits_are_batch_normalisation_that_never_leaves_training():
    logits = random(50, 10).float()
    theirs = nn.BatchNorm1d(10, affine=False, momentum=0).train()

    assert torch.allclose(StandardizedLogits()(logits), theirs(logits), atol=1e-6)
    assert torch.allclose(
        StandardizedLogits()(torch.stack([logits, 2 * logits]))[1], theirs(2 * logits), atol=1e-6
    )


def test_a_cubic_has_no_antithetic_sharpness():
    cubic = on(Polynomial(torch.zeros(4, 4).double(), cubic=random(4)))

    found = sh.average_direction(cubic, 2.0, n_directions=6)

    assert (found.samples == 0).all()
    assert found.direction_sd > 0.1


# --------------------------------------------------------------------------------- worst case


def test_the_worst_point_of_a_ball_solves_the_trust_region_problem():
    d, rho = 6, 0.8
    hessian, slope = symmetric(d), random(d, seed=1)
    values, vectors = (x.numpy() for x in torch.linalg.eigh(hessian))
    g = vectors.T @ slope.numpy()
    # The maximum is at (mu - H)^-1 g with mu above all eigenvalues and length rho.
    mu = brentq(lambda m: np.linalg.norm(g / (m - values)) - rho, values[-1] + 1e-9, 1e4)
    delta = g / (mu - values)
    exact = 0.5 * delta @ (values * delta) + g @ delta

    found = sh.worst_case(on(Polynomial(hessian, slope)), rho, n_steps=200)

    assert found.value == pytest.approx(exact, rel=1e-6)
    assert float(found.delta.norm()) == pytest.approx(rho)
    assert np.diff(found.path).min() > -1e-12


def test_sam_looks_one_step_along_the_gradient():
    hessian, slope, rho = symmetric(5), random(5, seed=1), 0.1
    unit = slope / slope.norm()
    exact = rho * slope.norm() + rho**2 / 2 * unit @ hessian @ unit

    assert sh.sam(on(Polynomial(hessian, slope)), rho).value == pytest.approx(float(exact))


def test_the_worst_case_at_a_critical_point_is_the_top_eigenvalue():
    hessian = symmetric(5)
    top = float(torch.linalg.eigvalsh(hessian)[-1])

    found = sh.worst_case(on(Polynomial(hessian)), 0.1, n_steps=100)

    assert found.value == pytest.approx(0.1**2 * top / 2, rel=1e-6)


def test_keskars_box_is_climbed_to_its_corner():
    slope = torch.tensor([1.0, -2.0, 3.0]).double()
    model = Polynomial(torch.zeros(3, 3).double(), slope)
    objective = on(model)
    objective.assign(torch.tensor([0.0, 1.0, -3.0]).double())
    loss, eps = float(-2.0 - 9.0), 1e-3
    exact = 100 * eps * (1 * 1 + 2 * 2 + 3 * 4) / (1 + loss)

    assert sh.keskar(objective, eps).value == pytest.approx(exact, rel=1e-9)


def test_keskars_box_may_lie_in_a_random_subspace():
    """One dimension of a linear loss: the corner of an interval, along the only direction drawn."""
    slope, theta = torch.tensor([1.0, -2.0, 3.0]).double(), torch.tensor([0.3, 0.1, 2.0]).double()
    objective, eps = on(Polynomial(torch.zeros(3, 3).double(), slope)), 1e-3
    objective.assign(theta)
    along = torch.randn(3, 1, generator=torch.Generator().manual_seed(1))[:, 0].double()
    centre = abs(float(along @ theta) / float(along @ along))
    rise = eps * (centre + 1) * abs(float(along @ slope))

    found = sh.keskar(objective, eps, n_dims=1, seed=1).value

    assert found == pytest.approx(100 * rise / (1 + float(slope @ theta)), rel=1e-9)


# ------------------------------------------------------------------- how the loss is evaluated


def batch_normed():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).double()
    model[1].running_mean += 0.3
    return model, random(40, 4), torch.arange(40) % 3


def test_the_mode_of_batch_normalisation_is_the_one_asked_for():
    model, x, y = batch_normed()
    batch = on(model, x, y, loss=cross_entropy, batch_norm="batch", chunk=7)
    running = on(model, x, y, loss=cross_entropy, batch_norm="running", chunk=7)
    reference = copy.deepcopy(model)

    assert batch.losses() == pytest.approx(cross_entropy(reference.train()(x), y).detach())
    reference = copy.deepcopy(model)
    assert running.losses() == pytest.approx(cross_entropy(reference.eval()(x), y).detach())
    with pytest.raises(HplabError, match="unknown batch_norm mode 'eval'"):
        on(model, x, y, batch_norm="eval")


def test_everything_is_left_as_it_was():
    model, x, y = batch_normed()
    model[2].eval()
    before = copy.deepcopy(model)
    places = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    formats = [place.fp32_precision for place in places]
    objective = on(model, x, y, loss=cross_entropy, batch_norm="batch")
    sh.average_direction(objective, 0.5, n_directions=2)
    sh.average_direction(objective, 0.5, n_directions=2, lanes=2)
    sh.worst_case(objective, 0.1, n_steps=2)
    sh.keskar(objective, n_steps=2)
    sh.hessian_trace(objective, n_probes=2)
    sh.top_eigenvalues(objective, n_steps=2)

    def explode(*_):
        raise RuntimeError("in the middle")

    broken = on(model, x, y, loss=explode, batch_norm="batch")
    with pytest.raises(RuntimeError, match="in the middle"):
        broken.losses(objective.vector() + 1)

    for name, value in before.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert model[1].track_running_stats
    assert [place.fp32_precision for place in places] == formats
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("head", [None, StandardizedLogits()])
def test_all_ways_to_evaluate_agree(head):
    objective = classifier(6, 8, 7, 5, head=head)
    one = on(objective.model, objective.inputs, objective.targets, loss=cross_entropy, chunk=7)
    drawn = list(sh.directions(3, one.dim, seed=5))
    slow = [[one.rise(one.vector() + s * u, one.losses()) for s in (0.5, -0.5)] for u in drawn]

    assert factored.applies(one)
    quick = sh.average_direction(one, 0.5, n_directions=3, seed=5)
    lanes = sh.average_direction(one, 0.5, n_directions=3, seed=5, lanes=4)

    assert quick.signed == pytest.approx(np.array(slow), rel=1e-9, abs=1e-13)
    assert lanes.signed == pytest.approx(np.array(slow), rel=1e-9, abs=1e-13)


def test_the_standardised_head_sees_all_examples_whatever_the_chunk():
    objective = classifier(6, 8, 5, head=StandardizedLogits())
    args = objective.model, objective.inputs, objective.targets
    plain = cross_entropy(objective.model(objective.inputs), objective.targets).detach()

    assert on(*args, loss=cross_entropy, chunk=7).losses() == pytest.approx(plain, rel=1e-12)


def test_bfloat16_in_the_first_layer_costs_less_than_five_in_ten_thousand():
    """Images are close to few dimensions: smooth patterns and a little noise, in [0, 1]."""
    torch.manual_seed(0)
    grid = torch.linspace(0, math.pi, 32)
    waves = torch.stack([torch.cos(k * grid) for k in range(6)])
    smooth = torch.randn(400, 3, 6, 6) / (1 + torch.arange(6) + torch.arange(6)[:, None])
    x = 0.5 + 0.15 * torch.einsum("ncij,ih,jw->nchw", smooth, waves, waves)
    x = (x + 0.02 * torch.randn(x.shape)).clamp(0, 1).flatten(1)
    sizes = (3072, 512, 256, 128, 10)
    layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    model = nn.Sequential(*layers[:-1], StandardizedLogits())
    y = (x @ torch.randn(3072, 10)).argmax(dim=1)
    drawn = list(sh.directions(6, sum(p.numel() for p in model.parameters()), seed=0))
    single = on(model, x, y, loss=cross_entropy)
    double = on(copy.deepcopy(model).double(), x.double(), y, loss=cross_entropy)

    exact = factored.rises(double, iter(drawn), [5.0, -5.0])
    found = factored.rises(single, (u.float() for u in drawn), [5.0, -5.0], bf16=True)

    error = np.abs(found - exact).max() / np.abs(exact).mean()
    assert 1e-7 < error < 5e-4


def test_directions_depend_on_seed_and_dimension_alone():
    first, second = (torch.stack([*sh.directions(2, 9, seed)]) for seed in (3, 4))

    assert first.norm(dim=1) == pytest.approx([1, 1], abs=1e-14)
    assert torch.equal(first, torch.stack([*sh.directions(2, 9, 3)]))
    assert not torch.allclose(first, second)
    assert torch.equal(first[0], next(iter(sh.directions(1, 9, 3))))


def test_filters_of_a_direction_have_the_norms_of_the_weights():
    """On a loss that is the squared length of the step, each direction gives the same rise."""
    model, x, y = batch_normed()
    start = [p.detach().clone() for p in model.parameters()]
    filters = sum(float(p.square().sum()) for p in start if p.dim() > 1)

    def moved(outputs, _):
        steps = zip(model.parameters(), start, strict=True)
        return sum(((p - q) ** 2).sum() for p, q in steps).expand(len(outputs))

    found = sh.average_direction(on(model, x, y, loss=moved), 0.5, scale="filter", n_directions=4)

    assert found.samples == pytest.approx(0.25 * filters, rel=1e-9)


# ------------------------------------------------------------------ any network, any loss


class Reads(nn.Module):
    """A layer between an input and three logits."""

    def __init__(self, layer, width, pick=lambda out: out.flatten(1)):
        super().__init__()
        self.layer, self.out, self.pick = layer, nn.Linear(width, 3), pick

    def forward(self, inputs):
        return self.out(self.pick(self.layer(inputs)))


def last_of_sequence(out):
    return out[0][:, -1]


def attention(kind):
    torch.manual_seed(0)
    if kind == "encoder":
        return Reads(nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), 4, lambda o: o[:, 0])
    return Reads({"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](4, 3, batch_first=True), 3,
                 last_of_sequence)  # fmt: skip


@pytest.mark.parametrize("kind", ["encoder", "lstm", "gru", "rnn"])
def test_layers_with_fused_kernels_have_a_curvature_and_lanes(kind):
    model, x = attention(kind).double(), random(8, 5, 4)
    objective = on(model, x, torch.arange(8) % 3, loss=cross_entropy)
    v = random(objective.dim, seed=3)
    h = 1e-5

    def slope_at(t):
        with sh.restored(model):
            objective.assign(objective.vector() + t * v)
            return sh.gradient(objective)

    differences = (slope_at(h) - slope_at(-h)) / (2 * h)
    assert sh.hessian_vector_product(objective, v) == pytest.approx(differences, rel=1e-4, abs=1e-7)
    one = sh.average_direction(objective, 0.3, n_directions=4)
    side_by_side = sh.average_direction(objective, 0.3, n_directions=4, lanes=4)
    assert side_by_side.signed == pytest.approx(one.signed, rel=1e-9, abs=1e-12)
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.cudnn.enabled


def test_a_layer_without_a_second_derivative_is_one_line():
    model = Reads(nn.EmbeddingBag(9, 4), 4)
    objective = on(model, torch.arange(40).view(8, 5) % 9, torch.arange(8) % 3, loss=cross_entropy)

    with pytest.raises(HplabError, match="no second derivative"):
        sh.hessian_trace(objective)


MEASURES = {
    "average": lambda o: sh.average_direction(o, 0.1, n_directions=2),
    "lanes": lambda o: sh.average_direction(o, 0.1, n_directions=2, lanes=2),
    "sam": lambda o: sh.sam(o, 0.1),
    "worst": lambda o: sh.worst_case(o, 0.1),
    "keskar": sh.keskar,
    "gradient": sh.gradient,
    "trace": lambda o: sh.hessian_trace(o, n_probes=2),
    "eigenvalues": lambda o: sh.top_eigenvalues(o, n_steps=3),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_that_is_a_mean_already_is_refused(measure, reduction):
    right = classifier(4, 5, 3)
    wrong = on(
        right.model, right.inputs, right.targets, loss=nn.CrossEntropyLoss(reduction=reduction)
    )

    with pytest.raises(HplabError, match=r"one value an example, \(60,\), got \(\); .*none"):
        MEASURES[measure](wrong)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_network_that_diverged_is_not_the_flattest(measure, value):
    objective = classifier(4, 5, 3)
    with torch.no_grad():
        objective.parameters[0][0, 0] = value

    with pytest.raises(HplabError, match="not finite on .* of 60 examples"):
        MEASURES[measure](objective)


def test_a_loss_that_is_no_number_nearby_is_the_worst_case():
    class Cliff(nn.Module):
        def __init__(self):
            super().__init__()
            self.theta = nn.Parameter(torch.ones(1).double())

        def forward(self, inputs):
            return torch.sqrt(1.05 - self.theta) + self.theta * 2 + 0 * inputs[:, 0]

    steep = on(Cliff())
    with torch.no_grad():
        steep.parameters[0].copy_(torch.tensor([0.9]))
    assert sh.worst_case(steep, 0.5).value == math.inf
    assert sh.worst_case(steep, 0.01).value < 0.01


def test_what_is_no_objective_is_refused_at_once():
    model, x, y = nn.Linear(4, 3), torch.zeros(6, 4), torch.zeros(6, dtype=torch.long)
    frozen = nn.Linear(4, 3).requires_grad_(False)

    class Named(nn.Linear):
        def forward(self, inputs):
            return {"logits": super().forward(inputs)}

    for build, said in (
        (lambda: on(model, x.numpy(), y), "inputs must be a tensor .*, got ndarray"),
        (lambda: on(model, x, y.tolist()), "targets must be a tensor .*, got list"),
        (lambda: on(frozen, x, y), "no weights that require a gradient"),
        (lambda: on(nn.Linear(4, 3, device="meta"), x, y), "on one device, got cpu, meta"),
        (lambda: on(Named(4, 3), x, y, loss=cross_entropy).losses(), "the network gives a dict"),
        (lambda: on(model, x, y, loss=lambda o, t: 1.0).losses(), "one value .*got float"),
    ):
        with pytest.raises(HplabError, match=said):
            build()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda o: sh.average_direction(o, 1.0, n_directions=0), "at least one direction"),
        (lambda o: sh.average_direction(o, 1.0, kind="cube"), "unknown kind of direction 'cube'"),
        (lambda o: sh.average_direction(o, 1.0, scale="elementwis"), "did you mean 'elementwise'"),
        (lambda o: sh.worst_case(o, 1.0, norm="l1"), "unknown norm 'l1'"),
        (lambda o: sh.worst_case(o, 1.0, n_steps=0), "n_steps must be at least 1"),
        (lambda o: sh.top_eigenvalues(o, k=9, n_steps=3), "need 1 <= k <= n_steps"),
        (lambda o: on(o.model, torch.zeros(0, 1)), "0 inputs and 0 targets"),
    ],
)
def test_a_mistake_is_one_line(call, said):
    with pytest.raises(HplabError) as caught:
        call(on(Polynomial(symmetric(3))))

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
