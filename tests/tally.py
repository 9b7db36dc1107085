"""Counting what damages come to, for tests that try many and the command that publishes it."""


def tally(n, one):
    """Try n damages; return how many were refused, and a line on each that gave a wrong answer."""
    n_refused, wrong = 0, []
    for number in range(n):
        try:
            n_refused += one(number)
        except Exception as error:  # whatever is not one line for the reader
            wrong.append(f"damage {number}: {type(error).__name__}: {error}"[:500])
    return n_refused, wrong
