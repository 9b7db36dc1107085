"""What other sites are told of a page."""

import base64
import json
import xml.etree.ElementTree as ElementTree

import pytest

from hplab.pages.site import share

BASE = "https://example.org/book/"
LEAD = '<div class="hp-lead docutils">\n<p>{}</p>\n</div>'


def page(lead="", title="Is it &lt;so&gt;? · hplab"):
    return f"<html><head><title>{title}</title></head><body>{LEAD.format(lead)}</body></html>"


def test_a_description_is_made_of_whole_sentences_without_markup():
    lead = 'One <a href="x">claim</a> &amp; one run. What then?\n It depends. ' + "Long " * 40

    assert share.description(page(lead)) == "One claim & one run. What then? It depends."
    assert share.description("<p><strong>In short.</strong> It is <em>so</em>.</p>") == "It is so."
    assert share.description("<p>Neither.</p>") == ""


def test_a_long_first_sentence_is_cut_at_a_word():
    found = share.description(page("word " * 100))

    assert len(found) <= share.LONGEST
    assert set(found.removesuffix("…").split()) == {"word"}


def test_the_head_names_the_page_its_one_address_and_its_picture():
    name = "studies/01.html"
    told = share.head(page('A "quote".'), name, base=BASE, picture="_static/a.png", alt="Dots.")

    assert '<meta property="og:title" content="Is it &lt;so&gt;?">' in told
    assert '<meta name="description" content="A &quot;quote&quot;.">' in told
    assert f'<link rel="canonical" href="{BASE}{name}">' in told
    assert f'<meta property="og:image" content="{BASE}_static/a.png">' in told
    assert '<meta property="og:image:alt" content="Dots.">' in told


@pytest.mark.parametrize(("name", "base"), [("a.html", ""), ("search.html", BASE)])
def test_no_address_is_claimed_where_none_is_known_or_meant(name, base):
    told = share.head(page("A."), name, base=base)

    assert "canonical" not in told
    assert "og:url" not in told
    assert "og:image" not in told
    assert "og:title" in told


def test_the_start_page_is_the_site_itself_everywhere():
    assert f'rel="canonical" href="{BASE}"' in share.head(page(), "index.html", base=BASE)

    found = ElementTree.fromstring(share.sitemap(BASE, ["index.html", "a&b.html", "search.html"]))
    assert [loc.text for loc in found.iter() if loc.text and loc.text.strip()] == [
        f"{BASE}a&b.html", BASE,
    ]  # fmt: skip


def test_a_study_is_shown_by_its_first_figure(tmp_path):
    def output(kind, png):
        data = {"text/html": kind, "image/png": base64.b64encode(png).decode()}
        return {"data": data | {"text/plain": "Figure: Dots."}}

    figure = '<figure class="hp-figure"></figure>'
    outputs = [output("<p></p>", b"0"), output(figure, b"1"), output(figure, b"2")]
    path = tmp_path / "01-a.ipynb"
    path.write_text(json.dumps({"cells": [{"source": ""}, {"outputs": outputs}]}))

    assert share.pictures([path]) == {"studies/01-a.html": (b"1", "Dots.")}
