r"""Formulas as MathML, which browsers draw by themselves: no script, and readable without one.

TeX becomes MathML by latex2mathml. What it leaves undone is the space that TeX puts around a
function's name (`y \log y`) and takes from around a slash and a comma in braces (`16{,}384`): a
browser spaces operators by its own table, which `lspace` and `rspace` overrule.
"""

from __future__ import annotations

import html
import xml.etree.ElementTree as ElementTree
from typing import Any

from latex2mathml.converter import convert

from hplab.trial import HplabError

THIN = "0.1667em"  # TeX's space between a function's name and what stands beside it
ACCENTS = ("\u00af", "^", "~", "\u02d9", "\u2192")  # over one letter, not stretched
_NAMESPACE = "http://www.w3.org/1998/Math/MathML"


def mathml(tex: str, *, display: bool = False) -> str:
    """Return a formula of TeX as a `math` element.

    Args:
        tex: The formula, without dollars.
        display: Whether it stands in a line of its own.

    Raises:
        HplabError: If latex2mathml does not know a command of it, or braces do not match; it knows
            no `aligned`, and no sign that is markup (`<`) in `\\text`.
    """
    said = " ".join(tex.split())
    safe = said.replace("<", r"\lt ").replace(">", r"\gt ")  # convert does not escape them
    try:
        root = ElementTree.fromstring(convert(safe, display="block" if display else "inline"))
    except Exception as error:  # its errors share no class but this one
        raise HplabError(f"formula {said!r} cannot be drawn: {type(error).__name__}") from None
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
        if (element.text or "").startswith(("\\", "&")):
            raise HplabError(f"formula {said!r} cannot be drawn: {element.text} is not known")
    for parent in list(root.iter()):
        _space(parent)
    root.set("xmlns", _NAMESPACE)
    return ElementTree.tostring(root, encoding="unicode")


def _is_name(element: ElementTree.Element | None) -> bool:
    text = "" if element is None else element.text or ""
    return element is not None and element.tag in ("mi", "mo") and len(text) > 1 and text.isalpha()


def _space(parent: ElementTree.Element) -> None:
    """Space what stands in a row of a formula as TeX does."""
    children = list(parent)
    for before, element, after in zip(
        [None, *children], children, [*children[1:], None], strict=False
    ):
        if _is_name(element):
            follows = after is None or (after.tag == "mo" and not _is_name(after))
            leads = before is None or before.tag == "mo"
            element.tag = "mo"
            element.set("lspace", "0" if leads else THIN)
            element.set("rspace", "0" if follows else THIN)
        elif element.text == "\u00b1":
            element.tag = "mo"
        elif element.tag == "mo" and (element.text == "/" or len(children) == 1):
            element.set("lspace", "0")
            element.set("rspace", "0")
    if parent.tag == "mover" and children[1].text in ACCENTS:
        parent.set("accent", "true")
        children[1].set("stretchy", "false")


def inline(translator: Any, node: Any) -> None:
    """Write a formula that stands in a sentence into Sphinx's page."""
    _write(translator, node, "span")


def block(translator: Any, node: Any) -> None:
    """Write a formula that stands in a line of its own into Sphinx's page."""
    _write(translator, node, "div")


def _write(translator: Any, node: Any, tag: str) -> None:
    from docutils.nodes import SkipNode
    from sphinx.util import logging

    try:
        written = mathml(node.astext(), display=tag == "div")
    except HplabError as error:  # told with file and line, and the build ends with an error
        logging.getLogger(__name__).warning(str(error), location=node)
        written = html.escape(node.astext())
    translator.body.append(translator.starttag(node, tag, "", CLASS="math notranslate nohighlight"))
    translator.body.append(f"{written}</{tag}>")
    raise SkipNode  # how a renderer of Sphinx says that it has written what is inside, too
