"""Take the two pictures of the book that stand outside it: README's and that of a shared link.

    python tools/pictures.py _build/html

Needs Chromium and the Python package playwright. Both pictures go to book/_static.
"""

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

STATIC = Path(__file__).resolve().parents[1] / "book" / "_static"
# Title and cover beside each other, 1200 by 630 as sites show it.
CARD = """() => {
  const title = document.querySelector("h1").firstChild.textContent;
  const lead = "Claims of four reports, put to runs with more than one seed.";
  const cover = document.querySelector("figure.hp-figure svg");
  document.body.innerHTML = "";
  document.body.style.cssText =
    "display:flex;gap:44px;align-items:center;padding:0 36px 0 56px;height:630px";
  const words = document.createElement("div");
  words.innerHTML = "<h1></h1><p></p><p><b>hplab</b></p>";
  words.style.cssText = "flex:1;font:400 27px/1.35 var(--hp-sans)";
  words.querySelector("h1").textContent = title;
  words.querySelector("h1").style.cssText = "font:600 50px/1.15 var(--hp-serif);margin:0 0 28px";
  words.querySelector("p").textContent = lead;
  cover.style.cssText = "height:600px;width:auto;flex:none";
  document.body.append(words, cover);
}"""


def main(site: Path) -> None:
    """Take both pictures of a built book."""
    start = (site / "index.html").resolve().as_uri()
    with sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1180, "height": 1330}, color_scheme="light")
        page.goto(start)
        page.wait_for_timeout(500)  # fonts
        page.screenshot(path=STATIC / "readme-book.png")
        page.set_viewport_size({"width": 1200, "height": 630})
        page.evaluate(CARD)
        page.screenshot(path=STATIC / "cover.png")
        browser.close()
    for name in ("readme-book.png", "cover.png"):
        with Image.open(STATIC / name) as picture:
            few = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
        few.save(STATIC / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
