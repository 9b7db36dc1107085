"""The joined pages: every place and address holds in the whole."""

import re

import pytest
from bs4 import BeautifulSoup

from hplab.pages.site import printed
from hplab.trial import HplabError

NAV = """<nav aria-label="Chapters">
<ul class="hp-home"><li><a href="{up}index.html">Introduction</a></li></ul>
<p class="caption">Studies</p>
<ul>
<li><a href="{up}studies/one.html">One &amp; only</a></li>
<li><a href="{up}explore.html">Explore</a></li>
</ul>
<p class="caption">Empty</p>
<ul><li><a href="{up}play.html">Play</a></li></ul>
</nav>"""


def page(up, text):
    return (
        f'<html><head><title>A book</title><link rel="stylesheet" href="{up}_static/a.css">'
        f'<script src="{up}_static/hplab.js"></script></head><body>{NAV.format(up=up)}'
        f"<article>{text}</article></body></html>"
    )


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "html"
    (folder / "studies").mkdir(parents=True)
    (folder / "index.html").write_text(
        page(
            "",
            '<h1 id="top">Home<a class="headerlink" href="#top">#</a></h1><script>x</script>'
            '<a href="studies/one.html#why">why</a><a href="explore.html">explore</a>'
            '<a href="https://example.org/">out</a><img src="_static/cover.png">'
            '<button id="b">go</button>',
        )
    )
    (folder / "studies" / "one.html").write_text(
        page(
            "../",
            '<h1 id="top">One</h1><h2 id="why">Why</h2><a href="#why">here</a>'
            '<a href="../index.html">home</a><a href="../explore.html#a">look</a>'
            '<svg><defs><path id="p"/></defs><use href="#p"/>'
            '<g style="clip-path: url(#p)" fill="url(\'#p\')"></g></svg>'
            '<label for="why">w</label><div class="hp-verdict"><details><summary>How</summary>'
            '<p class="hp-verdict-reason">n = 3</p><p>rule</p></details></div>'
            '<details class="hp-fold"><summary>S0-01</summary><dl>facts</dl></details>'
            "<details>data</details>",
        )
    )
    return folder


@pytest.fixture
def whole(site, tmp_path):
    text = printed.joined(site, tmp_path, base="https://book.example/")
    return BeautifulSoup(text, "html.parser")


def test_every_id_is_one_of_a_kind_and_every_link_within_has_its_place(whole):
    ids = [element["id"] for element in whole.find_all(id=True)]
    assert len(ids) == len(set(ids))
    within = [a["href"][1:] for a in whole.find_all(href=re.compile("^#"))]
    assert within
    assert set(within) <= set(ids)


def test_links_lead_to_the_page_in_the_whole_or_to_the_site(whole):
    links = {a.get_text(): a["href"] for a in whole.select("article a")}
    assert links == {
        "why": "#studies-one--why",
        "explore": "https://book.example/explore.html",
        "out": "https://example.org/",
        "here": "#studies-one--why",
        "home": "#index",
        "look": "https://book.example/explore.html#a",
    }


def test_drawings_keep_the_pieces_that_they_use(whole):
    assert whole.find("use")["href"] == "#studies-one--p"
    assert whole.find("g")["style"] == "clip-path: url(#studies-one--p)"
    assert whole.find("g")["fill"] == "url(#studies-one--p)"
    assert whole.find("label")["for"] == "studies-one--why"


def test_what_is_loaded_is_named_from_where_the_whole_stands(whole):
    assert whole.find("img")["src"] == "html/_static/cover.png"
    assert [link["href"] for link in whole.select("head link")] == ["html/_static/a.css"]


def test_the_contents_name_the_printed_pages_and_no_empty_part(whole):
    front = whole.select_one(".hp-front")
    assert [h.get_text() for h in front.find_all("h2")] == ["Studies"]
    assert [(a.get_text(), a["href"]) for a in front.select("li a")] == [
        ("One & only", "#studies-one")
    ]


def test_what_a_sheet_of_paper_cannot_do_is_left_out(whole):
    assert not whole.select("article script, button, .headerlink")
    assert not whole.select("head script")


def test_of_what_opens_paper_has_the_line_and_of_a_verdict_the_reason(whole):
    assert whole.select_one(".hp-verdict").get_text() == "n = 3"
    assert whole.select_one(".hp-fold").get_text() == "S0-01"
    assert [d.has_attr("open") for d in whole.select("article details")] == [True, False]


def test_a_page_without_an_address_leads_nowhere_else(site, tmp_path):
    soup = BeautifulSoup(printed.joined(site, tmp_path), "html.parser")
    assert soup.find("a", string="explore")["href"] == "#index"


def test_a_site_that_is_not_built_is_told(tmp_path):
    with pytest.raises(HplabError, match="run make book first"):
        printed.joined(tmp_path, tmp_path)


def test_without_a_browser_it_says_which_it_looked_for(site, tmp_path, monkeypatch):
    monkeypatch.setattr(printed.shutil, "which", lambda name: None)
    with pytest.raises(HplabError, match="needs Chromium; none of these is there: chromium,"):
        printed.write(site, tmp_path / "a.pdf")


def test_chromium_prints_it_with_an_outline(site, tmp_path):
    if not any(map(printed.shutil.which, printed.BROWSERS)):
        pytest.skip("needs Chromium")
    pytest.importorskip("playwright")
    data = printed.write(site, tmp_path / "a.pdf").read_bytes()

    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b(?!s)", data)) == 3  # the front, and two pages
    assert b"/Outlines" in data
    assert not (tmp_path / "print.html").exists()
