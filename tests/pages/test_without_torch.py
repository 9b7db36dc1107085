"""A page that shows what is recorded needs no torch, which takes longer to import than the page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = sorted(Path(__file__).parents[2].glob("book/studies/*.md"))
# Cells that compute with torch themselves, by their first line: a page's own demonstration.
WITH_TORCH = {
    # compares the gradients of torch's cross-entropy and KL divergence on made-up logits
    "06-kl-plateau": ["draw = torch.Generator().manual_seed(0)"],
}
# Runs the cells of pages in a process where torch is refused; prints the cells left out.
SCRIPT = """
import ast, contextlib, importlib.abc, io, json, os, sys
from pathlib import Path

class Refusal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ImportError(f"{name} is refused here")

sys.meta_path.insert(0, Refusal())
from hplab.pages.notebooks import ipynb

left_out = {}
for page in map(Path, sys.argv[1:]):
    os.chdir(page.parent)
    names = {}
    for cell in ipynb.read(page).cells:
        if cell.cell_type != "code" or "!git" in cell.source:
            continue
        lines = cell.source.splitlines()
        imports = [s for s in lines if s.startswith(("import torch", "from torch"))]
        source = "\\n".join(s for s in lines if s not in imports)
        read = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        if read & {"torch", "functional"}:
            left_out.setdefault(page.stem, []).append(lines[0])
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, page.stem, "exec"), names)
assert "torch" not in sys.modules
print(json.dumps(left_out))
"""


# The first page judges a whole report, which takes as long as all others.
FIRST, OTHERS = STUDIES[:1], STUDIES[1:]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "pages", [OTHERS, pytest.param(FIRST, marks=pytest.mark.slow)], ids=["others", "first"]
)
def test_recorded_pages_are_shown_without_torch(pages, monkeypatch):
    monkeypatch.setenv("HPLAB_MODE", "cached")
    monkeypatch.setenv("MPLBACKEND", "agg")

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, pages)], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr[-3000:]
    listed = {page.stem: WITH_TORCH[page.stem] for page in pages if page.stem in WITH_TORCH}
    assert json.loads(done.stdout) == listed


def test_a_page_that_trains_would_be_found(tmp_path, monkeypatch):
    """What the test above rests on: a cell that asks for torch by way of hplab fails."""
    page = tmp_path / "09-made.md"
    page.write_text("```{code-cell}\nimport hplab as hp\nhp.train\n```\n")

    done = subprocess.run([sys.executable, "-c", SCRIPT, str(page)], capture_output=True, text=True)

    assert done.returncode != 0
    assert "torch is refused here" in done.stderr
