"""From tables of runs to numbers with intervals, and to verdicts on claims."""
