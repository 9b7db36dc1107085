"""How the book is cited: from CITATION.cff, and the commit that the pages were built from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from hplab import places
from hplab.sweeps.provenance import git_state

FIELDS = ("author", "title", "year", "version", "url", "note")


def tables(checkout: Path = places.CODE) -> dict[str, Callable[[], str]]:
    """Return the pieces of the page on citing by the names that it asks for."""
    return {
        "cite-bibtex": lambda: f"```bibtex\n{bibtex(checkout)}\n```",
        "cite-issues": lambda: (
            f"[{_cited(checkout)['repository-code']}/issues]"
            f"({_cited(checkout)['repository-code']}/issues)"
        ),
    }


def bibtex(checkout: Path) -> str:
    """Return the entry: CITATION.cff, the year of `_config.yml`, and the commit if there is one."""
    cited = _cited(checkout)
    config = yaml.safe_load((checkout / "_config.yml").read_text(encoding="utf-8"))
    state = git_state(checkout / "hplab")
    values = {
        "author": " and ".join("{" + author["name"] + "}" for author in cited["authors"]),
        "title": "{" + cited["title"] + "}",
        "year": config["copyright"],
        "version": str(cited["version"]),
        "url": cited["repository-code"],
        "note": f"Commit {state['commit'][:12]}" if state else "",
    }
    lines = [f"  {name:<8}= {{{values[name]}}}," for name in FIELDS if values[name]]
    return "\n".join(["@misc{hplab,", *lines, "}"])


def _cited(checkout: Path) -> dict:
    return yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
