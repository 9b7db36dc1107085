"""Distributions of a sweep file, against scipy's and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from hplab.sweeps import distributions
from hplab.sweeps.distributions import KINDS, Distribution, Fault

GRID = (np.arange(400) + 0.5) / 400
CONTINUOUS = [
    ("uniform", {"min": -1.5, "max": 2.0}, stats.uniform(-1.5, 3.5)),
    ("log_uniform", {"min": -9.2, "max": -2.3}, stats.loguniform(math.exp(-9.2), math.exp(-2.3))),
    ("log_uniform_values", {"min": 1e-4, "max": 0.1}, stats.loguniform(1e-4, 0.1)),
    ("inv_log_uniform", {"min": 2.3, "max": 9.2}, stats.loguniform(math.exp(-9.2), math.exp(-2.3))),
    ("inv_log_uniform_values", {"min": 1e-4, "max": 0.1}, stats.loguniform(1e-4, 0.1)),
    ("normal", {"mu": 3.0, "sigma": 0.5}, stats.norm(3, 0.5)),
    ("normal", {}, stats.norm()),
    ("log_normal", {"mu": 0.3, "sigma": 0.5}, stats.lognorm(0.5, scale=math.exp(0.3))),
    ("beta", {"a": 2, "b": 5}, stats.beta(2, 5)),
]
STEPPED = [("q_uniform", 0.5), ("q_log_uniform_values", 0.01), ("q_beta", 0.1), ("q_normal", 0.25)]


def made(name, **args):
    found = distributions.of({"distribution": name, **args})
    assert isinstance(found, Distribution), found
    return found


@pytest.mark.parametrize(("name", "args", "known"), CONTINUOUS)
def test_the_inverse_cdf_is_that_of_scipy(name, args, known):
    ours = [made(name, **args).value(u) for u in GRID]
    np.testing.assert_allclose(ours, known.ppf(GRID), rtol=1e-9)


@pytest.mark.parametrize(("name", "args", "known"), CONTINUOUS)
def test_it_undoes_the_cdf_and_grows(name, args, known):
    ours = [made(name, **args).value(u) for u in GRID]
    np.testing.assert_allclose(known.cdf(ours), GRID, rtol=1e-9)
    assert (np.diff(ours) > 0).all()


def test_whole_numbers_are_those_of_scipy_with_both_ends():
    one = made("int_uniform", min=-3, max=12)
    assert [one.value(u) for u in GRID] == stats.randint(-3, 13).ppf(GRID).tolist()
    assert (one.value(0.0), one.value(1.0)) == (-3, 12)
    assert one.values() == list(range(-3, 13))


def test_the_values_of_a_list_are_equally_frequent_and_those_with_chances_as_they_say():
    names = ["a", "b", "c", "d"]
    even = [made("categorical", values=names).value(u) for u in GRID]
    assert [even.count(name) for name in names] == [100] * 4
    chances = [0.1, 0.0, 0.65, 0.25]
    biased = made("categorical_w_probabilities", values=names, probabilities=chances)
    drawn = [biased.value(u) for u in GRID]
    assert [drawn.count(name) for name in names] == [40, 0, 260, 100]
    assert (biased.value(0.0), biased.value(1.0)) == ("a", "d")


def test_a_value_without_a_chance_never_comes_not_even_at_the_end():
    last = made("categorical", values=["a", "b"], probabilities=[1.0, 0.0])
    assert {last.value(u) for u in [0.0, *GRID, 1.0]} == {"a"}


@pytest.mark.parametrize(("name", "q"), STEPPED)
def test_a_stepped_distribution_rounds_the_plain_one(name, q):
    args = {"q_beta": {"a": 2, "b": 3}, "q_normal": {}}.get(name, {"min": 0.02, "max": 5.0})
    plain, stepped = made(name.removeprefix("q_"), **args), made(name, **args, q=q)
    for u in GRID:
        assert stepped.value(u) == pytest.approx(round(plain.value(u) / q) * q, abs=1e-12)


@pytest.mark.parametrize("name", [name for name in KINDS if name.startswith("q_")])
def test_the_step_is_1_where_none_is_given_and_values_are_whole(name):
    args = {key: 4 if key == "max" else 2 for key in KINDS[name].needs}
    assert all(type(made(name, **args).value(u)) is int for u in GRID)


def test_steps_have_no_digits_that_nobody_wrote():
    assert made("q_uniform", min=0.0, max=0.5, q=0.1).values() == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("u", [0.0, 1.0])
def test_the_ends_of_a_coordinate_give_finite_values(name, u):
    args = {"value": 2, "values": [1, 2], "probabilities": [0.5, 0.5], "min": 1, "max": 2}
    needed = {key: args.get(key, 2) for key in KINDS[name].needs}
    assert math.isfinite(made(name, **needed).value(u))


def test_bounds_hold_to_the_last_digit():
    one = made("log_uniform_values", min=1e-3, max=0.3)
    assert (one.value(0.0), one.value(1.0)) == pytest.approx((1e-3, 0.3))
    assert 1e-3 <= one.value(0.0) <= one.value(1.0) <= 0.3


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"value": 3}, "constant"),
        ({"values": [1, "a"]}, "categorical"),
        ({"values": [1, 2], "probabilities": [0.3, 0.7]}, "categorical_w_probabilities"),
        ({"min": 1, "max": 3}, "int_uniform"),
        ({"min": 1.0, "max": 3.0}, "uniform"),
        ({"min": 0, "max": 0.5}, "uniform"),
    ],
)
def test_a_distribution_need_not_be_named(given, name):
    assert distributions.of(given).name == name


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, ("", "says neither value, values, min and max")),
        ({"min": 3, "max": 1}, ("min", "min 3 is above max 1")),
        ({"min": 3}, ("", "int_uniform needs min and max, and max is missing")),
        ({"distribution": "int_uniform", "min": 1, "max": 8.5}, ("max", "needs whole numbers")),
        ({"distribution": "unifrom", "min": 1, "max": 2}, ("distribution", "mean 'uniform'")),
        ({"distribution": "normal", "min": 1}, ("min", "normal takes mu and sigma, not min")),
        ({"distribution": "normal", "sigma": 0}, ("sigma", "must be above 0")),
        ({"distribution": "beta", "a": 1, "b": "x"}, ("b", "must be a number, got 'x'")),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, ("min", "min above 0")),
        ({"distribution": "log_uniform", "min": 0, "max": 1000}, ("max", "exponents")),
        ({"values": [1, 2], "probabilities": [1]}, ("probabilities", "2 values have 1 prob")),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, ("probabilities", "sum to 1, not 1.1")),
        ({"values": [1, 2], "probabilities": [1.5, -0.5]}, ("probabilities", "numbers from 0")),
        ({"values": []}, ("values", "a list with something in it")),
        ({"value": 1, "values": [2]}, ("values", "constant takes value, not values")),
    ],
)
def test_a_fault_names_its_key(given, fault):
    found = distributions.of(given)
    assert isinstance(found, Fault)
    assert found.key == fault[0]
    assert fault[1] in found.message
