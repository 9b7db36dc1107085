"""JupyterLab on the studies: every save keeps text and notebook one, and git clean.

An extension of Jupyter's server, which `make lab` loads. What is saved to `NN-topic.ipynb` is
written without outputs or editor state, and its edits go into `NN-topic.md`; what is saved to the
text goes into the notebook. An edit that the text cannot take is refused, and nothing is written.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from tornado.web import HTTPError

from hplab.pages.notebooks import ipynb, pairing
from hplab.trial import HplabError

_STUDY = re.compile(r"\d\d-[\w-]+\.(md|ipynb)")


class Keeper:
    """The two hooks that a contents manager calls when something is saved.

    Attributes:
        root: The folder that the server shows.
        written: For each notebook, the digest of what this server last wrote to it: an open
            notebook does not learn the new one, and still is up to date.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written: dict[Path, str] = {}

    def before(self, *, model: dict[str, Any], path: str, **_: Any) -> None:
        """Make what is about to be saved what belongs into the repository.

        Raises:
            HTTPError: If an edit cannot be kept; JupyterLab shows why.
        """
        page = self._page(self.root / path)
        if page is None:
            return
        if model["type"] == "notebook":
            try:
                model["content"] = self._notebook(page, nbformat.from_dict(model["content"]))
            except HplabError as error:
                raise HTTPError(409, reason=_one_line(error)) from None
        elif path.endswith(".md"):
            model["content"] = pairing.with_header(model["content"])

    def after(self, *, os_path: str, contents_manager: Any, **_: Any) -> None:
        """Write the notebook of a text that was saved, unless there is a mistake in it."""
        page = self._page(Path(os_path))
        if page is None or not os_path.endswith(".md"):
            return
        try:
            notebook = pairing.notebook_of(page)
            pairing.sync_one(page)
            self.written[page] = ipynb.source_digest(notebook)
        except HplabError as error:
            contents_manager.log.warning("hplab: %s", error)

    def _notebook(self, page: Path, edited: nbformat.NotebookNode) -> nbformat.NotebookNode:
        """Take edits into the text; return the notebook as it is to be saved."""
        now = ipynb.source_digest(pairing.notebook_of(page))
        opened = edited.metadata.get("hplab", {}).get("source")
        said = ipynb.source_digest(edited)
        if said != now and now not in (opened, self.written.get(page)):
            raise HplabError(
                f"{page.name} has changed since this notebook was opened: reload the notebook "
                "(File, Reload Notebook from Disk) and make the edit again"
            )
        if said != now:
            pairing.take_back(page, edited)
        saved = pairing.notebook_of(page)
        self.written[page] = ipynb.source_digest(saved)
        return saved

    def _page(self, path: Path) -> Path | None:
        """Return the text of a study's file, None for any other file."""
        page = path.with_suffix(".md")
        return page if _STUDY.fullmatch(path.name) and page.is_file() else None


def _one_line(error: HplabError) -> str:
    return " ".join(str(error).split())


async def _start_jupyter_server_extension(server: Any) -> None:
    """Register the hooks, once jupytext has put its own contents manager in place."""
    keeper = Keeper(Path(server.root_dir))
    server.contents_manager.register_pre_save_hook(keeper.before)
    server.contents_manager.register_post_save_hook(keeper.after)


def _load_jupyter_server_extension(server: Any) -> None:
    """Do nothing yet; Jupyter's server wants this to be there."""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]
