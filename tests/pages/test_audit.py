"""What is read from built pages, and what is found wrong with them."""

import json

import pytest

from hplab.pages.site import audit

WHOLE = """<!DOCTYPE html>
<html lang="en"><head><title>A page</title><link rel="stylesheet" href="style.css"></head>
<body><article><section id="top"><h1>A page<a class="headerlink" href="#top">#</a></h1>
<p>Some words and <a href="other.html#place">a link</a>.</p>{body}</section></article></body></html>
"""


@pytest.fixture
def site(tmp_path):
    """A sound site of two pages; returns a function that puts markup on the first one."""
    (tmp_path / "style.css").write_text("p { color: red }")
    other = WHOLE.replace("{body}", '<p id="place">Here.</p>').replace("other.html", "page.html")
    (tmp_path / "other.html").write_text(other.replace("#place", "#top"))

    def write(body=""):
        (tmp_path / "page.html").write_text(WHOLE.replace("{body}", body))
        return tmp_path

    return write


def test_a_sound_site_has_no_problem(site):
    assert audit.check(site()) == []


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script src="//cdn.example/x.js"></script>',
        '<img alt="" src="http://pictures.example/x.png">',
        '<img alt="" src="style.css" srcset="style.css 1x, https://pictures.example/x.png 2x">',
        '<iframe src="https://video.example"></iframe>',
        '<link rel="preconnect" href="https://fonts.example">',
        '<p style="background: url(https://pictures.example/x.png)">x</p>',
        "<style>@import 'https://fonts.example/a.css';</style>",
        '<script type="module">import x from "https://cdn.example/x.js";</script>',
        '<meta http-equiv="refresh" content="0; url=https://elsewhere.example">',
        '<svg aria-hidden="true"><image href="https://pictures.example/x.png"/></svg>',
    ],
)
def test_anything_loaded_from_another_site_is_a_problem(site, body):
    (problem,) = audit.check(site(body))

    assert problem.startswith("page.html: loads ")
    assert problem.endswith("from another site")


def test_a_link_to_another_site_is_none(site):
    assert audit.check(site('<a href="https://elsewhere.example/x">there</a>')) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('<a href="nowhere.html">x</a>', "links to nowhere.html, which is not there"),
        ('<a href="other.html#nowhere">x</a>', "no such place"),
        ('<a href="#nowhere">x</a>', "no such place"),
        ('<a href="../outside.html">x</a>', "which is not there"),
        ('<img alt="" src="nowhere.png">', "loads nowhere.png, which is not there"),
        ('<img src="style.css">', "without alternative text"),
        ('<svg viewBox="0 0 1 1"><path d=""/></svg>', "without alternative text"),
        (
            '<svg aria-hidden="true"><text>$\\mathdefault{10^{-8}}$</text></svg>',
            "shows the source of a formula ($\\mathdefault",
        ),
        ('<p id="top">x</p>', "uses the id 'top' twice"),
        ('<button onclick="go()">x</button>', "inline event handler (onclick on <button>)"),
        ('<a href="javascript:go()">x</a>', "javascript: link"),
        ('<div class="output traceback"></div>', "a cell that failed"),
        ('<p id="papermill-error-cell">x</p>', "a cell that failed"),
        ('<code class="xref py py-func">f</code>', "a reference that leads nowhere"),
    ],
)
def test_each_fault_of_a_page_is_named(site, body, words):
    (problem,) = audit.check(site(body))

    assert words in problem


@pytest.mark.parametrize(
    "body",
    [
        '<svg role="img" aria-label="Loss falls."><path d=""/></svg>',
        '<svg><title>Loss falls.</title><path d=""/></svg>',
        '<svg aria-hidden="true"><path d=""/></svg>',
        '<a class="reference" href="#top"><code class="xref py">f</code></a>',
    ],
)
def test_what_has_a_name_or_a_target_is_no_fault(site, body):
    assert audit.check(site(body)) == []


def test_a_page_needs_a_title_and_a_language(tmp_path):
    (tmp_path / "page.html").write_text("<!DOCTYPE html><html><body>x</body></html>")

    assert audit.check(tmp_path) == [
        "page.html: has no <title>",
        "page.html: does not name its language (<html lang>)",
    ]


def test_a_style_sheet_that_loads_a_font_from_elsewhere_is_a_problem(site):
    folder = site()
    (folder / "style.css").write_text("@font-face { src: url('https://fonts.example/a.woff2') }")

    assert audit.check(folder) == [
        "style.css: loads https://fonts.example/a.woff2 from another site"
    ]


def test_a_folder_without_pages_is_a_problem(tmp_path):
    assert audit.check(tmp_path) == [f"{tmp_path.name}: there is no page"]


def test_search_finds_sections_terms_and_their_words(tmp_path):
    body = (
        '<section id="deep"><h2>Deeper <em>down</em></h2><p>More words.</p><pre>code()</pre>'
        '<svg aria-hidden="true"><text>ink</text></svg></section>'
        '<section id="small"><h2>Notes</h2><p>S1-01<small>report 001</small></p></section>'
        '<dl><dt id="term-seed">seed<a class="headerlink" href="#term-seed">#</a></dt>'
        "<dd>A number.</dd></dl>"
    )
    (tmp_path / "page.html").write_text(WHOLE.replace("{body}", body))
    page = audit.read(tmp_path / "page.html")

    script = audit.search_script([("page.html", page)])

    rows = json.loads(script.removeprefix("window.hplabSections =").strip().rstrip(";"))
    assert [(row["title"], row["url"], row["text"]) for row in rows] == [
        ("A page", "page.html", "Some words and a link."),
        ("Deeper down", "page.html#deep", "More words."),
        ("Notes", "page.html#small", "S1-01 report 001"),
        ("seed", "page.html#term-seed", "A number."),
    ]
    assert {row["page"] for row in rows} == {"A page"}


def test_the_search_script_cannot_close_its_own_element(tmp_path):
    (tmp_path / "page.html").write_text(WHOLE.replace("{body}", "<p>&lt;/script&gt;</p>"))

    assert "</script" not in audit.search_script([("p", audit.read(tmp_path / "page.html"))])
