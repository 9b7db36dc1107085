"""The figures, a file each; each takes a table of runs."""
