"""One SVG for both themes: matplotlib's colours become CSS variables, ids become the page's own.

A figure is drawn in the light palette below. Each colour stands for one CSS variable of the book;
in the SVG it is replaced by `var(--hp-..., fallback)`, so a page's theme decides what is seen, and
a page without the book's style sheet (JupyterLab, nbviewer, Colab) gets the fallback.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours, safe for colour-blind readers, in the order series take them. Yellow and
# black become an ochre and a grey that show on white and on black; the book's own variables are
# tuned to its two backgrounds.
PREFIX = "hp"  # of every id in a figure; eight hex digits of the figure follow
SERIES = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#a89b00",
    "#7a7f85",
)
INK, MUTED, GRID, PAPER = "#1c2226", "#66707b", "#d9dee3", "#fffffe"
VARIABLES = {
    **{colour: f"var(--hp-c{i}, {colour})" for i, colour in enumerate(SERIES, start=1)},
    INK: "var(--hp-fg, currentColor)",
    MUTED: "var(--hp-muted, #7d8590)",
    GRID: "var(--hp-grid, rgba(128, 128, 128, 0.25))",
    PAPER: "var(--hp-bg, var(--jp-layout-color0, Canvas))",
}
# For a file of its own (a README, a slide) there is no page to inherit from.
STANDALONE = (
    "svg:root{--hp-fg:#1c2226;--hp-muted:#58636b;--hp-bg:#fff;font-family:system-ui,"
    "'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}"
    "@media (prefers-color-scheme:dark){svg:root{--hp-fg:#dde3e6;--hp-muted:#9ba7ae;"
    "--hp-bg:#14181b;--hp-c1:#55aeea;--hp-c2:#f5894a;--hp-c3:#35c299;--hp-c4:#e09cc4}}"
)
PICTURE_DPI, PICTURE_COLOURS = 100, 32  # 640 pixels wide, 7 to 18 kB
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_SUPERSCRIPT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "\u22120123456789")


def settings() -> dict[str, Any]:
    """Matplotlib's defaults, our style file and our ink; the reader's own settings do not count."""
    path = Path(__file__).with_name("hplab.mplstyle")
    params = dict(mpl.rc_params_from_file(path, fail_on_error=True, use_default_template=True))
    params.pop("backend", None)
    for name in ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"):
        params[name] = INK
    for name in ("axes.edgecolor", "xtick.color", "ytick.color"):
        params[name] = MUTED
    return {**params, "grid.color": GRID, "axes.facecolor": "none", "figure.facecolor": "none"}


def draw(figure: Figure) -> str:
    """The figure as matplotlib's own SVG: text stays text, no date, the same bytes every time.

    Call it inside `matplotlib.rc_context(settings())`.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def picture(figure: Figure) -> bytes:
    """The figure as a PNG on white, in few colours: a third of the bytes, and no difference seen.

    Call it inside `matplotlib.rc_context(settings())`.
    """
    whole, small = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png", dpi=PICTURE_DPI, facecolor="white", transparent=False)
    with Image.open(whole) as image:
        few = image.convert("RGB").quantize(PICTURE_COLOURS, dither=Image.Dither.NONE)
        few.save(small, "PNG", optimize=True)
    return small.getvalue()


def theme(text: str, *, title: str, description: str) -> str:
    """Turn matplotlib's SVG into one that takes its colours and fonts from the page it is in.

    Args:
        text: What `draw` returned.
        title: A few words, shown by browsers when the pointer rests on the figure.
        description: Alternative text for readers who do not see the figure.

    Returns:
        An `<svg>` element without namespace prefixes, style sheets or metadata. Only elements that
        are referred to keep an id, and every id starts with a digest of the figure: two different
        figures share none, and the same figure is the same text whenever it is drawn.
    """
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            kind = child.tag.removeprefix(_SVG)
            is_style_sheet = kind == "defs" and child.find(f"{_SVG}style") is not None
            if kind == "metadata" or is_style_sheet:
                parent.remove(child)
    for element in root.iter():
        _plain_names(element)
        _plain_values(element)
    _drop_unused_ids(root)
    _unwrap(root)
    _root_attributes(root, description)
    for name, words in (("desc", description), ("title", title)):
        element = ElementTree.Element(name)
        element.text = words
        root.insert(0, element)
    body = ElementTree.tostring(root, encoding="unicode")
    body = re.sub(r"\s*\n\s*", "", body)
    prefix = PREFIX + hashlib.sha256(body.encode()).hexdigest()[:8]
    return body.replace("@ID@", prefix)


def standalone(svg: str) -> str:
    """The SVG as a file of its own, with a palette for light and dark."""
    head, rest = svg.split(">", 1)
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{head}><style>{html.escape(STANDALONE, quote=False)}</style>{rest}\n"


def _plain_names(element: ElementTree.Element) -> None:
    """Drop namespaces: inside HTML the parser knows what an SVG element is."""
    element.tag = element.tag.removeprefix(_SVG)
    for name in list(element.attrib):
        if name.startswith(_XLINK):
            element.attrib[name.removeprefix(_XLINK)] = element.attrib.pop(name)


def _plain_values(element: ElementTree.Element) -> None:
    """Colours to variables, fonts to the page's, coordinates to a hundredth of a point."""
    for name, value in element.attrib.items():
        if name in ("d", "x", "y", "width", "height", "transform", "points"):
            value = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", value)
            element.attrib[name] = re.sub(r"\s+", " ", value).strip()
        elif name == "style":
            element.attrib[name] = _style(value)
        elif name in ("href", "clip-path"):
            element.attrib[name] = re.sub(r"^(url\()?#", r"\1#@ID@", value)  # not of other pages
        elif name == "id":
            element.attrib[name] = f"@ID@{value}"
    if element.tag in ("text", "tspan") and element.text:
        _raise_exponents(element)


def _style(value: str) -> str:
    parts = [part.strip() for part in value.split(";") if part.strip()]
    parts = [part for part in parts if not part.startswith("font-family")]
    text = "; ".join(parts).replace("stroke: #000000; stroke-opacity: 0", "stroke: none")
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    return text


def _raise_exponents(element: ElementTree.Element) -> None:
    """10⁻³ with raised ordinary digits: fonts differ too much in their superscript characters."""
    words = element.text or ""
    found = re.search("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", words)
    if found is None:
        return
    element.text = words[: found.start()]
    raised = ElementTree.SubElement(element, "tspan", {"dy": "-0.5em", "font-size": "78%"})
    raised.text = found[0].translate(_SUPERSCRIPT)
    if rest := words[found.end() :]:
        back = ElementTree.SubElement(element, "tspan", {"dy": "0.39em"})
        back.text = rest
        _raise_exponents(back)


def _drop_unused_ids(root: ElementTree.Element) -> None:
    used = set()
    for element in root.iter():
        for name in ("href", "clip-path"):
            used.update(re.findall(r"#([^)\s]+)", element.attrib.get(name, "")))
    for element in root.iter():
        if element.attrib.get("id") not in used:
            element.attrib.pop("id", None)


def _unwrap(root: ElementTree.Element) -> None:
    """Replace groups that say nothing by what is in them, and drop empty ones."""
    for parent in list(root.iter()):
        children: list[ElementTree.Element] = []
        for child in parent:
            children.extend(_flat(child))
        parent[:] = children


def _flat(element: ElementTree.Element) -> list[ElementTree.Element]:
    if element.tag != "g":
        return [element]
    inner = [leaf for child in element for leaf in _flat(child)]
    if not element.attrib or not inner:
        return inner
    _share_style(element, inner)
    element[:] = inner
    return [element]


def _share_style(group: ElementTree.Element, inner: list[ElementTree.Element]) -> None:
    """Say once, on the group, what all its markers say alike: a hundred dots are one style."""
    styles = {child.attrib.get("style") for child in inner}
    alike = len(inner) > 1 and len(styles) == 1 and None not in styles
    if alike and "style" not in group.attrib and all(child.tag == "use" for child in inner):
        group.attrib["style"] = inner[0].attrib["style"]
        for child in inner:
            del child.attrib["style"]


def _root_attributes(root: ElementTree.Element, description: str) -> None:
    view = root.attrib["viewBox"]
    width, height = (round(float(size) * 4 / 3) for size in view.split()[2:])
    root.attrib.clear()
    root.attrib.update(
        {
            "viewBox": view,
            "width": str(width),
            "height": str(height),
            "role": "img",
            "aria-label": description,
            "stroke-linejoin": "round",
            "style": "max-width: 100%; height: auto",
        }
    )
