"""Which models of a sweep are kept: all of them, or the best so far."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hplab import places
from hplab.errors import HplabError, unknown
from hplab.sweeps import metrics as named
from hplab.sweeps import store as stores
from hplab.sweeps.contents import Item
from hplab.sweeps.shelf import BEST, Shelf, Version

KEEP = ("best", "all")


def shelf_of(store: stores.Store | None) -> Shelf:
    """Return the artifacts beside the records of a store."""
    store = store or stores.default_store()
    return Shelf(store.pending.parent / "artifacts", places.artifacts_budget())


class Keeping:
    """Takes the models of runs as they finish.

    The best is that of one run with "ok", by one metric. A run is partly luck: which setting is
    better is for `hp.judge` to say.

    Args:
        keep: "best" or "all".
        store: The records beside which they are kept.
        metric: What is compared; "" for the first metric of a run, validation before others.
        goal: 1 if more of it is better, -1 if less; 0 for what its name says.

    Raises:
        HplabError: If `keep` is something else.
    """

    def __init__(self, keep: str, store: stores.Store, metric: str = "", goal: int = 0) -> None:
        if keep not in KEEP:
            raise unknown("keep", keep, KEEP)
        self.keep, self.metric, self.goal = keep, metric, goal
        self.shelf = shelf_of(store)
        self.n_taken = self.n_without = 0
        self._best: dict[str, Version | None] = {}

    def take(
        self, name: str, items: list[Item], lineage: Mapping[str, Any], head: Mapping[str, Any]
    ) -> None:
        """Keep what a run gave, if it is to be kept; what cannot be is told.

        Args:
            name: What the artifact is called, where an item does not say it.
            items: What the run gave.
            lineage: Where it is from.
            head: The run's "status" and "final".
        """
        self.n_taken += bool(items)
        self.n_without += not items
        for item in items:
            try:
                self._take(item.name or name, item, lineage, head)
            except HplabError as error:  # the run itself is recorded all the same
                print(f"not kept: {error}", file=sys.stderr)

    def _take(
        self, name: str, item: Item, lineage: Mapping[str, Any], head: Mapping[str, Any]
    ) -> None:
        before = self._best_of(name, lineage.get("code"))
        scored = self._score(head)
        is_best = bool(scored) and (before is None or self._beats(scored, before.lineage["score"]))
        if self.keep == "best" and not is_best:
            return
        whole = {**lineage, "score": scored} if scored else dict(lineage)
        aliases = [*item.aliases, *([BEST] if is_best else [])]
        made = self.shelf.add(name, item, whole, aliases)
        if is_best:
            self._best[name] = made
            if self.keep == "best" and before is not None:
                self.shelf.drop(before)

    def _best_of(self, name: str, code: Any) -> Version | None:
        """Return the best version so far, of the same code and metric."""
        if name not in self._best:
            self._best[name] = None
            if name in self.shelf.names():
                known = [one for one in self.shelf.versions(name) if BEST in one.aliases]
                fits = [one for one in known if one.lineage.get("code") == code]
                self._best[name] = next((one for one in fits if "score" in one.lineage), None)
        return self._best[name]

    def _score(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metric that is compared and its value, {} of a run that has none."""
        if head["status"] != "ok":
            return {}
        names = sorted(head["final"], key=named.order)
        metric = self.metric or next((n for n in names if named.better(n)), names[0])
        value = head["final"].get(metric)
        return {} if value is None else {"metric": metric, "value": value}

    def _beats(self, scored: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        if scored["metric"] != other["metric"]:
            return True  # they cannot be compared: what was asked about last counts
        goal = self.goal or named.better(scored["metric"]) or 1
        return goal * scored["value"] > goal * other["value"]

    def told(self, recorded: Sequence[str]) -> str:
        """Return what the reader should know at the end, "" if nothing.

        Args:
            recorded: The keys of runs that were recorded before, and so were not run again.
        """
        known = {version.lineage.get("key") for version in self.shelf.versions()}
        lacking = [key for key in recorded if key not in known]
        # Of a best run alone, the others lack theirs because they were not the best.
        if lacking and (self.keep == "all" or not (known or self.n_taken)):
            was = "run was" if len(lacking) == 1 else "runs were"
            return (
                f"{len(lacking)} {was} recorded before without what it trained; what is recorded "
                "is not run again"
            )
        if self.n_without:
            return (
                f"{self.n_without} runs gave nothing to keep: let the function return its network, "
                "or a mapping from names to arrays, among its numbers"
            )
        return ""
