"""What the reports' own numbers say: recomputed from book/reference/ wherever they allow it."""

import math
import re

import numpy as np
import pytest
import yaml
from scipy import stats as scipy_stats

from hplab import places
from hplab.analysis.claims import ledger, published
from hplab.analysis.stats import intervals, proportions
from hplab.sweeps.table import is_hyperparameter

BOOK = ledger.load()
FACTS = {
    name: yaml.safe_load((places.ledger().parent / "reference" / f"{name}.yaml").read_text())
    for name in ("000", "001", "002", "004")
}


def runs(report, **wanted):
    """Published runs with these values, accuracies in percent as printed."""
    found = FACTS[report]["runs"]
    return [run for run in found if all(run.get(k) == v for k, v in wanted.items())]


def one(report, **wanted):
    [run] = runs(report, **wanted)
    return run


def gap(run):
    return run["train_acc"] - run["val_acc"]


def zero(**wanted):
    return one("000", **{"fold": 1, "loss": "cross_entropy", "schedule": "constant"} | wanted)


def fit(*settings):
    """Training accuracy at the end, cross-entropy, fold 1."""
    return zero(**{name: value for one in settings for name, value in one.items()})["train_acc"]


def first(**wanted):
    plain = {"weight_decay": 0, "activation": "relu", "schedule": "constant"}
    return one("001", **plain | wanted)


def sharp(optimizer, **wanted):
    sweep = {"sweep": "batch_size" if "batch_size" in wanted else "lr"}
    return one("002", optimizer=optimizer, **sweep, **wanted)


ADAM, RMS, SGD = ({"optimizer": name} for name in ("adam", "rmsprop", "sgd"))
LOW, HIGH, B16, B64 = {"lr": 1e-4}, {"lr": 1e-3}, {"batch_size": 16}, {"batch_size": 64}


# ---------------------------------------------------------------- claims that one effect decides

ONE_EFFECT = [
    claim
    for claim in BOOK
    if published.effect(claim)
    and claim.own_verdict in ("supported", "contradicted")
    and claim.id not in ("S0-36", "S0-29")  # decided by theory; by a rank as well
]


@pytest.mark.parametrize("claim", ONE_EFFECT, ids=lambda claim: claim.id)
def test_the_published_effect_gives_the_own_data_verdict(claim):
    """The re-run's margin on the published effect; only a sign is asked where n = 1 is the rule."""
    effect, unit = published.effect(claim)
    test, stated = claim.test, claim.test.type == "value"
    size = (test.tolerance if stated else test.margin).value
    if test.type in ("direction", "interaction"):
        null = 1.0 if unit == "ratio" else 0.0
        holds = effect > null and effect >= size
    elif unit == "ratio":
        centre = test.value.value if stated else 1.0
        holds = 1 / size <= effect / centre <= size
    else:
        holds = abs(effect - (test.value.value if stated else 0)) <= size
    assert holds == (claim.own_verdict == "supported"), (effect, unit, size)


# ---------------------------------------------------------------- claims that need more

MORE = {
    "S0-03": lambda: fit(ADAM, LOW, B16) > fit(ADAM, LOW, B64),
    "S0-02": lambda: zero(**ADAM, **LOW, **B16)["train_s"] > zero(**ADAM, **LOW, **B64)["train_s"],
    "S0-05": lambda: MORE["S0-02"](),
    "S0-07": lambda: (
        abs(fit(RMS, LOW, B16) - 95.77) <= 2
        and gap(zero(**RMS, **LOW, **B16)) > gap(zero(**RMS, **LOW, **B64)) + 2
    ),
    "S0-13": lambda: fit(RMS, LOW, B16) > fit(RMS, HIGH, B16),
    "S0-17": lambda: fit(RMS, LOW, B64) > fit(RMS, HIGH, B64),
    "S0-18": lambda: fit(SGD, HIGH, B16) > fit(SGD, LOW, B16),
    "S0-20": lambda: fit(SGD, HIGH, B64) > fit(SGD, LOW, B64),
    "S0-25": lambda: _collapsed_to_the_largest_class(),
    "S0-29": lambda: _highest_training_accuracy(),
    "S0-30": lambda: one("000", fold=2, loss="kl_div", **B16)["val_acc"] > 40,
    "S0-31": lambda: _fold_2(),
    "S0-33": lambda: _adaptive_ahead_of_sgd(),
    "S0-41": lambda: _different_winners(),
    "S0-42": lambda: MORE["S0-13"]() and MORE["S0-18"](),
    "S0-44": lambda: _n_wide_gaps() > _n_gaps() / 2,
    "S1-06": lambda: (
        first(lr=0.01)["val_loss"] - first(lr=0.01)["val_loss_min"] > 1
        and first(lr=0.01)["train_acc"] > 99
    ),
    "S1-07": lambda: _own_plateau(0.01) < _own_plateau(0.05) - 5,
    "S1-09": lambda: first(lr=0.05)["val_loss"] - first(lr=0.05)["val_loss_min"] > 0.2,
    "S1-11": lambda: FACTS["001"]["facts"]["val_loss_change_last_third"][0.2] > 0.05,
    "S1-15": lambda: gap(first(lr=0.05)) < min(gap(first(lr=0.01)), gap(first(lr=0.2))),
    "S1-16": lambda: (
        _rising("val_acc") and _rising("val_loss") and _doubling("val_acc", 0.01, 0.2) >= 0.5
    ),
    "S1-17": lambda: min(FACTS["001"]["facts"]["val_acc_change_last_third"].values()) > 0.2,
    "S1-22": lambda: _scatter("constant") < _scatter("cosine"),
    "S1-23": lambda: abs(first(lr=0.05)["val_acc"] - 60) <= 1,
    "S1-29": lambda: (
        _decay("train_loss", 5e-4) > _decay("train_loss", 1e-4) + 0.2
        and _decay("val_loss", 5e-4) < _decay("val_loss", 1e-4) - 0.2
    ),
    "S1-32": lambda: gap(_decayed(0)) - 3 > gap(_decayed(1e-4)) > gap(_decayed(5e-4)) + 3,
    "S1-34": lambda: _decayed(5e-4)["epoch_of_best_val_acc"] > 250,
    "S1-40": lambda: _scatter("constant", "val_loss") > 1.2 * _scatter("cosine", "val_loss"),
    "S2-02": lambda: _monotone("sgd") and _monotone("adagrad"),
    "S2-07": lambda: sharp("sgd", batch_size=32)["sharpness"] > 10 * _full("sgd"),
    "S2-09": lambda: _crossing(),
    "S2-10": lambda: _flatter("sgd") > 2 and _flatter("adagrad") > 2,
    "S2-16": lambda: _second_step("sgd") < 0 and _second_step("adagrad") < 0,
    "S2-17": lambda: _range("adagrad") < _range("sgd") / 1.35,
    "S2-19": lambda: np.median(_width_ratios()) <= 1.25,
    "S4-06": lambda: all(
        one("004", lr=1e-3)["val_acc"] - one("004", lr=lr)["val_acc"] >= 0.1
        and one("004", lr=1e-3)["val_loss"] < one("004", lr=lr)["val_loss"]
        for lr in (5e-4, 1e-4)
    ),
    "S4-07": lambda: all(
        one("004", lr=a)[m] * s < one("004", lr=b)[m] * s
        for m, s in [("train_acc", 1), ("val_acc", 1), ("train_loss", -1), ("val_loss", -1)]
        for a, b in [(1e-4, 5e-4), (5e-4, 1e-3)]
    ),
    "S4-17": lambda: one("004", lr=1e-3)["val_acc"] == max(r["val_acc"] for r in runs("004")),
}


@pytest.mark.parametrize("claim_id", MORE)
def test_other_own_data_verdicts_follow_from_the_published_numbers(claim_id):
    assert bool(MORE[claim_id]()) == (BOOK[claim_id].own_verdict == "supported")


def test_only_these_verdicts_are_not_recomputed_here():
    """Of curves whose values cannot be read, of theory, of what is in words; S4 in test_claims."""
    decided = {claim.id for claim in BOOK if claim.own_verdict in ("supported", "contradicted")}
    left = "S0-11 S0-22 S0-26 S0-32 S0-36 S2-05 S2-06 S2-14 S2-20 S2-21 S4-01 S4-02 S4-03"
    assert decided - {claim.id for claim in ONE_EFFECT} - set(MORE) == set(left.split())


def _collapsed_to_the_largest_class():
    run, facts = one("000", fold=1, loss="kl_div", **B16), FACTS["000"]["facts"]
    largest = facts["largest_class"]
    shares_ = [largest["n_train"] / facts["n_train"], largest["n_val"] / facts["n_val"]]
    return np.allclose([run["train_acc"] / 100, run["val_acc"] / 100], shares_, atol=5e-7)


def _highest_training_accuracy():
    best = max(runs("000"), key=lambda run: run.get("train_acc", 0))
    return (best["loss"], best["batch_size"], best["train_acc"]) == ("kl_div", 64, 97.75)


def _fold_2():
    small, large = (one("000", fold=2, loss="kl_div", **b) for b in (B16, B64))
    return gap(large) > gap(small) + 2 and abs(large["val_acc"] - small["val_acc"]) < 2


def _adaptive_ahead_of_sgd():
    sgd = zero(**SGD, **LOW, **B16)["train_acc"]
    return all(zero(**o, **LOW, **B16)["train_acc"] > sgd + 5 for o in (ADAM, RMS))


def _different_winners():
    samples = [(LOW, B64), (HIGH, B16)]
    best = [
        max((ADAM, RMS, SGD), key=lambda o: zero(**o, **lr, **b)["val_acc"])["optimizer"]
        for lr, b in samples
    ]
    return len(set(best)) > 1


def _gaps():
    return [
        gap(r) for r in runs("000") if "train_acc" in r and "not in the report" not in r["from"]
    ]


def _n_gaps():
    return len(_gaps())


def _n_wide_gaps():
    return sum(width > 20 for width in _gaps())


def _own_plateau(lr):
    return FACTS["001"]["facts"]["epochs_to_95_percent_of_own_val_acc"][lr]


def _rising(metric):
    values = [first(lr=lr)[metric] for lr in (0.01, 0.05, 0.2)]
    return values == sorted(values)


def _doubling(metric, low, high):
    """Change a doubling of the learning rate."""
    return (first(lr=high)[metric] - first(lr=low)[metric]) / math.log2(high / low)


def _scatter(schedule, metric="val_acc"):
    return first(lr=0.05, schedule=schedule)[f"{metric}_last20_sd"]


def _decayed(weight_decay):
    return first(lr=0.05, weight_decay=weight_decay)


def _decay(metric, weight_decay):
    return _decayed(weight_decay)[metric]


def _by_lr(optimizer):
    return sorted(runs("002", sweep="lr", optimizer=optimizer), key=lambda run: run["lr"])


def _monotone(optimizer):
    values = [run["sharpness"] for run in _by_lr(optimizer)]
    return values == sorted(values, reverse=True)


def _full(optimizer):
    return sharp(optimizer, batch_size=50000)["sharpness"]


def _crossing():
    small, large = (
        [sharp(o, batch_size=b)["sharpness"] for o in ("sgd", "adagrad")] for b in (128, 8192)
    )
    return small[0] > 1.1 * small[1] and large[1] > 1.1 * large[0]


def _flatter(optimizer):
    return sharp(optimizer, lr=1e-3)["sharpness"] / sharp(optimizer, lr=0.1)["sharpness"]


def _second_step(optimizer):
    return sharp(optimizer, lr=5e-4)["sharpness"] - sharp(optimizer, lr=1e-4)["sharpness"]


def _range(optimizer):
    values = [run["sharpness"] for run in runs("002", sweep="batch_size", optimizer=optimizer)]
    return max(values) / min(values)


def _width_ratios():
    ours = [
        np.ptp([(m := intervals.mean_interval(run["models"])).low, m.high]) / 2
        for run in runs("002")
    ]
    return np.array(ours) / [run["halfwidth"] for run in runs("002")]


# ---------------------------------------------------------------- the reasons that are given


def test_equal_to_the_margin_or_not_all_the_way_is_no_support():
    """S1-37: accuracies further apart than its margin, a loss lower in nearly all epochs."""
    apart = first(lr=0.05, activation="sigmoid")["val_acc"] - first(lr=0.05)["val_acc"]
    lower, n_epochs = FACTS["001"]["facts"]["epochs_with_lower_val_loss_of_sigmoid"]

    assert apart > BOOK["S1-37"].test.parts[0].margin.value
    assert lower < n_epochs
    assert f"{apart:.2f} pp apart" in BOOK["S1-37"].own_why
    assert f"{lower} of {n_epochs} epochs" in BOOK["S1-37"].own_why
    assert BOOK["S1-37"].own_verdict == "unclear"


def test_report_002_counted_directions_as_models():
    ratios = _width_ratios()
    assert len(ratios) == 38
    assert np.median(ratios) == pytest.approx(3.2, abs=0.1)
    assert (ratios > 1.25).sum() == 37  # "in all settings but one"
    # Its interval is the t interval of 294 values: within and between models pooled.
    run = sharp("sgd", batch_size=32)
    sd = np.array(run["direction_sd"])
    squares = 48 * (sd**2).sum() + 49 * np.var(run["models"]) * 6
    pooled = scipy_stats.t.ppf(0.975, 293) * math.sqrt(squares / 293 / 294)
    assert pooled == pytest.approx(run["halfwidth"], rel=2e-3)


def test_the_step_that_goes_back_is_no_chance():
    low, high = (sharp("adagrad", lr=lr)["models"] for lr in (1e-4, 5e-4))
    assert scipy_stats.ttest_ind(high, low, equal_var=False).pvalue < 1e-9
    assert "p below 1e-9" in BOOK["S2-02"].own_why
    ratio = sharp("sgd", lr=0.1)["sharpness"] / sharp("adagrad", lr=0.1)["sharpness"]
    assert ratio == pytest.approx(4.0, abs=0.1)


def test_the_collapses_of_report_000_prove_nothing():
    counts = FACTS["000"]["facts"]["identical_loss_collapses"]
    table = [[k, n - k] for k, n in counts.values()]
    assert scipy_stats.fisher_exact(table).pvalue == pytest.approx(1.0)
    share = proportions.proportion_interval(*counts[16])
    assert (share.low, share.high) == (
        pytest.approx(0.019, abs=1e-3),
        pytest.approx(0.558, abs=1e-3),
    )


def test_reasons_about_single_differences():
    images = round(8.16 * (48.1618 - 44.7304))
    assert f"{images} of 816 images" in BOOK["S0-08"].own_why
    error = 100 * math.sqrt(0.4816 * 0.5184 / 816)
    assert f"about {error:.1f} pp" in BOOK["S0-08"].own_why
    assert (_n_wide_gaps(), _n_gaps()) == tuple(
        int(x) for x in re.search(r"in (\d+) of the (\d+)", BOOK["S0-44"].own_why).groups()
    )
    drop = {
        o: sharp(o, lr=1e-2)["sharpness"] / sharp(o, lr=5e-2)["sharpness"]
        for o in ("sgd", "adagrad")
    }
    assert f"factor {drop['adagrad']:.1f} with AdaGrad" in BOOK["S2-13"].own_why
    assert f"{drop['sgd']:.1f} with SGD" in BOOK["S2-13"].own_why


def test_numbers_quoted_in_reasons_are_in_the_reference():
    """Percentages with two decimals in an own-data reason are printed numbers of that report."""
    for claim in BOOK:
        printed = {
            f"{value:.2f}"
            for run in FACTS[claim.report.id]["runs"]
            for value in run.values()
            if isinstance(value, float)
        }
        for number in re.findall(r"(?<![\d.])\d{2}\.\d\d\b(?! min)", claim.own_why):
            assert number in printed, (claim.id, number)


def test_every_arm_is_made_of_names_that_trials_know():
    for claim in BOOK:
        for arm in claim.test.settings:
            assert all(map(is_hyperparameter, arm)), claim.id
