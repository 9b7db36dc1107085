"""Makes the book: stages its source, runs Sphinx on it, and puts the finished site together.

The source that Sphinx reads is `book/` with the executed notebooks in place of the texts of studies
and gallery.
What Sphinx writes is not yet the site: the start page takes the name index.html, a search index
that works from a plain file is written, and only files that some page needs are kept.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hplab import places
from hplab.pages.figures import explorer_data
from hplab.pages.notebooks import pairing
from hplab.pages.site import access, audit, gloss, share, study_pages
from hplab.pages.site.audit import check
from hplab.pages.tables import fill, reference
from hplab.sweeps.records import shown
from hplab.trial import HplabError

__all__ = ["address", "build", "check", "sphinx_settings", "stage"]

GALLERY = "gallery"  # its overview, and the folder of its pages
LEFT_OUT = ("results", "reference", "studies", GALLERY)
# Jupyter Book's, but LaTeX and those whose scripts load from elsewhere or do what hplab.js does.
EXTENSIONS = (
    *("myst_nb", "jupyter_book", "sphinx_external_toc", "sphinx_design", "sphinx_book_theme"),
    *("sphinxcontrib.bibtex", "sphinx_multitoc_numbering"),
    *("sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_codeautolink"),  # the reference
)
_SEEDS = re.compile(
    r'<span class="hp-seeds-link" data-margin="([^"]+)" data-sd="([^"]+)">([^<]+)</span>'
)
_CLAIM = re.compile(r'<span class="hp-claim"( id="[\w-]+")?>([\w-]+)</span>')
CONF = """\
from hplab.pages.notebooks import spare_address_grammar
from hplab.pages.site import formulas
from hplab.pages.tables import reference

spare_address_grammar()


def setup(app):
    app.connect("autodoc-process-signature", reference.signature)
    app.connect("autodoc-process-docstring", reference.docstring, priority=400)
    app.add_html_math_renderer("mathml", (formulas.inline, None), (formulas.block, None))


"""


def build(executed_dir: Path | str, out: Path | str, *, store: Any = None) -> Path:
    """Build the book's site from executed notebooks, with every warning an error.

    Args:
        executed_dir: Folder whose `studies/` and `gallery/` hold the executed notebooks.
        out: Where the site goes; an earlier one there is replaced only when all went well.
        store: Where the tables of prose pages read records; None for the default store.

    Returns:
        The start page, `out/index.html`.

    Raises:
        HplabError: If there is no executed notebook, a page of the table of contents is missing,
            or Sphinx warned (its words are on standard error).
    """
    out = Path(out).absolute()
    source = out.parent / "source"
    missing = stage(executed_dir, source, store=store)
    raw = out.parent / "sphinx"
    _forget(source, raw)
    _run_sphinx(source, raw, strict=not missing)
    fresh = out.with_name(f"{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    root = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))["root"]
    assemble(
        raw,
        fresh,
        root=f"{root}.html",
        base=address(places.CODE),
        pictures=share.pictures(_executed(Path(executed_dir))),
    )
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)
    return out / "index.html"


# ---------------------------------------------------------------------------------------------
# The source


def stage(
    executed_dir: Path | str, source: Path | str, *, checkout: Path = places.CODE, store: Any = None
) -> list[str]:
    """Write the source that Sphinx reads; files that have not changed keep their time.

    Returns:
        Studies of the table of contents that were left out for want of an executed notebook. Pages
        of the gallery are staged without outputs then.

    Raises:
        HplabError: See `build`.
    """
    book, source = checkout / "book", Path(source)
    if not (book / "_toc.yml").is_file():
        raise HplabError(f"no book in {checkout}: the book is built in a clone of the repository")
    notebooks = _executed(Path(executed_dir))
    toc = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    missing = _reduce_toc(toc, book, {path.stem for path in notebooks})
    texts = pairing.pages(book / GALLERY)
    if texts and (overview := _chapter(toc, GALLERY)):
        overview["sections"] = [{"file": f"{GALLERY}/{path.stem}"} for path in texts]
    files: dict[str, bytes] = {
        path.relative_to(book).as_posix(): path.read_bytes()
        for path in sorted(book.rglob("*"))
        if path.is_file()
        and path.relative_to(book).parts[0] not in LEFT_OUT
        and path.suffix not in (".yaml", ".yml", ".json")
    }
    config = _config(checkout)
    repository = config.get("repository", {}).get("url", "")
    tables = fill.tables(notebooks, store, repository=repository)
    for name in [name for name in files if name.endswith(".md")]:
        files[name] = fill.fill(files[name].decode(), tables, f"book/{name}").encode()
    files |= {f"{name}.md": text.encode() for name, text in _reference(toc).items()}
    files |= {f"studies/{p.name}": study_pages.source(p.read_bytes()) for p in notebooks}
    for text in texts:
        ran = Path(executed_dir) / GALLERY / f"{text.stem}.ipynb"
        if ran.is_file():
            files[f"{GALLERY}/{ran.name}"] = study_pages.source(ran.read_bytes())
        else:
            files[f"{GALLERY}/{text.name}"] = text.read_bytes()
    files["_toc.yml"] = yaml.safe_dump(toc, sort_keys=False).encode()
    settings = (f"{name} = {value!r}\n" for name, value in sphinx_settings(config).items())
    files["conf.py"] = "".join([CONF, *settings]).encode()
    _write(files, source)
    return missing


def address(checkout: Path) -> str:
    """Return where the site of a checkout will be found, with a slash at its end; "" if unknown."""
    return str(_config(checkout).get("html", {}).get("baseurl", ""))


def _config(checkout: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((checkout / "_config.yml").read_text(encoding="utf-8")))


def _executed(folder: Path) -> list[Path]:
    inner = folder / "studies"
    notebooks = sorted((inner if inner.is_dir() else folder).glob("*.ipynb"))
    if not notebooks:
        raise HplabError(
            f"no executed notebook in {shown(inner)}: run `make execute` (trains what is missing)"
            " or `make book` (shows the committed records)"
        )
    return notebooks


def _reduce_toc(toc: dict[str, Any], book: Path, studies: set[str]) -> list[str]:
    """Take studies without a notebook out of the table of contents; other pages must be there."""
    missing = []
    for part in toc.get("parts", []):
        kept = []
        for chapter in part["chapters"]:
            name = chapter["file"]
            if name.startswith("studies/"):
                there = name.removeprefix("studies/") in studies
            elif not (there := (book / f"{name}.md").is_file()):
                raise HplabError(f"book/_toc.yml lists {name!r}, but there is no book/{name}.md")
            kept += [chapter] if there else []
            missing += [] if there else [name]
        part["chapters"] = kept
    toc["parts"] = [part for part in toc.get("parts", []) if part["chapters"]]
    return missing


def _chapter(toc: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a chapter of the table of contents; {} if there is none of that name."""
    chapters = (chapter for part in toc.get("parts", []) for chapter in part["chapters"])
    return next((chapter for chapter in chapters if chapter["file"] == name), {})


def _reference(toc: dict[str, Any]) -> dict[str, str]:
    """Return the pages of the reference, and put them below its overview in the contents."""
    overview = _chapter(toc, reference.FOLDER)
    if not overview:
        return {}
    made = reference.pages()
    overview["sections"] = [{"file": name} for name in made]
    return made


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()


# ---------------------------------------------------------------------------------------------
# Sphinx


def sphinx_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of Sphinx for the book that a `_config.yml` describes.

    The file is Jupyter Book 1's; what it names under `sphinx: config:` goes to Sphinx as it is.
    """
    html, repository = config.get("html", {}), config.get("repository", {})
    buttons = {name: value for name, value in html.items() if name.endswith("_button")}
    return {
        "html_title": config["title"],
        "author": config.get("author", ""),
        "copyright": config.get("copyright", ""),
        "extensions": list(EXTENSIONS),
        "external_toc_exclude_missing": config.get("only_build_toc_files", False),
        "bibtex_bibfiles": config.get("bibtex_bibfiles", []),
        "html_favicon": html.get("favicon", ""),
        "html_sourcelink_suffix": "",
        "html_theme": "sphinx_book_theme",
        "html_theme_options": {
            "repository_url": repository.get("url", ""),
            "repository_branch": repository.get("branch", ""),
            "path_to_docs": repository.get("path_to_book", ""),
            "launch_buttons": config.get("launch_buttons", {}),
            "home_page_in_toc": True,
            "search_bar_text": "Search this book...",
            **buttons,
        },
        "myst_enable_extensions": config.get("parse", {}).get("myst_enable_extensions", []),
        "myst_url_schemes": ["mailto", "http", "https"],
        "nb_execution_mode": config.get("execute", {}).get("execute_notebooks", "off"),
        "numfig": True,
        "suppress_warnings": ["myst.domains"],
        **config.get("sphinx", {}).get("config", {}),
    }


def _forget(source: Path, raw: Path) -> None:
    """Remove pages of an earlier build whose source is gone; Sphinx leaves them."""
    for path in _pages(raw):
        name = path.relative_to(raw).with_suffix("")
        if not any((source / name).with_suffix(kind).is_file() for kind in (".md", ".ipynb")):
            path.unlink()


def _run_sphinx(source: Path, out: Path, *, strict: bool) -> None:
    """Run Sphinx in its own process; with studies left out, some links may lead nowhere.

    Sphinx does not read a page again that it knows, so it would give each warning only once. What
    it knows is kept from clean builds of the whole book alone, and of the same table of contents:
    that stands on every page.
    """
    known = out.with_name("doctrees")
    clean, contents = known / "clean", (source / "_toc.yml").read_text(encoding="utf-8")
    if not clean.exists() or clean.read_text(encoding="utf-8") != contents:
        shutil.rmtree(known, ignore_errors=True)
    clean.unlink(missing_ok=True)
    lost = "suppress_warnings=myst.domains,myst.xref_missing,ref.doc,ref.ref"  # with the studies
    flags = ["-n", "-W", "--keep-going"] if strict else ["-D", lost]
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", *flags]
    command += ["-d", str(known), str(source), str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(places.CODE), *_python_path()])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode and (full := os.strerror(errno.ENOSPC)) in done.stderr:
        raise HplabError(f"the book was not built: {shown(out)}: {full}")  # not 153 warnings of it
    sys.stderr.write(done.stderr)
    if done.returncode:
        count = len(re.findall(r"\b(?:WARNING|ERROR)\b", done.stderr))
        raise HplabError(f"the book was not built: Sphinx gave {count} warnings, shown above")
    if strict:
        clean.write_text(contents, encoding="utf-8")


def _python_path() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [given] if given else []


# ---------------------------------------------------------------------------------------------
# The site


def assemble(
    raw: Path,
    out: Path,
    *,
    root: str,
    base: str = "",
    pictures: Mapping[str, tuple[bytes, str]] | None = None,
) -> None:
    """Make the site of what Sphinx wrote: start page, search index, and no file without a use.

    Args:
        raw: What Sphinx wrote.
        out: A folder that does not exist yet.
        root: The page that becomes index.html.
        base: Address of the site, with a slash at its end; "" where it is not known.
        pictures: What other sites show of a page: a PNG and what it shows, by the page's place.
    """
    raw, out = raw.resolve(), out.resolve()
    home = re.compile(rf'(href="(?:\.\./)*){re.escape(root)}(?=["#])')
    glossary = raw / "glossary.html"
    known = gloss.definitions(glossary.read_text("utf-8")) if glossary.is_file() else {}
    for path in _pages(raw):
        name = path.relative_to(raw).as_posix()
        if name == "index.html" != root:  # only sends readers on to the root page
            continue
        target = out / ("index.html" if name == root else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = access.mend(home.sub(r"\1index.html", path.read_text(encoding="utf-8")))
        text = gloss.add(text, known) if path != glossary else text
        to_root = "../" * name.count("/")
        text = explorer_data.with_script(link_seeds(link_claims(text, to_root), to_root))
        place = target.relative_to(out).as_posix()
        shown = _shown_elsewhere(place, pictures or {}, raw, out) if base else {}
        target.write_text(share.head(text, place, base=base, **shown), encoding="utf-8")
    pages = {path: audit.read(path) for path in _pages(out)}
    for path, page in pages.items():
        for target in audit.references(path, page):
            _bring(target, raw, out)
    ranked = sorted(pages, key=lambda path: (path.name != "index.html", path))
    found = [(path.relative_to(out).as_posix(), pages[path]) for path in ranked]
    index = audit.search_script(pair for pair in found if pair[0] != "search.html")
    (out / "_static" / "search-index.js").write_text(index, encoding="utf-8")
    if base:
        names = (path.relative_to(out).as_posix() for path in pages)
        (out / "sitemap.xml").write_text(share.sitemap(base, names), encoding="utf-8")
    (out / ".nojekyll").touch()


def _shown_elsewhere(
    place: str, pictures: Mapping[str, tuple[bytes, str]], raw: Path, out: Path
) -> dict[str, str]:
    """Put a page's picture into the site; return where it is and what it shows, if there is one."""
    if place not in pictures:
        _bring(out / share.COVER, raw, out)
        return share.COVER_SHOWS if (out / share.COVER).is_file() else {}
    picture, alt = pictures[place]
    file = out / "_static" / "share" / f"{Path(place).stem}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture)
    return {"picture": file.relative_to(out).as_posix(), "alt": alt}


def link_claims(page: str, to_root: str) -> str:
    """Return a page on which each name of a claim leads to the claim in the ledger.

    A notebook by itself has no ledger to lead to, so names become links only in the book.
    """
    return _CLAIM.sub(rf'<a class="hp-claim"\1 href="{to_root}ledger.html#\2">\2</a>', page)


def link_seeds(page: str, to_root: str) -> str:
    """Return a page on which the numbers under a verdict lead to the calculator that has them."""
    address = rf"{to_root}how-many-seeds.html?margin=\1&amp;sd=\2#the-calculator"
    return _SEEDS.sub(rf'<a href="{address}">\3</a>', page)


def _pages(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.html") if "_static" not in p.relative_to(folder).parts)


def _bring(target: Path, raw: Path, out: Path) -> None:
    """Copy a file from Sphinx's output to the site, and with it what it needs in turn."""
    if target.exists() or not target.is_relative_to(out):
        return
    origin = raw / target.relative_to(out)
    if not origin.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(origin, target)
    if origin.suffix == ".css":
        for address in audit.css_addresses(origin.read_text(encoding="utf-8")):
            if found := audit.local_target(address, target):
                _bring(found[0], raw, out)
    for licence in origin.parent.glob("LICENSE*"):
        _bring(target.with_name(licence.name), raw, out)
