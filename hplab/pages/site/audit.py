"""Reads built pages: what they load and link to, what is wrong, what a search can find."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, NavigableString, Tag

from hplab.pages.notebooks import headlines

LOADING_RELS = frozenset(
    "stylesheet icon preload modulepreload preconnect dns-prefetch prefetch prerender manifest "
    "apple-touch-icon mask-icon".split()
)
# Attributes whose address the browser fetches as soon as it meets the element.
LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "frame": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "input": ("src",),
    "image": ("href", "xlink:href"),
    "feimage": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
UNSEEN = frozenset("script style svg pre button noscript table details".split())
UNSEARCHED = frozenset({"headerlink", "hp-unsearched", "hp-fold-head"})
# How much a hit weighs: of a page or a folder, or of a kind of section. Pages of 0 come last.
PAGE_WEIGHT = {"bibliography": 0.0, "ledger": 0.2, "api": 0.2, "originals": 0.3, "status": 0.5}
KIND_WEIGHT = {"term": 2.0, "claim": 0.3}
INLINE = frozenset("a abbr b code em i kbd mark q span strong sub sup".split())
HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
ERROR_MARKS = ("papermill-error-cell", "An Exception was encountered at")
_CSS_ADDRESS = re.compile(r"""(?:url\(\s*|@import\s+)(['"]?)([^'")\s;]+)\1""", re.IGNORECASE)
_ADDRESS_IN_SCRIPT = re.compile(r"""https?://(?!www\.w3\.org/)[^\s'"`)<>]+""")


@dataclass
class Section:
    """A piece of a page that a search can find: its place, its heading, its words.

    Attributes:
        kind: "term" of the glossary, "claim" for a fold of the ledger or a verdict, else "".
    """

    anchor: str
    title: str = ""
    text: str = ""
    kind: str = ""


@dataclass
class Page:
    """What one HTML page says about itself.

    Attributes:
        loads: Addresses the browser fetches when the page opens.
        links: Addresses a reader may follow.
        faults: What is wrong with the page by itself, in words.
    """

    title: str = ""
    ids: set[str] = field(default_factory=set)
    loads: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)


def read(path: Path) -> Page:
    """Parse one HTML file."""
    text = path.read_text(encoding="utf-8")
    soup = BeautifulSoup(text, "html.parser", multi_valued_attributes=None)
    title = soup.select_one("title:not(svg title)")  # pictures may have one of their own
    page = Page(title=" ".join(title.get_text().split()) if title else "")
    if not page.title:
        page.faults.append("has no <title>")
    if not (soup.html and _of(soup.html, "lang")):
        page.faults.append("does not name its language (<html lang>)")
    if any(mark in text for mark in ERROR_MARKS):
        page.faults.append("shows a cell that failed")
    for tag in soup.find_all(True):
        page.loads += _loads(tag)
        page.faults += _faults(tag, page.ids)
        if tag.name in ("a", "area") and tag.has_attr("href"):
            page.links.append(_of(tag, "href"))
        page.ids |= {_of(tag, "id"), _of(tag, "name") if tag.name == "a" else ""} - {""}
    for article in soup.find_all("article"):
        _gather(article, Section(""), page.sections)
    page.faults += headlines.in_page(text)
    return page


def css_addresses(text: str) -> list[str]:
    """Return the addresses a style sheet or a style attribute makes the browser fetch.

    >>> css_addresses("@import 'more.css'; p { background: url(dots.png) }")
    ['more.css', 'dots.png']
    """
    return [match[2] for match in _CSS_ADDRESS.finditer(text)]


def is_foreign(address: str) -> bool:
    """Return whether an address leads to another origin."""
    return bool(urlsplit(address.strip()).netloc)


def local_target(address: str, page: Path) -> tuple[Path, str] | None:
    """Return file and anchor that a relative address on `page` means; None for other kinds."""
    parts = urlsplit(address.strip())
    if parts.scheme or parts.netloc:
        return None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
    return target, unquote(parts.fragment)


def check(html_dir: Path) -> list[str]:
    """Return what is wrong with a built site, one line a problem; [] for a sound one.

    Looked for: anything that a page loads from another origin (scripts, style sheets, images,
    fonts, frames, connections opened ahead), links, anchors and files that are not there, pages
    without title or language, images without alternative text, ids used twice, inline event
    handlers, and outputs of cells that failed.
    """
    html_dir = Path(html_dir).resolve()
    files = sorted(html_dir.rglob("*.html"))
    if not files:
        return [f"{html_dir.name}: there is no page"]
    pages = {path: read(path) for path in files}
    problems = []
    for path, page in pages.items():
        name = path.relative_to(html_dir).as_posix()
        found = [*page.faults, *_bad_loads(page, path), *_bad_links(page, path, pages, html_dir)]
        problems += [f"{name}: {what}" for what in dict.fromkeys(found)]
    for path in sorted(html_dir.rglob("*.css")):
        name = path.relative_to(html_dir).as_posix()
        for address in css_addresses(path.read_text(encoding="utf-8")):
            what = _bad_load(address, path)
            problems += [f"{name}: {what}"] if what else []
    return problems


def _bad_loads(page: Page, path: Path) -> list[str]:
    return [what for address in page.loads if (what := _bad_load(address, path))]


def _bad_load(address: str, path: Path) -> str:
    if is_foreign(address):
        return f"loads {address} from another site"
    target = local_target(address, path)
    if target and address and not address.startswith("#") and not target[0].is_file():
        return f"loads {address}, which is not there"
    return ""


def _bad_links(page: Page, path: Path, pages: dict[Path, Page], html_dir: Path) -> list[str]:
    problems = []
    for address in page.links:
        if address.strip().lower().startswith("javascript:"):
            problems.append("has a javascript: link")
        target = local_target(address, path)
        if target is None:
            continue
        file, anchor = target
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file() or not file.is_relative_to(html_dir):
            problems.append(f"links to {address}, which is not there")
        elif anchor and file in pages and anchor not in pages[file].ids:
            problems.append(f"links to {address}, but there is no such place on that page")
    return problems


def references(path: Path, page: Page) -> set[Path]:
    """Return the local files that a page loads or links to."""
    found = (local_target(address, path) for address in [*page.loads, *page.links])
    return {target[0] for target in found if target}


def search_script(pages: Iterable[tuple[str, Page]]) -> str:
    """Return the script that hands all sections of (address, page) pairs to the search page."""
    rows = []
    for address, page in pages:
        weight = PAGE_WEIGHT.get(address.removesuffix(".html").partition("/")[0], 1.0)
        name = " ".join(page.sections[0].title.split()) if page.sections else ""
        for section in page.sections:
            text, title = (_plain(words) for words in (section.text, section.title))
            if title and (text or section is page.sections[0]):
                anchor = f"#{section.anchor}" if section.anchor else ""
                url = address if section is page.sections[0] else address + anchor
                row: dict[str, Any] = {"page": name, "title": title, "url": url, "text": text}
                row["weight"] = KIND_WEIGHT.get(section.kind, weight)
                rows.append(row)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False).replace("<", "\\u003c") for row in rows)
    return f"window.hplabSections = [\n{lines}\n];\n"


def _plain(words: str) -> str:
    """Return words as a reader types them: one space between them, no unseen joiners."""
    return " ".join(words.replace("\u2060", "").split())


# ---------------------------------------------------------------------------------------------
# What an element says


def _of(tag: Tag, name: str) -> str:
    return str(tag.get(name, ""))


def _loads(tag: Tag) -> list[str]:
    """Return the addresses that a browser fetches for one element."""
    loads = css_addresses(_of(tag, "style"))
    if tag.name == "link" and LOADING_RELS & set(_of(tag, "rel").lower().split()):
        loads.append(_of(tag, "href"))
    for name in LOADING.get(tag.name, ()):
        if value := _of(tag, name):
            parts = value.split(",") if name == "srcset" else [value]
            loads += [part.split()[0] for part in parts if part.strip()]
    if tag.name == "meta" and _of(tag, "http-equiv").lower() == "refresh":
        loads += re.findall(r"url=['\"]?([^'\"\s]+)", _of(tag, "content"), re.I)
    if tag.name == "style":
        loads += css_addresses(tag.string or "")
    if tag.name == "script":
        loads += _ADDRESS_IN_SCRIPT.findall(tag.string or "")
    return loads


def _faults(tag: Tag, ids: set[str]) -> Iterator[str]:
    """Yield what is wrong with one element, given the ids of those before it."""
    if (identity := _of(tag, "id")) and identity in ids:
        yield f"uses the id {identity!r} twice"
    for handler in sorted(name for name in tag.attrs if re.fullmatch("on[a-z]+", name)):
        yield f"has an inline event handler ({handler} on <{tag.name}>)"
    if tag.name == "img" and not tag.has_attr("alt"):
        yield f"has an image without alternative text ({_of(tag, 'src')[:60]})"
    if tag.name == "svg" and not _is_named(tag):
        yield "has a drawing (<svg>) without alternative text"
    if tag.name == "text" and re.search(r"\$|\\math", tag.get_text()):
        yield f"has a figure that shows the source of a formula ({tag.get_text()[:40]})"
    classes = _of(tag, "class").split()
    if "xref" in classes and not tag.find_parent("a"):
        yield "has a reference that leads nowhere"
    if "traceback" in classes:
        yield "shows a cell that failed"


def _is_named(svg: Tag) -> bool:
    if _of(svg, "aria-label") or _of(svg, "aria-hidden") == "true" or svg.find_parent("svg"):
        return True
    return any(title.get_text().strip() for title in svg.find_all("title"))


# ---------------------------------------------------------------------------------------------
# What a search finds


def _gather(parent: Tag, at: Section, sections: list[Section]) -> Section:
    """Add the words below an element to `at` and to the new sections that begin below it.

    Returns:
        Where the words after the element go: what follows a term of the glossary is its own.
    """
    for child in parent.children:
        if not isinstance(child, Tag):
            at.text += child if type(child) is NavigableString else ""
            continue
        at.text += "" if child.name in INLINE else " "
        around, kind = at, _kind(child)
        if kind is not None or (child.name == "h1" and not sections):
            at = Section(_of(child, "id"), _of(child, "aria-label"), kind=kind or "")
            sections.append(at)
        if kind == "term" or (child.name in HEADINGS and not at.title):
            at.title = _title(child)
        elif not _is_unseen(child):
            at = _gather(child, at, sections)
        if kind in ("", "claim"):  # at its end the words go on where they went before
            at = around
        at.text += "" if child.name in INLINE else " "
    return at


def _kind(tag: Tag) -> str | None:
    """Return the kind of section that an element is, None for any other element."""
    if _is_fold(tag) or "hp-verdict" in _of(tag, "class").split():
        return "claim"
    if tag.name == "dt" and _of(tag, "id").startswith("term-"):
        return "term"
    return "" if tag.name == "section" and tag.has_attr("id") else None


def _is_fold(tag: Tag) -> bool:
    is_fold = tag.name == "details" and "hp-fold" in _of(tag, "class").split()
    return is_fold and not _of(tag, "id").startswith("pair-")


def _is_unseen(tag: Tag) -> bool:
    return (tag.name in UNSEEN and not _is_fold(tag)) or bool(
        UNSEARCHED & set(_of(tag, "class").split())
    )


def _title(heading: Tag) -> str:
    parts = (part for part in heading.children if not (isinstance(part, Tag) and _is_unseen(part)))
    return "".join(_title(part) if isinstance(part, Tag) else str(part) for part in parts)
