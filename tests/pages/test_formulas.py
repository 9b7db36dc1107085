"""Formulas become MathML that is spaced as TeX spaces it."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from hplab import places
from hplab.pages.site.formulas import THIN, mathml
from hplab.trial import HplabError

FORMULAS = [
    (path.name, tex)
    for path in sorted((places.CODE / "book").rglob("*.md"))
    for tex in re.findall(r"(?<![\\$\w])\$([^$`\n]+)\$(?![\w$])", path.read_text(encoding="utf-8"))
]


def operators(tex):
    """(text, lspace, rspace) of each operator."""
    space = "{http://www.w3.org/1998/Math/MathML}"
    return [
        (e.text, e.get("lspace"), e.get("rspace"))
        for e in ElementTree.fromstring(mathml(tex)).iter(f"{space}mo")
    ]


@pytest.mark.parametrize(
    ("tex", "spaced"),
    [
        (r"y \log y", ("log", THIN, THIN)),
        (r"\log y", ("log", "0", THIN)),
        (r"y + \log y", ("log", "0", THIN)),
        (r"y \log (y)", ("log", THIN, "0")),
        (r"\operatorname{sd}(x)", ("sd", "0", "0")),
        (r"a / b", ("/", "0", "0")),
        (r"16{,}384", (",", "0", "0")),
        (r"a \pm b", ("\u00b1", None, None)),
        (r"a - b", ("\u2212", None, None)),
    ],
)
def test_functions_slashes_and_commas_are_spaced_as_in_tex(tex, spaced):
    assert spaced in operators(tex)


def test_a_function_after_a_function_has_one_space_between():
    spaces = [
        space for name, *sides in operators(r"\log \exp x") if name.isalpha() for space in sides
    ]
    assert spaces.count(THIN) == 2  # between the two, and before x


@pytest.mark.parametrize(("display", "word"), [(False, "inline"), (True, "block")])
def test_a_formula_says_whether_it_stands_in_a_line_of_its_own(display, word):
    root = ElementTree.fromstring(mathml("x", display=display))
    assert root.get("display") == word


def test_a_bar_is_an_accent_and_not_stretched():
    assert 'accent="true"' in mathml(r"\bar d")
    assert 'stretchy="false"' in mathml(r"\bar d")


@pytest.mark.parametrize(
    ("tex", "named"),
    [
        (r"\foo x", r"\\foo"),
        (r"\frac{1}{", "cannot be drawn"),
        (r"\left( a", "cannot be drawn"),
        (r"\begin{aligned} a &= b \end{aligned}", "cannot be drawn"),
        (r"\text{<script>alert(1)</script>}", r"\\lt"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(tex, named):
    with pytest.raises(HplabError, match=named):
        mathml(tex)


def test_less_than_is_no_markup():
    assert ("<", None, None) in operators("(1-p)^n<b>c")


@pytest.mark.parametrize(("page", "tex"), FORMULAS)
def test_every_formula_of_the_book_can_be_drawn(page, tex):
    assert mathml(tex).startswith("<math ")


def test_formulas_of_the_book_are_found():
    assert len(FORMULAS) > 20
