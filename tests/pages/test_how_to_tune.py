"""What the page on tuning says of its figure follows from the records."""

import pandas as pd

from hplab.pages.tables import pieces


def lines(**accuracies):
    """What is read off accuracies by seed; a rate is named "r" and its exponent of ten."""
    wide = pd.DataFrame({10.0 ** -int(rate[1:]): values for rate, values in accuracies.items()})
    return pieces._read_off(wide[sorted(wide)])


def test_the_way_up_the_top_and_the_cliff_are_read_off_the_records():
    up, flat, cliff = lines(
        r5=[0.70, 0.71, 0.72],
        r4=[0.90, 0.92, 0.91],
        r3=[0.92, 0.91, 0.91],
        r2=[0.88, 0.89, 0.88],
        r1=[0.95, 0.1, 0.1],
    )
    assert "From 71.00 % at 1e-5 the mean rises to 91.33 % at 1e-3, over a factor of 100" in up
    assert "1e-4 and 1e-3 cannot be told apart: 1e-4 minus 1e-3 is −0.33 pp" in flat
    assert "One step outside: 1e-5 minus 1e-4 is −20.00 pp" in flat
    assert "0.01 minus 1e-3 is −3.00 pp" in flat
    assert "works for one seed and fails for the next.** At 0.1 the 3 seeds end at 95.00," in cliff
    all_fail = lines(r4=[0.90, 0.92, 0.91], r1=[0.1, 0.1, 0.1])[-1]
    assert all_fail.startswith("**Beyond it is a cliff.** At 0.1 the 3 seeds end at 10.00,")


def test_nothing_is_said_of_a_cliff_that_is_not_there():
    found = lines(r5=[0.70, 0.71, 0.72], r4=[0.90, 0.92, 0.91])

    assert len(found) == 2
    assert "1e-4 is ahead of all others" in found[1]


def test_the_book_has_enough_records_for_it():
    assert pieces.tuning_read().count("n = ") >= 4
