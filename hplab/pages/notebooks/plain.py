"""The notebook's text without MyST: what Markdown alone shows, and the way back.

`NN-topic.md` is written for the book. JupyterLab, Colab and GitHub know no roles, labels or
definition lists, so the `.ipynb` says the same in links and lists (`pieces`). A paragraph with
glued numbers becomes a cell that shows it, and "In short" stands where it can be the first output.
`back` takes an edited notebook to the text again, or refuses: MyST is never lost without a word.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

from hplab.pages.notebooks.prose import BLANK
from hplab.trial import HplabError, unknown

ANSWER = "**In short.**"
IMPORT = re.compile(r"(?m)^import hplab as hp\b")
PROSE = "hp.prose("
ADMONITIONS = ("note", "tip", "hint", "important", "warning", "caution", "seealso", "admonition")
_CELLS = {"code": nbformat.v4.new_code_cell, "raw": nbformat.v4.new_raw_cell}

_TOKEN = re.compile(
    r"""
    ^\([\w-]+\)=\n(?P<labelled>.*)$                                    # (label)= and its heading
  | ^(?P<fence>:{3,}|`{3,})\{(?P<directive>[\w-]+)\}[ ]*(?P<title>.*)\n
        (?P<body>(?:.*\n)*?)(?P=fence)[ ]*$                            # a directive
  | ^(?P<term>[^\s:>|#-].*)\n:[ ]+                                     # the term of a definition
  | \{(?P<role>[a-z:]+)\}`(?P<content>[^`]+)`
  | ^```(?:.*\n)+?```[ ]*$ | (?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)  # code stays as it is
    """,
    re.MULTILINE | re.VERBOSE,
)


@dataclasses.dataclass(frozen=True)
class Around:
    """What a page refers to: other pages by their titles, cited works, an address for links.

    Attributes:
        studies: The folder of the pages.
        base: What an address in the book's folder starts with; "" gives relative links.
        own: The name of the page itself, without its ending: places in it need no address.
    """

    studies: Path
    base: str = ""
    own: str = ""

    @functools.cached_property
    def works(self) -> dict[str, str]:
        """Each cited work as a link: "[Kant, 2025](address "title")", by its key."""
        import pybtex.database  # here, so that `execute` does not load it

        path = self.studies.parent / "references.bib"
        found = pybtex.database.parse_file(path).entries if path.is_file() else {}
        return {key: _work(entry, self.address("bibliography.md")) for key, entry in found.items()}

    def address(self, name: str) -> str:
        """Return the address of a file in the book's folder, as seen from a study."""
        inside = name.removeprefix("studies/") if name.startswith("studies/") else f"../{name}"
        return f"{self.base}/{name}" if self.base else inside

    def place(self, label: str) -> tuple[str, str]:
        """Return heading and address of what a page calls `label`."""
        known: dict[str, tuple[Path, str]] = {}
        for path in (*self.studies.glob("*.md"), *self.studies.parent.glob("*.md")):
            text = path.read_text(encoding="utf-8")
            for name, heading in re.findall(r"(?m)^\(([\w-]+)\)=\n#+ (.+)$", text):
                known[name] = path, heading
        if label not in known:
            raise unknown("label", label, known, "a link ({ref})")
        path, heading = known[label]
        if path.stem == self.own and path.parent == self.studies:
            return heading, f"#{heading.replace(' ', '-')}"  # as notebooks name headings
        target = path.stem if path.parent == self.studies else f"../{path.stem}"
        return heading, self.page(target)[1]

    def page(self, target: str) -> tuple[str, str]:
        """Return title and address of the page that a study calls `target`."""
        book = self.studies.parent.resolve()
        path = (self.studies.resolve() / target).with_suffix(".md").resolve()
        if not path.is_file():
            known = [page.stem for page in self.studies.glob("[0-9][0-9]-*.md")]
            raise unknown("page", target, known, "a link ({doc})")
        title = re.search(r"(?m)^# (.+)$", path.read_text(encoding="utf-8"))
        is_study = path.parent == self.studies.resolve()
        shown = path.with_suffix(".ipynb") if is_study else path
        name = shown.relative_to(book).as_posix()
        return title[1] if title else path.stem, self.address(name)


def around(page: Path) -> Around:
    """Return what a page refers to; links go to the repository, if that is known."""
    studies = page.parent
    config = studies.parent.parent / "_config.yml"
    if not config.is_file():
        return Around(studies, own=page.stem)
    repository = yaml.safe_load(config.read_text(encoding="utf-8")).get("repository", {})
    branch, book = repository.get("branch", "main"), repository.get("path_to_book", "book")
    return Around(studies, f"{repository['url']}/blob/{branch}/{book}", page.stem)


@dataclasses.dataclass(frozen=True)
class Piece:
    """One cell of the notebook, and the part of the page it stands for.

    Attributes:
        cell: The cell without MyST.
        origin: The page's cell it comes from, from 0.
        part: Its place among the pieces of that cell.
        text: What the page says there.
        swaps: (MyST, Markdown) of each thing that is written differently, in order.
    """

    cell: NotebookNode
    origin: int
    part: int
    text: str
    swaps: tuple[tuple[str, str], ...] = ()

    @property
    def is_prose(self) -> bool:
        """Whether the cell is code that shows a paragraph."""
        return self.cell.source.startswith(PROSE)


# ---------------------------------------------------------------------------------------------
# From the page to the notebook


def plain(page: NotebookNode, refers: Around) -> NotebookNode:
    """Return a page as the notebook says it.

    Raises:
        HplabError: If it uses MyST that has no plain form here.
    """
    cells = [piece.cell for piece in pieces(page, refers)]
    return nbformat.v4.new_notebook(cells=cells, metadata=page.metadata)


def pieces(page: NotebookNode, refers: Around) -> list[Piece]:
    """Return the notebook's cells in order, each with the part of the page it stands for.

    Raises:
        HplabError: If a cell uses MyST that has no plain form here.
    """
    found: list[Piece] = []
    for origin, cell in enumerate(page.cells):
        if cell.cell_type != "markdown":
            found.append(Piece(cell, origin, 0, cell.source))
            continue
        try:
            found += _of_markdown(cell, origin, refers)
        except HplabError as error:
            raise HplabError(f"cell {origin + 1}: {error}") from None
    return _answer_first(found)


def _of_markdown(cell: NotebookNode, origin: int, refers: Around) -> Iterable[Piece]:
    """Yield the pieces of one cell: runs of plain paragraphs, and each paragraph of numbers."""
    runs: list[list[str]] = []
    for chunk in cell.source.split("\n\n"):
        alone = "{glue:" in chunk or chunk.startswith(ANSWER)
        if alone or not runs or _is_alone(runs[-1][0]):
            runs.append([chunk])
        else:
            runs[-1].append(chunk)
    for part, run in enumerate(runs):
        text = "\n\n".join(run)
        shown, swaps = _markdown(text, refers)
        if _is_alone(text):
            raw = "r" if "\\" in shown else ""
            source = f'{PROSE}{raw}"""\n{shown}\n""")'
            new = nbformat.v4.new_code_cell(source, metadata={"tags": ["hide-input"]})
        else:
            new = nbformat.v4.new_markdown_cell(shown, metadata=cell.metadata)
        yield Piece(new, origin, part, text, tuple(swaps))


def _is_alone(chunk: str) -> bool:
    return "{glue:" in chunk or chunk.startswith(ANSWER)


def _answer_first(found: list[Piece]) -> list[Piece]:
    """Move "In short" to where hplab can show it: after the cell that imports it."""
    answers = [piece for piece in found if piece.text.startswith(ANSWER)]
    rest = [piece for piece in found if piece not in answers]
    if not answers:
        return found
    for place, piece in enumerate(rest, start=1):
        if piece.cell.cell_type == "code" and IMPORT.search(piece.cell.source):
            return [*rest[:place], *answers, *rest[place:]]
    raise HplabError(f"no cell says `import hplab as hp`, which {ANSWER} needs in a notebook")


def _markdown(text: str, refers: Around) -> tuple[str, list[tuple[str, str]]]:
    """Return a text without MyST, and each thing that is written differently."""
    swaps: list[tuple[str, str]] = []

    def swap(token: re.Match[str]) -> str:
        new = _token(token, refers)
        if new != token[0]:
            swaps.append((token[0], new))
        return new

    return _TOKEN.sub(swap, text), swaps


def _token(token: re.Match[str], refers: Around) -> str:
    """Return how Markdown says one token of MyST."""
    if token["labelled"] is not None:
        return token["labelled"]
    if token["directive"]:
        return _admonition(token["directive"], token["title"], token["body"])
    if token["term"]:
        return f"- **{token['term']}:** "
    if token["role"]:
        known = {"cite": _cite, "cite:p": _cite, "doc": _doc, "ref": _ref, "glue:text": _glue}
        if token["role"] not in known:
            raise unknown("role", token["role"], known, "what a notebook by itself can show")
        return known[token["role"]](token["content"], refers)
    return token[0]


def _cite(content: str, refers: Around) -> str:
    works = []
    for key in (part.strip() for part in content.split(",")):
        if key not in refers.works:
            raise unknown("cited work", key, refers.works, "references.bib")
        works.append(refers.works[key])
    return f"({'; '.join(works)})"


def _doc(content: str, refers: Around) -> str:
    named = re.fullmatch(r"(?s)(.+?)\s*<(.+)>", content)
    title, address = refers.page(named[2] if named else content)
    return f"[{named[1] if named else title}]({address})"


def _ref(content: str, refers: Around) -> str:
    named = re.fullmatch(r"(?s)(.+?)\s*<(.+)>", content)
    heading, address = refers.place(named[2] if named else content)
    return f"[{named[1] if named else heading}]({address})"


def _glue(content: str, refers: Around) -> str:
    if not BLANK.fullmatch(f"{{{{{content}}}}}"):
        raise HplabError(f"{{glue:text}}`{content}`: the name may hold letters, digits, - and _")
    return f"{{{{{content}}}}}"


def _admonition(name: str, title: str, body: str) -> str:
    if name not in ADMONITIONS:
        raise unknown("directive", name, ADMONITIONS, "what a notebook by itself can show")
    head = title.strip() or name.capitalize()
    lines = [f"**{head}.**", *body.rstrip("\n").split("\n")]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _work(entry: Any, elsewhere: str) -> str:
    """Return an entry of the bibliography as a link whose words are authors and year."""
    names = [
        " ".join(str(part) for part in person.rich_last_names)
        for person in entry.persons.get("author", [])
    ]
    several = f"{names[0]} *et al.*" if len(names) > 2 else " and ".join(names)
    words = ", ".join(filter(None, [several, entry.fields.get("year")]))
    doi = entry.fields.get("doi")
    address = entry.fields.get("url") or (f"https://doi.org/{doi}" if doi else elsewhere)
    return f"[{words}]({address})"


# ---------------------------------------------------------------------------------------------
# And back


def back(
    page: NotebookNode,
    notebook: NotebookNode,
    refers: Around,
    said: Callable[[NotebookNode], object],
) -> NotebookNode:
    """Return the page that an edited notebook stands for.

    What was written differently in the notebook has to be there still, as it was; a paragraph with
    glued numbers must not be touched. All else may change, and cells may come and go.

    Args:
        page: The page the notebook was written from.
        notebook: The notebook after the edits.
        refers: What the page refers to.
        said: What a cell says, so that two can be compared.

    Raises:
        HplabError: If an edit has no MyST that would give it, naming what has to be edited in the
            page instead.
    """
    matched = _matched(pieces(page, refers), notebook.cells, said)
    items = [item for item in matched if not _is_answer(item[0])]
    for item in matched:
        if (piece := item[0]) and _is_answer(piece):
            items.insert(_place(piece, items), item)
    cells: list[NotebookNode] = []
    last = None
    for piece, text, cell in items:
        if piece and piece.origin == last:
            cells[-1].source += f"\n\n{text}"
            continue
        last = piece.origin if piece else None
        old = cell
        if piece and (piece.is_prose or page.cells[last].metadata == cell.metadata):
            old = page.cells[last]  # its metadata are in the page's order
        new = _CELLS.get(old.cell_type, nbformat.v4.new_markdown_cell)
        cells.append(new(text, metadata=old.metadata))
    found = nbformat.v4.new_notebook(cells=cells, metadata=page.metadata)
    if [said(cell) for cell in plain(found, refers).cells] != [said(c) for c in notebook.cells]:
        raise HplabError("these edits have no place in the page; edit its .md instead")
    return found


def _matched(
    old: Sequence[Piece], cells: Sequence[NotebookNode], said: Callable[[NotebookNode], object]
) -> list[tuple[Piece | None, str, NotebookNode]]:
    """Return each cell with the piece it was, if any, and the text that the page has for it."""
    keys = [[repr(said(cell)) for cell in side] for side in ([p.cell for p in old], cells)]
    items: list[tuple[Piece | None, str, NotebookNode]] = []
    matcher = difflib.SequenceMatcher(a=keys[0], b=keys[1], autojunk=False)
    for kind, start, stop, first, end in matcher.get_opcodes():
        if kind == "equal":
            pairs = zip(old[start:stop], cells[first:end], strict=True)
            items += [(piece, piece.text, cell) for piece, cell in pairs]
            continue
        place = first
        for piece in old[start:stop]:
            near = next((i for i in range(place, end) if _alike(piece.cell, cells[i])), None)
            if near is None:
                _refuse_loss(piece)
                continue
            items += [(None, cell.source, cell) for cell in cells[place:near]]
            items.append((piece, _edited(piece, cells[near].source), cells[near]))
            place = near + 1
        items += [(None, cell.source, cell) for cell in cells[place:end]]
    return items


def _alike(one: NotebookNode, other: NotebookNode) -> bool:
    ratio = difflib.SequenceMatcher(None, one.source, other.source).ratio
    return one.cell_type == other.cell_type and ratio() > 0.5


def _refuse_loss(piece: Piece) -> None:
    """Refuse the loss of a piece that the notebook says differently from the page."""
    if piece.is_prose or piece.swaps:
        start = piece.text.split("\n")[0]
        raise HplabError(f"cell {start!r} is gone or another; take it out of the .md instead")


def _edited(piece: Piece, source: str) -> str:
    """Return the page's text for an edited piece: everything is put back that was swapped."""
    if piece.is_prose and source != piece.cell.source:
        start = ast.literal_eval(piece.cell.source.removeprefix(PROSE)[:-1]).strip()[:60]
        raise HplabError(f"the paragraph {start!r} holds glued numbers; edit it in the .md")
    text, rest = "", source
    for myst, markdown in piece.swaps:
        before, found, rest = rest.partition(markdown)
        if not found:
            raise HplabError(f"{myst!r} of the .md is {markdown!r} here; edit that in the .md")
        text += before + myst
    return text + rest


def _is_answer(piece: Piece | None) -> bool:
    return piece is not None and piece.text.startswith(ANSWER)


def _place(piece: Piece, items: Sequence[tuple[Piece | None, str, NotebookNode]]) -> int:
    """Return where a piece that was moved belongs: before those that follow it in its cell."""
    same = piece.origin
    here = [(i, other) for i, (other, _, _) in enumerate(items) if other and other.origin == same]
    after = [i for i, other in here if other.part > piece.part]
    if after:
        return after[0]
    return here[-1][0] + 1 if here else 0
