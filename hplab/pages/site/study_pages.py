"""Between an executed notebook and its page: what is left out, what is said, what must arrive.

A notebook keeps each figure twice, as a drawing and as a PNG for readers that show no drawing; its
page needs the drawing alone. The page says at its top how many of its figures are in miniature,
beside its parameters what they would give, and once, at its end, what is not recorded yet. And
every cell of the study that draws a figure must have one on the page.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hplab.pages.figures import explorer
from hplab.pages.figures.figure import NOT_RUN, NOTHING, without_still
from hplab.pages.figures.svg import PREFIX
from hplab.pages.notebooks import ipynb
from hplab.sweeps.presets import PRESETS

FIGURE = '<figure class="hp-figure"'
WAITING = f'<p class="hp-note">{NOT_RUN}:'  # a comparison of which one value is recorded
EXPLORER = '<div class="hp-explorer"'
SOLUTION = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}
RESULT = {"code_prompt_show": "Show the result", "code_prompt_hide": "Hide the result"}
_DRAWS = re.compile(r"\bhp\.(plots\.\w+|explore|watch)\(")
_BOX = re.compile(r'<section class="hp-verdict hp-([\w-]+)" id="claim-([\w-]+)"')
_ID = re.compile(rf'id="({PREFIX}[0-9a-f]{{8}})')
_OF_REPORT = re.compile(r'id="claim-|class="hp-claim"')
_GIVEN = re.compile(r'^preset = "(\w+)"', re.MULTILINE)
_GAP = re.compile(
    r"^(?P<n>\d+ of \d+) trials of preset '(?P<preset>\w+)' are not recorded yet; to run: "
    r"(?P<command>.+)\n?",
    re.MULTILINE,
)
COST = "What it cost"  # the section that says what is not recorded
_PRESET = re.compile(rf"\b({'|'.join(PRESETS)}) preset\b")  # as a caption names it


# ---------------------------------------------------------------------------------------------
# From the notebook to the source of its page


def source(executed: bytes) -> bytes:
    """Return an executed notebook as Sphinx takes it: no PNG beside a drawing, the note on top.

    A cell that is hidden with what it shows (`hide-cell`) is the solution of an exercise; one whose
    output is hidden shows a result that a first reading can do without.
    """
    notebook = json.loads(executed)
    for cell in notebook["cells"]:
        tags = cell.get("metadata", {}).get("tags", [])
        if "hide-cell" in tags:
            cell["metadata"]["mystnb"] = SOLUTION
        elif "hide-output" in tags:
            cell["metadata"]["mystnb"] = RESULT
    _say_preset(notebook)
    _gather_gaps(notebook)
    captions: list[str] = []
    drawn: Counter[str] = Counter()
    explorers = 0
    for output in _outputs(notebook):
        data = output.get("data", {})
        markup = "".join(data.get("text/html", ""))
        if FIGURE in markup:
            data.pop("image/png", None)
            data["text/html"] = _told_apart(without_still(markup), drawn)
            captions.append("".join(data.get("text/plain", "")))
        if EXPLORER in markup and (explorers := explorers + 1) > 1:
            other = f'="{explorer.NAME}-{explorers}"'
            data["text/html"] = data["text/html"].replace(f'="{explorer.NAME}"', other)
    shown = ("".join(out.get("data", {}).get("text/html", "")) for out in _outputs(notebook))
    if note := miniature(captions, of_report=any(map(_OF_REPORT.search, shown))):
        _insert(notebook, note)
    return json.dumps(notebook, ensure_ascii=False, indent=1).encode()


def _told_apart(markup: str, drawn: Counter[str]) -> str:
    """Return a figure whose ids no figure before it on the page has, if it is drawn once more.

    Args:
        markup: The figure; equal figures have equal ids, which begin alike.
        drawn: How often each beginning has been seen; counted on.
    """
    for prefix in sorted(set(_ID.findall(markup))):
        drawn[prefix] += 1
        if drawn[prefix] > 1:
            markup = markup.replace(prefix, f"{prefix}n{drawn[prefix]}")
    return markup


def miniature(captions: Sequence[str], *, of_report: bool = True) -> str:
    """Return the note that says how many of a page's figures show stand-in data; "" if none.

    Args:
        captions: The captions of a page's figures.
        of_report: Whether the page is about claims of a report.
    """
    presets = Counter(found[1] for caption in captions if (found := _PRESET.search(caption)))
    small = {name: n for name, n in presets.items() if PRESETS[name].stand_in}
    if not small:
        return ""
    which = " and ".join(f"`{name}`" for name in sorted(small))
    n, total = sum(small.values()), len(captions)
    counted = f"Of the {total} figures on this page, {n} " + ("is" if n == 1 else "are")
    if n == total:
        counted = f"All {total} figures on this page are" if total > 1 else "The figure here is"
    box = "```{admonition} In miniature\n:class: note hp-miniature\n"
    if not of_report:
        return (
            f"{box}{counted} of the preset {which}: smaller networks, fewer epochs and fewer seeds "
            "than the study declares, on scikit-learn's handwritten digits. The preset `paper` "
            "trains what is declared. Every caption names its preset, its data and how many seeds "
            "it rests on.\n```"
        )
    return (
        f"{box}{counted} of the preset "
        f"{which}: small networks and scikit-learn's handwritten digits stand in for the report's "
        "own. They show how the question is put and what an answer looks like. No verdict rests on "
        "them: what they show of a claim is called *in miniature*. Every caption names its preset, "
        "its data and how many seeds it rests on.\n```"
    )


def _say_preset(notebook: dict[str, Any]) -> None:
    """Say beside the parameters what is shown, where the study as it stands gives another."""
    shown = notebook.get("metadata", {}).get("hplab", {}).get("preset")
    for i, cell in enumerate(notebook["cells"]):
        given = _GIVEN.search("".join(cell["source"]))
        if "parameters" not in cell.get("metadata", {}).get("tags", []) or not given:
            continue
        if shown in PRESETS and given[1] in PRESETS and given[1] != shown:
            size = PRESETS[given[1]]
            note = (
                f"**Shown here** are the records of the preset `{shown}`, or of the next smaller "
                "one that has some; each caption names its own. Run it and you get "
                f"`{size.name}`: {size.summary}, at most {size.n_seeds} seeds a setting."
            )
            notebook["cells"].insert(i + 1, _markdown("hplab-preset", note))
        return


def _gather_gaps(notebook: dict[str, Any]) -> None:
    """Say once, where the page says what it cost, which trials of its sections are not recorded."""
    heading, place = "", None
    gaps: dict[tuple[str, str, str], list[str]] = {}
    kept = []
    for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            found = re.findall(r"^#+ (.+)$", "".join(cell["source"]), re.MULTILINE)
            heading = found[-1] if found else heading
            continue
        if place is None and heading.startswith(COST):
            place = i + 1
        for output in cell.get("outputs", []):
            text = "".join(output.get("text", ""))
            if output.get("name") == "stdout" and _GAP.search(text):
                kept.append((output, _GAP.sub("", text)))
                for gap in _GAP.finditer(text):
                    gaps.setdefault((gap["n"], gap["preset"], gap["command"]), []).append(heading)
    if not gaps or place is None:
        return
    for output, text in kept:
        output["text"] = text
    for cell in notebook["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [out for out in cell["outputs"] if out.get("text") != ""]
    lines = [
        f"- {n} trials of preset `{preset}`: *{'*, *'.join(dict.fromkeys(where))}*"
        for (n, preset, _), where in gaps.items()
    ]
    commands = ", ".join(f"`{one}`" for one in dict.fromkeys(command for *_, command in gaps))
    told = "**Not recorded yet**, by the section that asks for them:\n\n" + "\n".join(lines)
    told += f"\n\nSo the figures and tables there are interim. To train: {commands}."
    notebook["cells"].insert(place, _markdown("hplab-missing", told))


def _markdown(name: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}


def _insert(notebook: dict[str, Any], note: str) -> None:
    """Put the note after the answer in short, else after the title."""
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        blocks = "".join(cell["source"]).split("\n\n")
        short = [i for i, block in enumerate(blocks) if block.startswith("**In short.**")]
        title = [i for i, block in enumerate(blocks) if re.search("^# ", block, re.MULTILINE)]
        if place := [*short, *title][:1]:
            blocks.insert(place[0] + 1, note)
            cell["source"] = "\n\n".join(blocks)
            return


# ---------------------------------------------------------------------------------------------
# From the notebook to the built page


def missing_figures(html_dir: Path, executed_dir: Path) -> list[str]:
    """Return which pages lack a figure that a cell of their notebook draws, one line a problem.

    The preset "smoke" is left out: its runs are too short to show everything.

    Args:
        html_dir: The built site.
        executed_dir: Folder whose `studies/` and `gallery/` hold the notebooks it was built from.
    """
    problems = []
    for path in sorted(Path(executed_dir).glob("*/*.ipynb")):
        page = Path(html_dir) / path.parent.name / f"{path.stem}.html"
        notebook = ipynb.read(path)
        if not page.is_file() or notebook.metadata.get("hplab", {}).get("preset") == "smoke":
            continue
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and _is_shown(cell)]
        drawing = [cell for cell in cells if _DRAWS.search(cell.source)]
        text = page.read_text(encoding="utf-8")
        found = text.count(FIGURE) + text.count(WAITING)
        if found < len(drawing):
            problems.append(f"{page.name}: {found} figures, but {len(drawing)} cells draw one")
        problems += [f"{page.name}: {what}" for what in _empty(cells)]
        if NOTHING in text and not any(line.startswith(page.name) for line in problems):
            problems.append(f"{page.name}: says {NOTHING!r}")
    return problems


def contradictions(
    html_dir: Path, executed_dir: Path, verdicts: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return which pages give a claim another verdict than the ledger does, one line a claim.

    Only pages of the preset "paper" are asked: others may show runs that are not committed.

    Args:
        html_dir: The built site.
        executed_dir: As for `missing_figures`.
        verdicts: The committed verdicts by claim, each with its "outcome".
    """
    problems = []
    for path in sorted(Path(executed_dir).glob("studies/*.ipynb")):
        page = Path(html_dir) / "studies" / f"{path.stem}.html"
        preset = ipynb.read(path).metadata.get("hplab", {}).get("preset")
        if not page.is_file() or preset != "paper":
            continue
        for outcome, claim in _BOX.findall(page.read_text(encoding="utf-8")):
            known = verdicts.get(claim, {}).get("outcome", "missing")
            if outcome != known:
                problems.append(f"{page.name}: claim {claim} is {outcome}, in the ledger {known}")
    return problems


def _empty(cells: Iterable[Any]) -> Iterable[str]:
    for cell in cells:
        shown = [output.get("data", {}).get("text/html", "") for output in cell.outputs]
        lacks = _DRAWS.search(cell.source) and not any(
            FIGURE in markup or WAITING in markup for markup in shown
        )
        if lacks or any(NOTHING in markup for markup in shown):
            said = " ".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs)
            told = re.search(rf"{NOTHING}[^.]*", said)
            last = cell.source.strip().splitlines()[-1]
            yield f"no figure or table after {last!r}" + (f" ({told[0]})" if told else "")


def _is_shown(cell: Any) -> bool:
    return "remove-cell" not in cell.metadata.get("tags", [])


def _outputs(notebook: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for cell in notebook["cells"]:
        yield from cell.get("outputs", [])
