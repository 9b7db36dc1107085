"""The book as a whole: its source, its build, its look."""

import html.parser
import itertools
import re
import shutil

import pytest
import tiny_book
import yaml

from hplab import places
from hplab.pages.site import build as site
from hplab.pages.tables import reference
from hplab.sweeps.store import Store
from hplab.trial import HplabError

pytestmark = pytest.mark.timeout(300)  # the book is built three times

STYLE = (places.CODE / "book" / "_static" / "hplab.css").read_text(encoding="utf-8")
# Colour vision: normal, and the three kinds of dichromacy (Machado et al. 2009, severity 1).
VISION = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.01182, 0.04294, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.3039),
    ),
}
TEXT_COLOURS = (
    *("fg", "muted", "link", "ok", "no", "open", "none"),
    *("code-word", "code-text", "code-number", "code-name"),
)


@pytest.fixture(scope="module")
def built_book(tmp_path_factory):
    """The real prose pages with a study made by hand; the folder that holds `html`."""
    return tiny_book.built(tmp_path_factory)


def colours(theme):
    """The colour variables of a theme, hexadecimal."""
    start = ":root {" if theme == "light" else 'html[data-theme="dark"] {'
    block = STYLE[STYLE.index(start) :]
    return dict(re.findall(r"--hp-([\w-]+): (#[0-9a-f]{6})", block[: block.index("}")]))


def linear(colour):
    """Linear RGB of a hexadecimal colour."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def contrast(one, other):
    """Contrast ratio of WCAG 2."""
    lights = sorted(
        (sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True)))
        for c in (one, other)
    )
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def lab(colour, vision):
    """CIE Lab of a colour as seen with a kind of colour vision."""
    rgb = [sum(a * b for a, b in zip(row, linear(colour), strict=True)) for row in vision]
    rgb = [min(max(p, 0.0), 1.0) for p in rgb]
    to_xyz = ((0.4125, 0.3576, 0.1804), (0.2127, 0.7152, 0.0722), (0.0193, 0.1192, 0.9503))
    xyz = [sum(a * b for a, b in zip(row, rgb, strict=True)) for row in to_xyz]
    f = [
        v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116
        for v in (part / white for part, white in zip(xyz, (0.9505, 1.0, 1.0888), strict=True))
    ]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


# ---------------------------------------------------------------------------------------------
# The built book


@pytest.mark.xdist_group("book")
def test_the_book_has_a_start_page_and_no_problem(built_book):
    assert (built_book / "html" / "index.html").is_file()
    assert site.check(built_book / "html") == []


@pytest.mark.xdist_group("book")
def test_no_page_leads_to_the_start_page_by_its_old_name(built_book):
    pages = [path.read_text() for path in (built_book / "html").rglob("*.html")]

    assert not any("intro.html" in page for page in pages)
    assert not (built_book / "html" / "intro.html").exists()


@pytest.mark.xdist_group("book")
def test_every_page_of_the_contents_is_there(built_book):
    names = {
        p.relative_to(built_book / "html").as_posix() for p in built_book.rglob("html/**/*.html")
    }

    assert names >= {
        "index.html", "reproduce.html", "status.html", "glossary.html", "bibliography.html",
        "search.html", "studies/01-learning-rate.html",
    }  # fmt: skip


@pytest.mark.xdist_group("book")
def test_every_page_tells_other_sites_what_it_is(built_book):
    base = yaml.safe_load((places.CODE / "_config.yml").read_text())["html"]["baseurl"]
    pages = sorted((built_book / "html").rglob("*.html"))
    sitemap = (built_book / "html" / "sitemap.xml").read_text()

    assert base.endswith("/")
    for path in pages:
        page, name = path.read_text(), path.relative_to(built_book / "html").as_posix()
        address = base if name == "index.html" else f"{base}{name}"
        assert page.count('property="og:title"') == 1, name
        assert page.count('name="description"') <= 1, name
        assert (f'rel="canonical" href="{address}"' in page) == (name != "search.html"), name
        assert (f"<loc>{address}</loc>" in sitemap) == (name != "search.html"), name
        for picture in re.findall(f'"og:image" content="{base}([^"]+)"', page):
            assert (built_book / "html" / picture).is_file(), name


@pytest.mark.xdist_group("book")
def test_the_study_shows_its_figure_its_number_and_its_links(built_book):
    page = (built_book / "html" / "studies" / "01-learning-rate.html").read_text()

    assert 'class="hp-figure"' in page
    assert "98.7" in page
    assert "/hplab/blob/main/book/studies/01-learning-rate.ipynb" in page
    assert (built_book / "html" / "_sources" / "studies" / "01-learning-rate.ipynb").is_file()


@pytest.mark.xdist_group("book")
def test_no_built_page_takes_markup_from_data(built_book):
    """A class named <script> is shown as it is named: in prose, code, outputs and figures."""
    elements, shown = [], []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            elements.append((tag, dict(attributes)))

        def handle_data(self, data):
            shown.append(data)

    for path in (built_book / "html").rglob("*.html"):
        Reader().feed(path.read_text(encoding="utf-8"))

    study = (built_book / "html" / "studies" / "01-learning-rate.html").read_text(encoding="utf-8")
    assert study.count("&lt;script&gt;alert(1)") >= 6  # glued, its cell, its outputs, its figure
    assert elements
    assert not [tag for tag, names in elements if "onerror" in names or names.get("src") == "x"]
    assert "alert(1)" not in shown  # what is in a script element of its own


@pytest.mark.xdist_group("book")
def test_formulas_stand_in_the_page_and_need_no_script(built_book):
    page = (built_book / "html" / "studies" / "01-learning-rate.html").read_text()

    assert "<math " in page
    assert "<mi>" in page
    assert "\\(" not in page
    assert not list((built_book / "html" / "_static").rglob("*MathJax*"))
    assert "mathjax/" not in page.lower()


@pytest.mark.xdist_group("book")
def test_the_site_is_small_and_has_none_of_the_themes_files(built_book):
    files = [path for path in (built_book / "html").rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) < 2.8e6  # 0.6: reference, 0.2: gallery
    assert not any(re.search("bootstrap|fontawesome|thebe|require", path.name) for path in files)


@pytest.mark.xdist_group("book")
def test_the_tables_of_prose_pages_are_filled(built_book):
    pages = [p.read_text() for p in (built_book / "html").glob("*.html")]

    assert not any("% hplab: " in page for page in pages)
    assert "There are no records yet." in (built_book / "html" / "status.html").read_text()


@pytest.mark.xdist_group("book")
def test_every_name_of_the_surface_has_its_entry_in_the_reference(built_book):
    for page, names in reference.contents().items():
        text = (built_book / "html" / "api" / f"{page}.html").read_text()
        for name in names:
            assert f'id="hplab.{name}"' in text


@pytest.mark.xdist_group("book")
def test_names_in_the_code_of_a_study_lead_to_the_reference(built_book):
    page = (built_book / "html" / "studies" / "01-learning-rate.html").read_text()

    for place in ("plots.html#hplab.plots.axis", "runs.html#hplab.run", "runs.html#hplab.Trial"):
        assert f'href="../api/{place}"' in page
    assert '<span class="n">Trial</span></a>' in page


def test_a_page_whose_source_is_gone_goes_too(tmp_path):
    for name in ("raw/api/old.html", "raw/api/new.html", "raw/now.html", "source/now.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "source" / "api").mkdir()
    (tmp_path / "source" / "api" / "new.ipynb").touch()

    site._forget(tmp_path / "source", tmp_path / "raw")

    assert sorted(p.name for p in tmp_path.glob("raw/**/*.html")) == ["new.html", "now.html"]


@pytest.mark.xdist_group("book")
def test_a_warning_stops_the_build_and_leaves_the_site_that_was_there(built_book, capsys):
    text = tiny_book.TEXT + "\n{term}`no such word`\n"
    for study in (places.CODE / "book" / "studies").glob("*.md"):  # warnings count in whole books
        tiny_book.write(built_book / "broken", text=f"# {study.stem}\n", name=study.stem)
    tiny_book.write(built_book / "broken", text=text)
    before = (built_book / "html" / "index.html").stat().st_mtime_ns
    empty = Store(built_book / "results", built_book / "pending")  # judging records takes long

    for _ in range(2):  # the second time Sphinx knows the page already
        with pytest.raises(HplabError, match="the book was not built"):
            site.build(built_book / "broken", built_book / "html", store=empty)
        assert "no such word" in capsys.readouterr().err

    assert (built_book / "html" / "index.html").stat().st_mtime_ns == before


# ---------------------------------------------------------------------------------------------
# The staged source


def test_without_an_executed_notebook_the_command_is_named(tmp_path):
    with pytest.raises(HplabError, match="no executed notebook in .*studies: run `make execute`"):
        site.build(tmp_path, tmp_path / "html")


def test_without_a_checkout_the_error_says_where_books_are_built(tmp_path):
    tiny_book.write(tmp_path)

    with pytest.raises(HplabError, match="in a clone of the repository"):
        site.stage(tmp_path, tmp_path / "source", checkout=tmp_path)


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a small book of two studies and one prose page."""
    book = tmp_path / "checkout" / "book"
    (book / "studies").mkdir(parents=True)
    (book / "results").mkdir()
    (book / "results" / "batch.jsonl").write_text("{}")
    (book / "studies" / "01-learning-rate.md").write_text("# Text of the study\n")
    (book / "intro.md").write_text("# Start\n")
    chapters = [{"file": "studies/01-learning-rate"}, {"file": "studies/02-batch-size"}]
    toc = {"format": "jb-book", "root": "intro", "parts": [{"chapters": chapters}]}
    (book / "_toc.yml").write_text(yaml.safe_dump(toc))
    (tmp_path / "checkout" / "_config.yml").write_text("title: A book\n")
    return tmp_path / "checkout"


def test_the_source_has_the_executed_notebook_and_not_the_studys_text(tmp_path, checkout, store):
    tiny_book.write(tmp_path / "executed")

    site.stage(tmp_path / "executed", tmp_path / "source", checkout=checkout, store=store)

    names = {p.relative_to(tmp_path / "source").as_posix() for p in tmp_path.rglob("source/**/*.*")}
    assert names == {
        "_toc.yml",
        "conf.py",
        "intro.md",
        "studies/01-learning-rate.ipynb",
    }


def test_a_study_without_a_notebook_is_left_out_of_the_contents(tmp_path, checkout, store):
    tiny_book.write(tmp_path / "executed")
    source = tmp_path / "source"

    missing = site.stage(tmp_path / "executed", source, checkout=checkout, store=store)

    toc = yaml.safe_load((source / "_toc.yml").read_text())
    assert missing == ["studies/02-batch-size"]
    assert toc["parts"][0]["chapters"] == [{"file": "studies/01-learning-rate"}]


def test_pages_of_the_gallery_stand_below_their_overview(tmp_path, checkout, store):
    book, source = checkout / "book", tmp_path / "source"
    toc = yaml.safe_load((book / "_toc.yml").read_text())
    toc["parts"].append({"chapters": [{"file": "gallery"}]})
    (book / "_toc.yml").write_text(yaml.safe_dump(toc))
    (book / "gallery.md").write_text("# Gallery\n")
    (book / "gallery").mkdir()
    for name in ("01-learning-rate", "02-later"):
        (book / "gallery" / f"{name}.md").write_text("# Text of the page\n")
    executed = tiny_book.write(tmp_path / "executed")
    (tmp_path / "executed" / "gallery").mkdir()
    shutil.copyfile(executed, tmp_path / "executed" / "gallery" / executed.name)

    site.stage(tmp_path / "executed", source, checkout=checkout, store=store)

    (chapter,) = yaml.safe_load((source / "_toc.yml").read_text())["parts"][1]["chapters"]
    names = [section["file"] for section in chapter["sections"]]
    assert names == ["gallery/01-learning-rate", "gallery/02-later"]
    staged = sorted(path.name for path in (source / "gallery").iterdir())
    assert staged == ["01-learning-rate.ipynb", "02-later.md"]  # that one has not run yet
    there = (source / "gallery" / "01-learning-rate.ipynb").read_bytes()
    assert there == (source / "studies" / "01-learning-rate.ipynb").read_bytes()


def test_a_prose_page_that_is_not_there_is_an_error(tmp_path, checkout, store):
    toc = yaml.safe_load((checkout / "book" / "_toc.yml").read_text())
    toc["parts"].append({"chapters": [{"file": "glosary"}]})
    (checkout / "book" / "_toc.yml").write_text(yaml.safe_dump(toc))
    tiny_book.write(tmp_path / "executed")

    with pytest.raises(HplabError, match="lists 'glosary', but there is no book/glosary.md"):
        site.stage(tmp_path / "executed", tmp_path / "source", checkout=checkout, store=store)


def test_staging_again_touches_nothing_and_removes_what_is_gone(tmp_path, checkout, store):
    tiny_book.write(tmp_path / "executed")
    source = tmp_path / "source"
    site.stage(tmp_path / "executed", source, checkout=checkout, store=store)
    (source / "old.md").write_text("# Gone\n")
    before = (source / "intro.md").stat().st_mtime_ns

    site.stage(tmp_path / "executed", source, checkout=checkout, store=store)

    assert (source / "intro.md").stat().st_mtime_ns == before
    assert not (source / "old.md").exists()


# ---------------------------------------------------------------------------------------------
# The look


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_reaches_a_contrast_of_4_5_on_the_page_and_on_panels(theme):
    known = colours(theme)
    grounds = known["bg"], known["panel"]

    weak = [
        name for name in TEXT_COLOURS for ground in grounds if contrast(known[name], ground) < 4.5
    ]

    assert weak == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_series_reach_a_contrast_of_3(theme):
    known = colours(theme)

    assert [i for i in range(1, 9) if contrast(known[f"c{i}"], known["bg"]) < 3] == []


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_series_can_be_told_apart_with_any_colour_vision(theme, vision):
    known = colours(theme)
    seen = {i: lab(known[f"c{i}"], VISION[vision]) for i in range(1, 9)}

    for one, other in itertools.combinations(seen, 2):
        distance = sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5
        assert distance > 11, f"c{one} and c{other}"


def test_both_themes_define_the_same_colours():
    assert colours("light").keys() == colours("dark").keys()


def test_every_variable_that_is_used_is_defined():
    used = set(re.findall(r"var\((--hp-[\w-]+)", STYLE))
    defined = set(re.findall(r"(--hp-[\w-]+):", STYLE))

    assert used <= defined
