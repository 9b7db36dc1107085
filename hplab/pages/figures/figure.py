"""What a figure, a card or a table is on a page: HTML with plain text as fallback."""

from __future__ import annotations

import base64
import functools
import html
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure as Canvas

from hplab.analysis.style import styled
from hplab.pages import labels
from hplab.pages.figures import cells, scales, svg
from hplab.trial import HplabError

MOST_ROWS = 40  # of the table behind "Show data"
NO_TRIALS = "none of these trials is recorded"
NOT_RUN = "Not run yet"  # of a figure that waits for a second value; the rest of the page stands
NOTHING = "Nothing to show yet"  # a published page must not say so: see `study_pages`
CAPTION_WIDTH = 92  # characters a line under a saved picture
SUFFIXES = (".svg", ".png", ".pdf", ".csv")
# Where styles and SVG are stripped, `hidden` keeps what is left of the drawing, its labels, unseen.
_STILL = "<style>.hp-drawn[hidden]{{display:contents}}.hp-still{{display:none}}</style>"
_STILL += '<img class="hp-still" alt="{alt}" src="data:image/png;base64,{picture}">'
_STILL += '<div class="hp-drawn" hidden="hidden">{drawing}</div>'
_STILL_AGAIN = re.compile(
    r'<style>\.hp-drawn[^<]*</style><img class="hp-still"[^>]*><div class="hp-drawn"[^>]*>'
    r"(<svg.*?</svg>)</div>",
    re.DOTALL,
)


def with_still(drawing: str, picture: str, alt: str) -> str:
    """The drawing (SVG) with a PNG, in base64, that is seen where SVG and styles are stripped."""
    return _STILL.format(alt=html.escape(alt), picture=picture, drawing=drawing)


def without_still(markup: str) -> str:
    """The markup of a page with drawings alone: the book needs no PNG beside them."""
    return _STILL_AGAIN.sub(r"\1", markup)


class Html:
    """Markup that notebooks and the book show; a terminal shows the text.

    Attributes:
        html: The markup, all text in it escaped.
        text: The same in plain words.
    """

    def __init__(self, markup: str, text: str) -> None:
        self.html, self.text = markup, text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": styled(self.html), "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


def nothing_recorded(why: str = NO_TRIALS) -> Html:
    """What stands in place of a figure or table while there are no runs to make it from."""
    return note(f"{NOTHING}: {why}.")


def one_value(runs: pd.DataFrame, name: str) -> Html | None:
    """What stands in place of a comparison of which one value is recorded; None if two are.

    One value is drawn where no trial is missing (it is what somebody asked for), and where it is of
    a measure (it is what came out).

    Args:
        runs: The table to be drawn, not empty; its attribute "n_missing" says how many trials of
            those asked for are not recorded.
        name: The column whose values are compared.
    """
    found = cells.levels(runs[name])
    if len(found) > 1 or not runs.attrs.get("n_missing") or name not in cells.telling(runs):
        return None
    value = f"{labels.quantity(name)} {labels.setting(found[0], name)}"
    return note(f"{NOT_RUN}: only {value} is recorded here, and a comparison needs two values.")


def note(text: str) -> Html:
    """A line in place of a figure that cannot be drawn."""
    return Html(f'<p class="hp-note">{html.escape(text)}</p>', text)


def table(rows: pd.DataFrame, caption: str = "") -> str:
    """A data frame as an HTML table that scrolls sideways on a small screen.

    The first column heads its row; columns of numbers get the class `hp-num`. All text is escaped
    but for cells that are `Html`.
    """
    numeric = [_looks_numeric(rows.iloc[:, i]) for i in range(rows.shape[1])]

    def cell(tag: str, value: Any, i: int, scope: str = "") -> str:
        mark = ' class="hp-num"' if numeric[i] else ""
        inner = value.html if isinstance(value, Html) else html.escape(str(value))
        return f"<{tag}{scope}{mark}>{inner}</{tag}>"

    head = "".join(cell("th", name, i, ' scope="col"') for i, name in enumerate(rows.columns))
    body = []
    for row in rows.itertuples(index=False):
        first = cell("th", row[0], 0, ' scope="row"')
        rest = "".join(cell("td", value, i) for i, value in enumerate(row[1:], start=1))
        body.append(f"<tr>{first}{rest}</tr>")
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="hp-scroll" tabindex="0"><table class="hp-table">{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _looks_numeric(column: pd.Series) -> bool:
    """Whether every entry is one number, with a unit, a half-width or an interval perhaps."""
    number = r"[-\u2212]?\d[\d.,]*(e-?\d+)?"
    around = rf"( \u00b1 {number}| \({number} to {number}\)| \(n = \d+, \w+ the same\))?"
    entry = re.compile(rf"{number}{around}( (%|pp|s))?")
    values = [str(value) for value in column if str(value) not in ("", "none")]
    return bool(values) and all(entry.fullmatch(value) for value in values)


class Figure:
    """A figure of a study: theme-aware SVG, a caption made from the table, the data behind it.

    Attributes:
        figure: The matplotlib figure; what is changed before the figure is shown, shows.
        caption: One sentence: what, mean and interval, seeds, preset, data, device, diverged runs.
        alt: The trend in words, for readers who do not see the figure.
        data: What was drawn, in units of the table of runs.
        shown: The same as readers see it behind "Show data".
    """

    def __init__(
        self,
        draw: Callable[[Canvas], None],
        *,
        caption: str,
        alt: str,
        data: pd.DataFrame,
        shown: pd.DataFrame | None = None,
        height: float = 3.6,
    ) -> None:
        with mpl.rc_context(svg.settings()):
            self.figure = Canvas(figsize=(6.4, height), layout="constrained")
            draw(self.figure)
            scales.plain_powers(self.figure)
        self.caption, self.alt, self.data = labels.sentence(caption), labels.sentence(alt), data
        self.shown = data if shown is None else shown

    @functools.cached_property
    def svg(self) -> str:
        """One `<svg>` element whose colours are CSS variables; made when first asked for."""
        with mpl.rc_context(svg.settings()):
            raw = svg.draw(self.figure)
        title = self.caption.split(":")[0].rstrip(".")
        return svg.theme(raw, title=title, description=self.alt)

    @property
    def png(self) -> bytes:
        """The figure as a small PNG on white, for what shows no SVG: a fresh one at every call."""
        with mpl.rc_context(svg.settings()):
            return svg.picture(self.figure)

    @property
    def html(self) -> str:
        """The figure with its caption and table, ready for a page."""
        return self._markup(self.svg)

    def _markup(self, drawing: str) -> str:
        rows, note = self.shown, "The data of this figure"
        if len(rows) > MOST_ROWS:
            rows, note = rows.head(MOST_ROWS), f"The first {MOST_ROWS} of {len(rows)} rows"
        return (
            f'<figure class="hp-figure">{drawing}'
            f"<figcaption>{labels.unbroken(html.escape(self.caption))}</figcaption>"
            f"<details><summary>Show data</summary>{table(rows, note)}</details></figure>"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook keeps: the SVG, and a PNG for every reader that shows no SVG.

        PDF takes the PNG of the bundle. GitHub, and JupyterLab while it does not trust a notebook,
        take the HTML and strip it of SVG and styles; so the PNG is in the HTML too, where only a
        style hides it.
        """
        picture = base64.b64encode(self.png).decode()
        drawing = with_still(self.svg, picture, self.alt)
        return {
            "text/html": styled(self._markup(drawing)),
            "image/png": picture,
            "text/plain": repr(self),
        }

    def __repr__(self) -> str:
        return f"Figure: {self.caption}"

    def __getattr__(self, name: str) -> Any:
        if name == "savefig":
            raise AttributeError("a Figure is saved by save: figure.save('name.png')")
        return self.__getattribute__(name)  # raises what it raised

    def save(self, path: str | Path, *, caption: bool = True) -> Path:
        """Write the figure (`.svg`, `.png`, `.pdf`) or its data (`.csv`); return the path.

        Args:
            path: The file to write.
            caption: Set the caption under a `.png` or `.pdf`, so that a picture that travels alone
                still says what its bars are and how many seeds it rests on. Their metadata hold it
                either way, and an `.svg` holds the trend in words.

        Raises:
            HplabError: If the ending is none of these.
        """
        if not isinstance(path, str | Path):
            raise HplabError(f"save needs the name of a file, got {path!r:.60}")
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise HplabError(f"cannot save {path.name}: known endings are {', '.join(SUFFIXES)}")
        if not path.parent.is_dir():
            raise HplabError(f"cannot save {path.name}: there is no folder {str(path.parent)!r}")
        if path.suffix == ".svg":
            path.write_text(svg.standalone(self.svg), encoding="utf-8")
        elif path.suffix == ".csv":
            self.data.to_csv(path, index=False)
        else:
            with mpl.rc_context(svg.settings()):
                self._print(path, caption)
        return path

    def _print(self, path: Path, with_caption: bool) -> None:
        """Write a picture on white; the drawing itself stays as it is."""
        is_pdf = path.suffix == ".pdf"
        told = {"Subject" if is_pdf else "Description": self.caption}
        metadata = {**told, "CreationDate": None} if is_pdf else told
        how = {"metadata": metadata, "facecolor": "white", "transparent": False}
        if not with_caption:
            self.figure.savefig(path, **how)
            return
        lines = textwrap.fill(self.caption, CAPTION_WIDTH)
        text = self.figure.text(0.01, -0.02, lines, va="top", fontsize=10)
        try:
            self.figure.savefig(path, bbox_inches="tight", pad_inches=0.1, **how)
        finally:
            text.remove()
