"""Finished results into the store, a few seconds of work at a time, and safe meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from hplab.sweeps import records
from hplab.sweeps.journal import Journal
from hplab.sweeps.store import Store
from hplab.trial import HplabError, canonical

PUT_FROM_S = 2.0  # results wait to be written together until they are worth this much training


class Writer:
    """Puts finished records, little work at a time together, and what is left at the end.

    Until they are put they stand in a journal, which outlives a kill of this process.
    What the store refuses to write is kept and tried again with what comes next. If it refuses to
    the end, the records go to a file among the system's temporary ones.

    Args:
        store: Where they go.
        tidy: Called at the start, and whenever some were written.

    Attributes:
        n_added: How many records it was given.
    """

    def __init__(self, store: Store, tidy: Callable[[], None] | None = None) -> None:
        self.store, self.n_added = store, 0
        self._tidy = tidy or (lambda: None)
        self._journal = Journal(store.journal)
        self._worth = 0.0  # seconds that what waits has cost
        self.waiting: list[records.Record] = []
        self.refusal: records.StoreError | None = None

    def __enter__(self) -> Writer:
        self._tidy()
        return self

    def add(self, record: records.Record) -> None:
        """Take a finished record."""
        self.waiting.append(records.sealed(record))
        self._journal.add(canonical(self.waiting[-1]).encode())
        self.n_added += 1
        self._worth += record["cost"]["train_s"] + record["cost"]["eval_s"]

    def flush_if_due(self) -> None:
        """Write what waits if it is worth the time."""
        if self._worth >= PUT_FROM_S:
            self._flush()

    def _flush(self) -> None:
        try:
            if self.waiting:
                self.store.put(self.waiting)
        except records.StoreError as error:
            if self.refusal is None:
                print(f"{error}; training goes on and what is finished is kept in memory")
            self.refusal = error
        else:
            self.waiting, self.refusal, self._worth = [], None, 0.0
            self._journal.clear()
            self._tidy()

    def __exit__(self, *_: object) -> None:
        self._flush()
        if self.waiting:
            self._put_elsewhere()
        self._journal.close()

    def _put_elsewhere(self) -> None:
        lines = [(record["key"], canonical(record).encode()) for record in self.waiting]
        name, content = records.batch(lines)
        path = Path(tempfile.gettempdir()) / f"hplab-{name}"
        what = f"{self.refusal}; {len(lines)} finished trials"
        try:
            records.write_whole(path, content)
        except records.StoreError as error:
            raise HplabError(f"{what} are lost, since neither could {path}: {error}") from error
        self._journal.close()
        raise HplabError(f"{what} are in {path}: move that file to {self.store.pending}")
