"""The book on paper: the pages of the built site, one after another, as one PDF.

The pages are joined to one page of HTML, whose links lead to places in it, and Chromium prints that
with the style for paper that every page of the site has. What works only on a screen is left out,
and what links to it leads to the site. Of what a reader can open, paper has the line that says what
is in it; of a verdict also the reason.
"""

from __future__ import annotations

import html
import os
import re
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from hplab.sweeps.records import shown, write_whole
from hplab.trial import HplabError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ONLY_ON_A_SCREEN = frozenset({"explore", "play", "api", "gallery"})  # pages
_USELESS = "script, template, button, input, .headerlink, .hp-copy, .hp-filter"
_REFERS = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "headers")
_PLACE = re.compile(r"url\((['\"]?)#([^)'\"]+)\1\)")
_FOOT = (
    '<div style="width:100%;text-align:center;font:9px sans-serif;color:#444">'
    '<span class="pageNumber"></span></div>'
)
_STYLE = """
article { break-before: page }
.hp-front h1 { margin: 0 0 2mm; font-size: 24pt }
.hp-front img { display: block; max-height: 70mm; margin: 4mm 0 }
.hp-front h2 { font-size: 10.5pt; margin: 3mm 0 0 } .hp-front a { text-decoration: none }
.hp-front ul { margin: 0; padding: 0; list-style: none } .hp-front li { margin: 0 }
"""


def write(site: Path, path: Path, *, base: str = "") -> Path:
    """Print a built site as one PDF.

    Args:
        site: The folder of the built site.
        path: The file to write.
        base: Address of the site, for links to what is not printed; "" if it has none.

    Returns:
        `path`.

    Raises:
        HplabError: If the site is not built, there is no Chromium, or the file cannot be written.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise HplabError(f"a PDF needs Chromium; none of these is there: {', '.join(BROWSERS)}")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise HplabError("a PDF needs Playwright: pip install 'hplab[pdf]'") from None
    whole = site.parent / "print.html"
    write_whole(whole, joined(site, whole.parent, base=base).encode())
    try:
        with sync_playwright() as playwright:
            started = playwright.chromium.launch(
                executable_path=browser, args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
            page = started.new_page(color_scheme="light")
            page.set_default_timeout(300_000)
            page.goto(whole.as_uri())
            data = page.pdf(
                format="A4",
                outline=True,
                tagged=True,
                print_background=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=_FOOT,
            )
            started.close()
    except Error as error:
        raise HplabError(f"Chromium did not print the book: {str(error).splitlines()[0]}") from None
    finally:
        whole.unlink(missing_ok=True)
    write_whole(path, data)
    return path


def joined(site: Path, folder: Path, *, base: str = "") -> str:
    """Return the pages of a site as one page, in the order of its contents.

    Args:
        site: The folder of the built site.
        folder: Where the page will stand; what it loads is named from there.
        base: Address of the site; "" if it has none.

    Raises:
        HplabError: If there is no site.
    """
    if not (site / "index.html").is_file():
        raise HplabError(f"no pages in {shown(site)}: run make book first")
    home = _soup(site / "index.html")
    parts = _contents(home)
    names = ["index.html", *(name for _, chapters in parts for name, _ in chapters)]
    soups = {name: _soup(site / name) for name in names}
    articles = [_article(name, soups[name], names, site, folder, base) for name in names]
    head = _head(soups, site, folder)
    title = home.title.get_text() if home.title else "hplab"
    return (
        f'<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>{head}<style>{_STYLE}</style></head><body>"
        f'<main class="hp-main">{_front(title, parts, site, folder, base)}{"".join(articles)}'
        "</main></body></html>"
    )


Part = tuple[str, list[tuple[str, str]]]  # caption; file and title of its chapters


def _contents(home: Tag) -> list[Part]:
    """Return the parts of the book as the start page lists them, without what is for screens."""
    parts: list[Part] = []
    for nav in home.select('nav[aria-label="Chapters"]'):
        for element in nav.find_all(["p", "a"]):
            if element.name == "p":
                parts.append((element.get_text(" ", strip=True), []))
            elif parts and _is_printed(name := str(element["href"])):
                parts[-1][1].append((name, element.get_text(" ", strip=True)))
    return [part for part in parts if part[1]]


def _is_printed(name: str) -> bool:
    return name.endswith(".html") and PurePosixPath(name).stem not in ONLY_ON_A_SCREEN


def _soup(path: Path) -> BeautifulSoup:
    text = path.read_text(encoding="utf-8")
    return BeautifulSoup(text, "html.parser", multi_valued_attributes=None)


def _head(soups: dict[str, BeautifulSoup], site: Path, folder: Path) -> str:
    """Return the style sheets, each once, as the pages name them."""
    found: dict[str, None] = {}
    for name, soup in soups.items():
        for element in soup.select('head link[rel="stylesheet"]'):
            element["href"] = _moved(str(element["href"]), name, site, folder)
            found[str(element)] = None
    return "".join(found)


def _front(title: str, parts: Sequence[Part], site: Path, folder: Path, base: str) -> str:
    cover = site / "_static" / "cover.png"
    source = html.escape(os.path.relpath(cover, folder))
    picture = f'<img src="{source}" alt="">' if cover.is_file() else ""
    lists = "".join(
        f"<h2>{html.escape(caption)}</h2><ul>"
        + "".join(
            f'<li><a href="#{_slug(name)}">{html.escape(chapter)}</a></li>'
            for name, chapter in chapters
        )
        + "</ul>"
        for caption, chapters in parts
    )
    version = f"<p>hplab {metadata.version('hplab')}"
    if base:
        site_link = f'<a class="hp-site" href="{html.escape(base)}">{html.escape(base)}</a>'
        version += f". What lies behind each claim, and what moves, is at {site_link}."
    heading = f"<h1>{html.escape(title)}</h1>"
    return f'<div class="hp-front hp-text">{heading}{version}</p>{picture}{lists}</div>'


def _article(
    name: str, page: BeautifulSoup, names: Sequence[str], site: Path, folder: Path, base: str
) -> str:
    """Return the text of a page, with places and addresses that hold in the whole."""
    article = page.select_one("article")
    if article is None:
        raise HplabError(f"{shown(site / name)}: a page without a text; build the book again")
    for element in article.select(_USELESS):
        element.decompose()
    for fold in article.select("details.hp-fold"):
        fold["open"] = ""
        for element in fold.find_all(recursive=False):
            if element.name != "summary":
                element.decompose()
    for details in article.select(".hp-verdict details"):
        if reason := details.select_one(".hp-verdict-reason"):
            details.replace_with(reason)
    slug = _slug(name)
    for element in [article, *article.find_all(True)]:
        attributes = element.attrs
        for key, value in attributes.items():
            if key == "id":
                attributes[key] = f"{slug}--{value}"
            elif key in _REFERS:
                attributes[key] = " ".join(f"{slug}--{one}" for one in str(value).split())
            elif key in ("href", "xlink:href"):
                attributes[key] = _address(str(value), name, names, site, folder, base)
            elif key == "src":
                attributes[key] = _moved(str(value), name, site, folder)
            else:
                attributes[key] = _PLACE.sub(rf"url(#{slug}--\2)", str(value))
    article["id"] = slug
    return str(article)


def _slug(name: str) -> str:
    return name.removesuffix(".html").replace("/", "-")


def _address(
    address: str, name: str, names: Sequence[str], site: Path, folder: Path, base: str
) -> str:
    """Return where a link of a page leads in the whole: to a place in it, else to the site."""
    if urlsplit(address).scheme:
        return address
    path, place = urldefrag(address)
    target = urljoin(name, unquote(path)) if path else name
    if target in names:
        return f"#{_slug(target)}" + (f"--{place}" if place else "")
    return urljoin(urljoin(base, name), address) if base else "#" + _slug(name)


def _moved(address: str, name: str, site: Path, folder: Path) -> str:
    """Return the address of what a page loads, from where the whole stands."""
    if urlsplit(address).scheme:
        return address
    return Path(os.path.relpath((site / name).parent / unquote(address), folder)).as_posix()
