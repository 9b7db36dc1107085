"""The `hplab` command. `make` calls it; everything heavy is imported only when a command needs it.

Exit codes: 0 all went well, 1 a study failed or a check found something, 2 a mistake in what was
asked, 130 interrupted by Ctrl-C, 143 told to end (SIGTERM).
"""

from hplab.cli import claims, records, studies, sweeps
from hplab.cli.base import cli, main

__all__ = ["claims", "cli", "main", "records", "studies", "sweeps"]
