"""What is done to every page after Sphinx: markup for screen readers, the glossary on hover."""

from bs4 import BeautifulSoup

from hplab.pages.site import access, gloss

SIGNATURE = (
    '<dt class="sig"><span class="sig-paren">(</span>\n\n<dl>\n<dd><em>runs</em>,</dd>\n'
    '<dd><em>y</em>,</dd>\n</dl>\n\n<span class="sig-paren">)</span></dt>'
)
GLOSSARY = (
    '<dl class="simple glossary"><dt id="term-seed">seed</dt><dd><p>The luck of a run, e.g. its '
    "<em>weights</em>. It is a\nnumber. Not shown: {}</p><p>More.</p></dd>"
    '<dt id="term-empty">empty</dt><dd></dd></dl>'
)


def test_parameters_of_a_signature_are_no_list_of_definitions():
    found = BeautifulSoup(access.mend(SIGNATURE), "html.parser")
    assert not found.find_all(["dl", "dd"])
    assert [line.get_text() for line in found.select(".hp-parameter")] == ["runs,", "y,"]
    assert found.get_text().split() == "( runs, y, )".split()


def test_lists_that_define_something_stay():
    page = "<dl><dt>lr</dt><dd>the size of a step</dd></dl><table><th>lr</th></table>"
    assert access.mend(page) == page


def test_an_empty_heading_is_a_cell_and_an_entry_of_a_list_an_item():
    assert access.mend('<th scope="col">\n</th>') == "<td></td>"
    assert access.mend('<div role="doc-biblioentry">') == '<div role="listitem">'


def test_a_term_carries_the_first_sentences_of_its_definition():
    known = gloss.definitions(GLOSSARY.format("x" * gloss.LONGEST))
    assert known == {"term-seed": "The luck of a run, e.g. its weights. It is a number."}


def test_only_links_to_terms_that_are_known_carry_one():
    link = '<a class="reference internal" href="../glossary.html#term-{}">'
    known = {"term-seed": 'The "luck" of <a run>'}
    page = gloss.add("".join(map(link.format, ("seed", "gone"))), known)
    first, second = BeautifulSoup(page, "html.parser").find_all("a")
    assert first["data-gloss"] == 'The "luck" of <a run>'
    assert second.get("data-gloss") is None
    assert "<a run>" not in page
