"""The calculator of seeds in a real browser says what `power.seeds_needed` does."""

import itertools

import pytest

from hplab.analysis.stats import power
from hplab.pages.tables import seeds

pytestmark = pytest.mark.xdist_group("pieces")
FIELDS = {
    "expected": "Expected difference",
    "margin": "Margin (0: any difference)",
    "sd": "Standard deviation",
}


@pytest.fixture(scope="module")
def shown():
    return seeds.form()


def told(n):
    return str(n) if n <= seeds.SEEDS[-1] else "More"


def answer(page, numbers, *, scatter="differences", question="see", wanted="0.8", claims="1"):
    page.get_by_label("Question").select_option(question)
    for name, value in numbers.items():
        if question == "see" or name != "expected":
            page.get_by_label(FIELDS[name]).fill(str(value))
    page.get_by_label("My scatter is of").select_option(scatter)
    page.get_by_label("Power").select_option(wanted)
    if question == "see":
        page.get_by_label("Correction").select_option(claims)
    return page.locator("#hp-seeds-answer").inner_text()


def test_the_calculator_says_what_the_function_does(page, shown):
    page.set_content(shown)
    sizes = itertools.product((0.3, 1.1), (0.0, 0.1), (0.2, 0.4), power.SCATTERS)
    for (expected, margin, sd, scatter), wanted in itertools.product(sizes, ("0.8", "0.9")):
        numbers = {"expected": expected, "margin": margin, "sd": sd}
        for claims in ("1", "6"):
            found = answer(page, numbers, scatter=scatter, wanted=wanted, claims=claims)
            more = {"scatter": scatter, "wanted": float(wanted), "n_claims": int(claims)}
            n = power.seeds_needed(expected, sd, margin=margin, **more)
            assert found.split()[0] == told(n)
        if margin:
            found = answer(page, numbers, scatter=scatter, wanted=wanted, question="none")
            more = {"scatter": scatter, "wanted": float(wanted)}
            assert found.split()[0] == told(power.seeds_needed(0, sd, margin=margin, **more))


def test_it_says_which_test_its_answer_is_about(page, shown):
    page.set_content(shown)
    numbers = {"expected": 0.3, "margin": 0, "sd": 0.4}
    assert "the test shows that there is a difference, if it is 0.3" in answer(page, numbers)
    numbers["margin"] = 0.1
    assert "that the difference is more than 0.1, if it is 0.3" in answer(page, numbers)
    assert "less than 0.1, if there is none" in answer(page, numbers, question="none")


def test_a_difference_within_the_margin_is_never_shown_to_be_beyond(page, shown):
    page.set_content(shown)
    numbers = {"expected": 0.3, "margin": 0.3, "sd": 0.4}
    assert answer(page, numbers).startswith("No number of seeds shows that a difference of 0.3")
    with pytest.raises(ValueError, match="no number of seeds shows"):
        power.seeds_needed(0.3, 0.4, margin=0.3)
    numbers |= {"expected": 1, "sd": 0}
    assert answer(page, numbers).startswith("The scatter has to be above 0")
    numbers |= {"margin": 0, "sd": 1}
    assert answer(page, numbers, question="none").endswith("say a margin above 0.")
