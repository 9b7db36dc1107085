"""`python -m hplab.cli`: the command where it is not installed as `hplab`."""

from hplab.cli import main

main()
