"""What other sites know of a page: its description, a picture, its one address; and the site's map.

Links that are sent to somebody are shown with what stands in the head of their page (the Open Graph
protocol, https://ogp.me). Addresses in it have to be whole, so they are there only where the
configuration says where the book will be.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from hplab.pages.site.study_pages import FIGURE

LONGEST = 200  # characters of a description; search engines cut longer ones
COVER = "_static/cover.png"  # of the pages that have no picture of their own
COVER_SHOWS = {"picture": COVER, "alt": "What re-runs with several seeds show of published claims."}
SITE = "hplab"
UNLISTED = frozenset({"search.html"})
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_LEAD = re.compile(
    r'<div class="hp-lead[^"]*">\s*<p>(.*?)</p>|<p><strong>In short\.</strong>(.*?)</p>', re.DOTALL
)


def head(page: str, name: str, *, base: str = "", picture: str = "", alt: str = "") -> str:
    """Return a page with what other sites read in its head.

    Args:
        page: The page.
        name: Its place in the site, such as "studies/01-learning-rate.html".
        base: Address of the site, with a slash at its end; "" where it is not known.
        picture: Place of its picture in the site; "" for none.
        alt: What the picture shows.
    """
    found = _TITLE.search(page)
    if found is None:
        return page
    about = description(page)
    tags = [_property("og:title", html.unescape(found[1]).removesuffix(f" · {SITE}"))]
    tags += [_property("og:site_name", SITE), _property("og:type", "article")]
    if about:
        tags += [f'<meta name="description" content="{_quoted(about)}">']
        tags += [_property("og:description", about)]
    if base and name not in UNLISTED:
        address = _quoted(_address(base, name))
        tags += [f'<link rel="canonical" href="{address}">', _property("og:url", address)]
    if base and picture:
        tags += [_property("og:image", f"{base}{picture}"), _property("og:image:alt", alt)]
        tags += ['<meta name="twitter:card" content="summary_large_image">']
    return page.replace(found[0], "\n".join([found[0], *tags]), 1)


def description(page: str) -> str:
    """Return a page's first words about itself, whole sentences as far as they fit; "" for none."""
    found = _LEAD.search(page)
    if found is None:
        return ""
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", found[1] or found[2] or "")).split())
    kept = ""
    for sentence in re.split(r"(?<=[.?!]) (?=[A-Z])", text.replace("\u2060", "")):
        if len(kept) + 1 + len(sentence) > LONGEST:
            break
        kept = f"{kept} {sentence}".strip()
    return kept or f"{text[: LONGEST - 1].rsplit(' ', 1)[0]}…"


def pictures(notebooks: Iterable[Path]) -> dict[str, tuple[bytes, str]]:
    """Return the first figure of each executed study as a PNG, with its caption, by page."""
    found = {}
    for path in notebooks:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                data, page = output.get("data", {}), f"studies/{path.stem}.html"
                drawn = FIGURE in "".join(data.get("text/html", ""))
                if drawn and "image/png" in data and page not in found:
                    caption = "".join(data.get("text/plain", "")).removeprefix("Figure: ")
                    found[page] = (base64.b64decode("".join(data["image/png"])), caption)
    return found


def sitemap(base: str, names: Iterable[str]) -> str:
    """Return the map of a site for search engines (https://www.sitemaps.org)."""
    places = sorted(name for name in names if name not in UNLISTED)
    urls = "".join(f"<url><loc>{escape(_address(base, name))}</loc></url>\n" for name in places)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n'
    )


def _address(base: str, name: str) -> str:
    return base if name == "index.html" else f"{base}{name}"


def _property(name: str, content: str) -> str:
    return f'<meta property="{name}" content="{_quoted(content)}">'


def _quoted(text: str) -> str:
    return html.escape(html.unescape(text))
