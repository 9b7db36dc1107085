"""Puts the tables of the book into its prose pages."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hplab.analysis.claims import rerun
from hplab.analysis.claims.verdict import Verdict
from hplab.pages.tables import (
    all_runs,
    citation,
    evidence,
    findings,
    ledger,
    lost,
    machines,
    margins,
    pieces,
    precision,
    reference,
    rooms,
    seeds,
    speed,
    status,
)
from hplab.sweeps.store import default_store
from hplab.trial import HplabError, unknown

MARK = re.compile(r"^% hplab: (?P<name>[a-z0-9-]+)[ \t]*$", re.MULTILINE)


def fill(text: str, tables: Mapping[str, Callable[[], str]], where: str) -> str:
    """Replace each `% hplab: name` line of a page by the table of that name.

    Raises:
        HplabError: If a page asks for a table that does not exist.
    """

    def one(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in tables:
            raise unknown("table", name, tables, where=where)
        return tables[name]()

    return MARK.sub(one, text)


def tables(
    notebooks: Sequence[Path], store: Any = None, *, repository: str = ""
) -> dict[str, Callable[[], str]]:
    """Return the tables there are, each made when it is asked for.

    Args:
        notebooks: Executed notebooks of the studies.
        store: Where records are read from (`hplab.sweeps.store.Store`); None for the default one.
        repository: Address of the repository, for the commands that clone it.
    """

    @functools.lru_cache(maxsize=1)
    def judged() -> list[Verdict]:
        return list(rerun.all_verdicts(store=store))

    return {
        **ledger.tables(judged, notebooks, store, repository=repository),
        **evidence.tables(judged),
        **findings.tables(judged),
        **all_runs.tables(store),
        **citation.tables(),
        **pieces.tables(store),
        **seeds.tables(judged, store),
        **speed.tables(_bench_folder(store)),
        **machines.tables(_bench_folder(store)),
        **margins.tables(_bench_folder(store)),
        **lost.tables(_bench_folder(store)),
        **precision.tables(store),
        **reference.tables(),
        **rooms.tables(),
        **status.tables(notebooks, store, repository=repository),
    }


def _bench_folder(store: Any) -> Path:
    """Where the benchmarks' files are: beside the records."""
    try:
        return Path((default_store() if store is None else store).root) / "bench"
    except (HplabError, OSError, AttributeError):
        return Path("bench")
