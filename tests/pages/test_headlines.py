"""Under "In short" no number stands without an interval and three seeds."""

import re
from types import SimpleNamespace
from unittest.mock import Mock

import pandas as pd
import pytest

import hplab as hp
from hplab.analysis.stats import intervals
from hplab.pages import cards
from hplab.pages.notebooks import headlines, ipynb, pairing
from hplab.pages.site import audit
from hplab.trial import Trial

STUDIES = pairing.pages(pairing.Path(__file__).resolve().parents[2] / "book" / "studies")


def runs(**columns):
    """A table of runs of three seeds at two rates."""
    table = {"lr": [1e-3] * 3 + [1e-2] * 3, "seed": [0, 1, 2] * 2, "status": "ok"}
    return pd.DataFrame(table | {"val_acc": [0.9, 0.92, 0.91, 0.8, 0.84, 0.82]} | columns)


def test_a_difference_is_paired_by_seed_and_has_interval_and_seeds():
    text = headlines.difference(runs(), "lr", 1e-3, 1e-2, "val_acc")
    expected = intervals.mean_interval([10, 8, 9])
    assert text.startswith("+9.00 pp (95 % interval ")
    assert f"{expected.low:.2f} to {expected.high:.2f} pp, n = 3 seeds" in text
    assert headlines.difference(runs(), "lr", 1e-2, 1e-3, "val_acc").startswith("−9.00 pp")


def test_runs_tell_a_difference_whose_interval_leaves_zero_out():
    assert headlines.tells(runs(), "lr", 1e-3, 1e-2, "val_acc")  # 8, 9 and 10 points
    assert headlines.tells(runs(), "lr", 1e-2, 1e-3, "val_acc")  # and as many below
    noisy = runs(val_acc=[0.9, 0.8, 0.9, 0.8, 0.9, 0.85])
    assert not headlines.tells(noisy, "lr", 1e-3, 1e-2, "val_acc")
    assert not headlines.tells(runs().iloc[[0, 1, 3, 4]], "lr", 1e-3, 1e-2, "val_acc")
    assert not headlines.tells(pd.DataFrame(), "lr", 1e-3, 1e-2, "val_acc")


def test_what_a_report_printed_of_single_runs_says_so_and_nothing_of_ours_hides_behind_it():
    assert headlines.faults("the gap falls from 44.1 to 12.0 pp (one run each)") == []
    assert headlines.faults("the gap falls from 44.1 to 12.0 pp") != []
    mixed = "from 44.1 to 12.0 pp (one run each); ours by 3 pp (95 % interval 1 to 5, n = 2 seeds)"
    assert headlines.faults(mixed) != []


@pytest.mark.parametrize("table", [runs().iloc[[0, 1, 3, 4]], runs().iloc[:3], pd.DataFrame()])
def test_two_seeds_make_no_headline(table):
    assert headlines.difference(table, "lr", 1e-3, 1e-2, "val_acc") == ""
    assert headlines.mean([0.9, 0.8], "val_acc") == ""
    assert headlines.share([True, True]) == ""


def test_the_best_setting_is_named_with_its_mean():
    text = headlines.best(runs(), "lr", "val_acc")
    assert text.startswith(
        "1e-3 has the highest mean validation accuracy of 2 from 1e-3 to 0.01, 91.00 % ("
    )
    assert headlines.best(runs().iloc[[0, 1, 3, 4]], "lr", "val_acc") == ""
    assert headlines.best(pd.DataFrame(), "lr", "val_acc") == ""


def by_rate(**accuracies):
    """A table of runs: for each rate, named "r" and its number, an accuracy a seed."""
    rows = [
        {"lr": float(rate[1:]), "seed": seed, "status": "ok", "val_acc": value}
        for rate, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_the_best_is_looked_for_on_the_seeds_that_all_have():
    """More seeds of one rate, all of them lucky, do not make it the best."""
    table = by_rate(r1=[0.90, 0.91, 0.92], r2=[0.89, 0.91, 0.91, 0.99, 0.99])
    text = headlines.best(table, "lr", "val_acc")

    assert table.groupby("lr")["val_acc"].mean().idxmax() == 2
    assert "1 has the highest mean validation accuracy of 2" in text
    assert "91.00 %" in text
    assert "n = 5" not in text


def test_what_cannot_be_told_from_the_best_is_named_and_what_fails_is_counted():
    table = by_rate(r1=[0.90, 0.91, 0.92], r2=[0.91, 0.90, 0.92], r3=[0.93, 0.1, 0.1], r4=[0.8] * 3)
    first, near = headlines.top(headlines.side_by_side(table, "lr", "val_acc"), "val_acc")
    text = headlines.best(table, "lr", "val_acc")

    assert (first, near) == (1, [1, 2])  # 3 holds 0 in its interval, but two of its seeds failed
    assert text.startswith(
        "the learning rates 1 and 2 cannot be told apart, and at 3 2 of 3 seeds fail. By the mean "
        "1 has the "
    )
    assert headlines.faults(text) == []
    gaps = headlines.gaps(table, "lr", "val_acc")
    assert gaps.startswith("Seed by seed the difference from 1 is ")
    assert gaps.endswith(", n = 3 seeds) at 2.")
    assert headlines.faults(gaps) == []
    assert headlines.gaps(table[table["lr"].isin([1, 4])], "lr", "val_acc") == ""
    assert headlines.gaps(table[table["seed"] < 2], "lr", "val_acc") == ""
    assert headlines.failed(headlines.side_by_side(table, "lr", "val_acc"), "val_loss") == {}


def test_a_share_has_the_exact_interval():
    # Clopper and Pearson: for n of n the lower end is (alpha / 2) ** (1 / n)
    assert (
        headlines.share([True] * 6)
        == f"6 of 6 seeds (95 % interval {100 * 0.025 ** (1 / 6):.0f} to 100 %)"
    )
    assert headlines.share([False] * 7, "run") == "0 of 7 runs (95 % interval 0 to 41 %)"
    assert headlines.share([False] * 3).startswith("0 of 3 seeds (95 % interval 0 to 71 %)")


def test_a_verdict_is_a_headline_only_if_it_rests_on_an_interval_over_three_seeds():
    interval = intervals.mean_interval([1.0, 2.0, 3.0])
    reason = "On 3 seeds it is 2 pp higher (95 % interval −0.5 to 4.5)."
    whole = SimpleNamespace(outcome="supported", interval=interval, n=3, reason=reason)
    assert headlines.of(whole) == reason
    for change in ({"n": 2}, {"interval": None}, {"outcome": "missing"}):
        text = headlines.of(SimpleNamespace(**(vars(whole) | change)))
        assert "open" in text
        assert headlines.faults(text) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("3.1 points higher (SGD, preset reduced, 1 seed a setting)", "without interval"),
        ("moves the gap by −1.5 pp", "without interval"),
        ("3.1 pp (95 % interval 1 to 5 pp)", "without three seeds"),
        ("3.1 pp (95 % interval 1 to 5 pp, n\u00a0=\u00a02\u00a0seeds)", "without three seeds"),
        ("1 pp (interval 0 to 2, n = 5 seeds) and 2 pp (interval, n = 2 seeds)", "three seeds"),
    ],
)  # fmt: skip
def test_what_a_headline_lacks_is_named(text, what):
    assert any(what in fault for fault in headlines.faults(text))


@pytest.mark.parametrize(
    "text",
    ["which is open", "99.07 % (95 % interval 99 to 99.1 %, n\u00a0=\u00a05\u00a0seeds)",
     "On 5 seeds it is 0.01 pp lower (95 % interval of the difference −0.1 to 0.1)"],
)  # fmt: skip
def test_words_and_whole_numbers_pass(text):
    assert headlines.faults(text) == []


def test_a_built_page_with_a_bare_number_under_in_short_has_a_fault(tmp_path):
    page = (
        '<!DOCTYPE html><html lang="en"><title>t</title><p><strong>In short.</strong> It was '
        '<span class="pasted-text">3.1 points</span>.</p><p><span class="pasted-text">7</span></p>'
    )
    (tmp_path / "page.html").write_text(page)
    assert audit.check(tmp_path) == [
        "page.html: a number without interval under In short: 3.1 points",
        "page.html: a number without three seeds under In short: 3.1 points",
    ]


# ------------------------------------------------------------------------------ every study


@pytest.fixture(scope="module")
def glued():
    """The values that each study glues from the committed records."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPLAB_MODE", "cached")
        for name in ("plots", "show", "claims_table", "explore", "cost", "provenance", "keep"):
            patch.setattr(hp, name, Mock(), raising=False)
        for path in STUDIES:
            found[path.stem] = {}

            def glue(name, value, fmt=None, into=found[path.stem]):
                into[name] = cards.formatted(value, fmt)

            patch.setattr(hp, "glue", glue)
            names = {}
            for cell in ipynb.read(path).cells:
                if cell.cell_type == "code" and "git clone" not in cell.source:
                    exec(cell.source, names)
                    if "parameters" in cell.metadata.get("tags", []):
                        names["preset"] = "paper"
    return found


def headline(path):
    """The paragraph that begins with "In short", and the names glued into it."""
    text = next(p for p in path.read_text().split("\n\n") if p.startswith("**In short.**"))
    return text, re.findall(r"\{glue:text\}`([\w-]+)`", text)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_study_has_a_headline_without_interval_and_seeds(path, glued):
    _, names = headline(path)
    assert names
    assert {name: headlines.faults(glued[path.stem][name]) for name in names} == {
        name: [] for name in names
    }


def test_study_1_opens_with_what_its_mnist_records_say(glued):
    text, _ = headline(STUDIES[0])
    assert text.startswith("**In short.** {glue:text}`best`")
    said = glued[STUDIES[0].stem]["best"]
    base = Trial(data="mnist", model="cnn", optimizer="adam", batch_size=64, epochs=5)
    rates = [1e-5, 3e-5, 1e-4, 3e-4, 5e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
    full = hp.recorded(hp.grid(base, lr=rates, seed=range(20)), preset="paper")
    if full.empty or "open" in said:
        assert "is open" in said
        return
    seeds = full.pivot(index="seed", columns="lr", values="val_acc").dropna()
    top = {3e-4: "3e-4", 5e-4: "5e-4", 1e-3: "1e-3"}[seeds.mean().idxmax()]
    assert f"{top} has the highest mean validation accuracy of 10" in said
    assert f"{100 * seeds.mean().max():.2f} %" in said
    assert f"n = {len(seeds)} seeds" in said
    n_low = int((seeds[1e-2] < seeds.mean().max() / 2).sum())
    assert f"at 0.01 {n_low} of {len(seeds)} seeds" in said


def test_study_1_says_first_what_the_set_ups_say_that_fit_the_report(glued):
    said = glued[STUDIES[0].stem]
    if said["n_fit"] == "0":
        assert "None of the set-ups" in said["fit"]
        return
    counts = re.search(
        r"above 0 with (\d+) .*below 0 with (\w+), .*holds 0 with (\d+)", said["fit"]
    )
    assert sum(int(n) for n in counts.groups() if n != "none") == int(said["n_fit"])
    assert "n = 5 seeds" in said["fit"]


def test_study_2_gives_the_difference_as_the_report_measures_it_and_measured_after(glued):
    said = glued[STUDIES[1].stem]["answer"]
    if not said.startswith("On a report's photos"):
        assert "open" in said
        return
    photos = Trial(
        data="dinosaurs", model="cnn", model_args={"channels": [16, 32, 64], "batch_norm": True},
        normalize="imagenet", augment={"flip": 0.5, "rotate": 15}, split="kfold", drop_last=True,
        epochs=100, measure=("diagnostics", "probes", "confusion"), optimizer="sgd", lr=1e-4,
    )  # fmt: skip
    cells = hp.recorded(hp.grid(photos, batch_size=[16, 64], seed=range(20)), preset="paper")
    ends = hp.curves(cells).groupby("key")["running_acc"].last()
    for values in (cells["train_acc"], cells["key"].map(ends)):
        wide = cells.assign(value=values).pivot(index="seed", columns="batch_size", values="value")
        assert f"+{100 * (wide[16] - wide[64]).mean():.2f} pp" in said
