"""The built book in a real browser, from plain files and without a network.

Chromium is driven by its command line, so nothing has to be installed beside it. Each page gets a
script that measures it and writes what it found into the document, which Chromium then prints.
"""

import functools
import html
import json
import re
import shutil
import subprocess

import pytest
import tiny_book

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: no chromium on the PATH"),
    pytest.mark.xdist_group("book"),
]

MEASURE = """
<script>addEventListener("load", () => setTimeout(() => {
  const visible = [...document.querySelectorAll("main *")];
  const boxes = "pre, .output, .hp-scroll, .pst-scrollable-table-container, svg";
  const measured = JSON.stringify({
    width: innerWidth,
    scroll: document.documentElement.scrollWidth,
    wide: visible.filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
      .filter((e) => !e.closest(boxes)).map((e) => `${e.tagName}.${e.className}`).slice(0, 3),
    theme: document.documentElement.dataset.theme,
    ground: getComputedStyle(document.body).backgroundColor,
    math: document.querySelectorAll("math").length,
    hits: [...document.querySelectorAll("#hp-hits a")].map((a) => a.getAttribute("href")),
    opened: [...document.querySelectorAll(".hp-fold[open]")].map((e) => e.id),
    target: document.querySelector(":target")?.getBoundingClientRect().top ?? null,
    listed: [...document.querySelectorAll(".hp-fold")].filter((e) => e.offsetParent).length,
    count: document.querySelector(".hp-filter output")?.textContent ?? null,
    tallies: [...document.querySelectorAll(".hp-tally")].filter((e) => e.offsetParent)
      .map((e) => e.textContent),
    fonts: [...document.fonts].filter((f) => f.status === "loaded").map((f) => f.family),
  });
  document.documentElement.dataset.measured = measured;
  parent.postMessage(measured, "*");
}, 400));</script></body>"""
PHONE = """<!DOCTYPE html><html><body><script>
addEventListener("message", (m) => document.documentElement.dataset.measured = m.data);
</script><iframe src="PAGE" style="width: 390px; height: 800px"></iframe></body></html>"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of a built site whose pages measure themselves."""
    folder = tmp_path_factory.mktemp("browser") / "html"
    shutil.copytree(tiny_book.built(tmp_path_factory) / "html", folder)
    for path in folder.rglob("*.html"):
        path.write_text(path.read_text().replace("</body>", MEASURE))
    return folder


@functools.cache
def visit(book, page, *, dark=False):
    """Open a page; return what it measured and what the browser complained about."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={book.parent / 'profile'}", "--window-size=1280,900",
        "--virtual-time-budget=4000", "--dump-dom", f"{book.as_uri()}/{page}",
    ]  # fmt: skip
    command[1:1] = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    found = re.search('data-measured="([^"]*)"', done.stdout)
    complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1])), complaints


@pytest.mark.parametrize(
    "page", ["index.html", "studies/01-learning-rate.html", "search.html?q=seed"]
)
def test_a_page_opens_without_a_complaint(book, page):
    assert visit(book, page)[1] == []


def test_a_failed_request_would_be_noticed(book):
    (book / "broken.html").write_text(
        '<html><body><script src="https://cdn.example/x.js"></script>'
        f'<script>console.error("seen")</script>{MEASURE}</html>'
    )

    assert any("seen" in line for line in visit(book, "broken.html")[1])


@pytest.mark.parametrize("page", ["index.html", "studies/01-learning-rate.html", "status.html"])
def test_nothing_is_wider_than_a_phone(book, page):
    (book / "phone.html").write_text(PHONE.replace("PAGE", page))  # Chromium's own least is 500

    measured, _ = visit(book, "phone.html")

    assert measured["width"] == 390
    assert measured["wide"] == []
    assert measured["scroll"] <= measured["width"]


def test_the_fonts_and_formulas_are_there(book):
    measured, _ = visit(book, "studies/01-learning-rate.html")

    assert measured["math"] == 1
    assert {name.strip('"') for name in measured["fonts"]} >= {
        "Source Serif",
        "Source Sans",
        "Source Code",
    }


def test_the_dark_theme_follows_the_system(book):
    light, dark = visit(book, "index.html")[0], visit(book, "index.html", dark=True)[0]

    assert (light["theme"], light["ground"]) == ("light", "rgb(255, 255, 255)")
    assert (dark["theme"], dark["ground"]) == ("dark", "rgb(20, 24, 27)")


def test_the_search_works_from_a_plain_file(book):
    measured, _ = visit(book, "search.html?q=paired%20comp")

    assert "./glossary.html#term-paired-comparison" in measured["hits"]


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("what%20is%20sharpness", "./glossary.html#term-sharpness"),
        ("S0-18", "./ledger.html#S0-18"),
        ("is%20s0-18%20true,%20how%20was%20it%20decided?", "./ledger.html#S0-18"),
        ("RMSprop%20faster%20curve%20smoother", "./ledger.html#S0-15"),
        ("where%20are%20the%20raw%20data?", "./reproduce.html#where-the-records-are"),
        ("how%20many%20seeds", "./how-many-seeds.html"),
        ("how%20to%20run", "./reproduce.html"),
        ("cite", "./cite.html"),
        ("license", "./cite.html#licence"),
        ("contact", "./cite.html#contact"),
    ],
)
def test_the_first_hit_answers_the_question(book, asked, first):
    assert visit(book, f"search.html?q={asked}")[0]["hits"][0] == first


def test_the_bibliography_is_the_last_that_is_found(book):
    hits = [
        hit.split(".html")[0]
        for hit in visit(book, "search.html?q=deep%20learning%20tuning")[0]["hits"]
    ]
    assert hits[-1] == "./bibliography"
    assert hits.count("./bibliography") == 1


def test_a_link_to_a_claim_opens_its_fold_in_sight(book):
    measured, complaints = visit(book, "ledger.html#S4-06")
    assert measured["opened"] == ["S4-06"]
    assert 0 <= measured["target"] < 450
    assert complaints == []


def test_a_link_to_a_claim_that_the_filter_hides_shows_it_all_the_same(book):
    assert visit(book, "ledger.html?report=000#S4-06")[0]["opened"] == ["S4-06"]


def test_the_filter_counts_what_it_shows(book):
    whole = visit(book, "ledger.html")[0]
    assert (whole["listed"], whole["count"]) == (125, "125 claims")
    some = visit(book, "ledger.html?report=004&primary=yes")[0]
    assert some["count"] == f"{some['listed']} of 125 claims"
    assert 0 < some["listed"] < 18
    assert some["tallies"] == [f"{some['listed']} of 48 claims"]
