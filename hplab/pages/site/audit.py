"""Reads built pages: what they load and link to, what is wrong, what a search can find."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hplab.pages.notebooks import headlines

VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
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
# How much a hit weighs: of a page, or of a kind of section. Pages of 0 come after all others.
PAGE_WEIGHT = {"bibliography": 0.0, "ledger": 0.2, "originals": 0.3, "status": 0.5}
KIND_WEIGHT = {"term": 2.0, "claim": 0.3}
INLINE = frozenset("a abbr b code em i kbd mark q small span strong sub sup".split())
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

    lang: str = ""
    title: str = ""
    ids: set[str] = field(default_factory=set)
    loads: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)


def read(path: Path) -> Page:
    """Parse one HTML file."""
    reader = _Reader()
    text = path.read_text(encoding="utf-8")
    reader.feed(text)
    reader.close()
    page = reader.page
    page.title = " ".join(page.title.split())
    if not page.title:
        page.faults.append("has no <title>")
    if not page.lang:
        page.faults.append("does not name its language (<html lang>)")
    page.faults += headlines.in_page(text)
    return page


def css_addresses(text: str) -> list[str]:
    """Return the addresses a style sheet or a style attribute makes the browser fetch."""
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
        weight = PAGE_WEIGHT.get(address.removesuffix(".html"), 1.0)
        name = " ".join(page.sections[0].title.split()) if page.sections else ""
        for section in page.sections:
            text, title = (_plain(words) for words in (section.text, section.title))
            if title and (text or section is page.sections[0]):
                anchor = f"#{section.anchor}" if section.anchor else ""
                url = address if section is page.sections[0] else address + anchor
                row = {"page": name, "title": title, "url": url, "text": text}
                row["weight"] = KIND_WEIGHT.get(section.kind, weight)
                rows.append(row)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False).replace("<", "\\u003c") for row in rows)
    return f"window.hplabSections = [\n{lines}\n];\n"


def _plain(words: str) -> str:
    """Return words as a reader types them: one space between them, no unseen joiners."""
    return " ".join(words.replace("\u2060", "").split())


class _Reader(HTMLParser):
    """Walks through a page once and notes everything the functions above ask for."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._open: list[str] = []
        self._svgs: list[dict[str, object]] = []
        self._in_article = False
        self._heading: str | None = None
        self._quiet = 0
        self._at: Section | None = None  # where words go now
        self._around: list[tuple[int, Section | None]] = []  # open sections: depth, what was before

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._note_addresses(tag, given)
        self._note_faults(tag, given, {name for name, _ in attrs})
        if tag == "html":
            self.page.lang = given.get("lang", "")
        if tag == "article":
            self._in_article = True
        if tag in VOID:
            return
        self._open.append(tag)
        classes = set(given.get("class", "").split())
        is_fold = tag == "details" and "hp-fold" in classes and not given["id"].startswith("pair-")
        if (tag in UNSEEN and not is_fold) or UNSEARCHED & classes:
            self._quiet += 1
            self._open[-1] = f"{tag}!"
        if self._in_article:
            self._part_words(tag)
            self._note_section(tag, given, is_fold or "hp-verdict" in classes)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in (name.rstrip("!") for name in self._open):
            return
        self._part_words(tag)
        while self._open:
            name = self._open.pop()
            self._quiet -= name.endswith("!")
            if self._around and self._around[-1][0] > len(self._open):
                self._at = self._around.pop()[1]
            if name.rstrip("!") == tag:
                break
        if tag == "svg" and self._svgs and not self._svgs.pop()["named"]:
            self.page.faults.append("has a drawing (<svg>) without alternative text")
        if tag == self._heading:
            self._heading = None
        if tag == "article":
            self._in_article = False

    def handle_data(self, data: str) -> None:
        inside = self._open[-1].rstrip("!") if self._open else ""
        if inside == "title" and "svg!" not in self._open:
            self.page.title += data
        elif inside == "title" and data.strip() and self._svgs:
            self._svgs[-1]["named"] = True
        elif inside == "style":
            self.page.loads += css_addresses(data)
        elif inside == "script":
            self.page.loads += _ADDRESS_IN_SCRIPT.findall(data)
        for mark in ERROR_MARKS:
            if mark in data:
                self.page.faults.append("shows a cell that failed")
        if self._in_article and not self._quiet and self._at:
            self._note_words(self._at, data)

    def _part_words(self, tag: str) -> None:
        """Keep the words before a block apart from those after it."""
        if tag not in INLINE and self._at and not self._heading:
            self._at.text += " "

    def _note_words(self, section: Section, data: str) -> None:
        if self._heading:
            section.title += data
        else:
            section.text += data

    def _note_addresses(self, tag: str, given: dict[str, str]) -> None:
        if tag == "link" and LOADING_RELS & set(given.get("rel", "").lower().split()):
            self.page.loads.append(given.get("href", ""))
        for name in LOADING.get(tag, ()):
            if value := given.get(name):
                parts = value.split(",") if name == "srcset" else [value]
                self.page.loads += [part.split()[0] for part in parts if part.strip()]
        self.page.loads += css_addresses(given.get("style", ""))
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.page.loads += re.findall(r"url=['\"]?([^'\"\s]+)", given.get("content", ""), re.I)
        if tag in ("a", "area") and "href" in given:
            self.page.links.append(given["href"])

    def _note_faults(self, tag: str, given: dict[str, str], names: set[str]) -> None:
        faults = self.page.faults
        if identity := given.get("id"):
            if identity in self.page.ids:
                faults.append(f"uses the id {identity!r} twice")
            self.page.ids.add(identity)
        if name := given.get("name") if tag == "a" else None:
            self.page.ids.add(name)
        for handler in sorted(name for name in names if re.fullmatch("on[a-z]+", name)):
            faults.append(f"has an inline event handler ({handler} on <{tag}>)")
        if tag == "img" and "alt" not in names:
            faults.append(f"has an image without alternative text ({given.get('src', '?')[:60]})")
        if tag == "svg":
            named = given.get("aria-label") or given.get("aria-hidden") == "true" or self._svgs
            self._svgs.append({"named": bool(named)})
        if "xref" in given.get("class", "").split() and "a" not in self._open:
            faults.append("has a reference that leads nowhere")
        marks = f"{given.get('id', '')} {given.get('class', '')}"
        if "papermill-error-cell" in marks or "traceback" in given.get("class", "").split():
            faults.append("shows a cell that failed")

    def _note_section(self, tag: str, given: dict[str, str], is_claim: bool) -> None:
        is_term = tag == "dt" and given.get("id", "").startswith("term-")
        is_section = tag == "section" and "id" in given
        if is_section or is_claim or is_term or (tag == "h1" and not self.page.sections):
            kind = "term" if is_term else "claim" if is_claim else ""
            if is_section or is_claim:  # at its end the words go on where they went before
                self._around.append((len(self._open), self._at))
            self._at = Section(given.get("id", ""), given.get("aria-label", ""), kind=kind)
            self.page.sections.append(self._at)
        if is_term or (re.fullmatch("h[1-6]", tag) and not self._at.title):
            self._heading = tag
