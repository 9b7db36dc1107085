"""The studies in a real JupyterLab: run, look, play, stop, edit and save, as a reader does."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest
from doors_tree import PRESET, ROOT, copy_to, git

from hplab.pages.notebooks import pairing

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [pytest.mark.doors, pytest.mark.timeout(1200)]
STUDIES = [page.stem for page in pairing.pages(ROOT / "book" / "studies")]
TOKEN = "a-token-of-this-test"

# What the tests ask of the page. `app` is JupyterLab itself: the server is told to expose it.
HELPERS = """
window.hp = {
  async open(name, factory) {
    const path = `book/studies/${name}`;
    const widget = await window.jupyterapp.commands.execute('docmanager:open', {path, factory});
    await widget.context.ready;
    await widget.sessionContext.ready;
    return widget;
  },
  widget(name) {
    return [...window.jupyterapp.shell.widgets('main')]
      .find((w) => w.context && w.context.path.endsWith(name));
  },
  show(name) { window.jupyterapp.shell.activateById(this.widget(name).id); },
  cells(name) { return this.widget(name).content.widgets; },
  cell(name, start) {
    return this.cells(name).find((c) => c.model.sharedModel.getSource().includes(start));
  },
  change(name, old, fresh) {
    const model = this.cell(name, old).model.sharedModel;
    model.setSource(model.getSource().replace(old, fresh));
  },
  async run(name) {
    this.show(name);
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
  },
  outputs(name) {
    return this.cells(name).filter((c) => c.model.type === 'code')
      .flatMap((c) => c.model.outputs.toJSON());
  },
  async save(name) {
    const context = this.widget(name).context;
    try { await context.save(); } catch (error) { return String(error); }
    return context.model.dirty ? 'not saved' : '';
  },
  async theme(name) {
    await window.jupyterapp.commands.execute('apputils:change-theme', {theme: name});
  },
};
"""
# The worst contrast of the words in verdicts, figures and tables with what is behind them.
CONTRAST = """
(name) => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (css) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const s = c[i] / 255;
    return sum + weight * (s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4);
  }, 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = {};
  const root = window.hp.widget(name).node;
  for (const kind of ['.hp-verdict-word', '.hp-verdict-reason', '.hp-verdict-own',
                      '.hp-figure svg text', '.hp-figure figcaption', '.hp-table td']) {
    for (const e of root.querySelectorAll(kind)) {
      const style = getComputedStyle(e);
      const ink = light(rgba(e.closest('svg') ? style.fill : style.color));
      const paper = light(ground(e));
      const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
      found[kind] = Math.min(found[kind] ?? 99, ratio);
    }
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of this checkout, for JupyterLab to write into."""
    return copy_to(tmp_path_factory.mktemp("lab") / "hplab")


@pytest.fixture(scope="module")
def lab(repository):
    """A JupyterLab started as `make lab` starts it, in a copy of this checkout; its address."""
    pending = ROOT / ".hplab" / "pending"
    if pending.is_dir():  # what is trained already need not be trained again
        shutil.copytree(pending, repository / ".hplab" / "pending")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = _told_by_make("lab")
    start = told.replace("\\\n", " ").splitlines()[-1].replace(".venv/bin", f"{ROOT}/.venv/bin")
    options = "--no-browser --allow-root --LabApp.expose_app_in_browser=True"
    options += f" --ServerApp.port={port} --IdentityProvider.token={TOKEN}"
    hidden = dict.fromkeys(("HPLAB_RESULTS", "HPLAB_MODE", "HPLAB_STATIC", "CI"))
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    log = repository.parent / "lab.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            f"exec {start} {options}", shell=True, cwd=repository, stdout=file, stderr=file,
            env=environment | {"HPLAB_OFFLINE": "1", "JUPYTER_CONFIG_DIR": str(repository.parent)},
            start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/status?token={TOKEN}", log)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def _told_by_make(target):
    """The commands of a make target, also where make runs these tests."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-n", target]
    return subprocess.run(command, cwd=ROOT, env=ours, capture_output=True, text=True).stdout


def _wait_for(url, log):
    for _ in range(120):
        try:
            return urllib.request.urlopen(url).close()
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def page(lab):
    """JupyterLab's page in a browser."""
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "CI needs Chromium: apt-get install chromium"
        pytest.skip("needs Chromium: no chromium on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(240_000)
        page.goto(f"{lab}/lab/tree/book/studies?token={TOKEN}")
        page.wait_for_function("window.jupyterapp && window.jupyterapp.shell")
        page.evaluate("window.jupyterapp.restored")
        page.evaluate(HELPERS)
        yield page
        browser.close()


def run_all(page, study):
    """Open a study and run all of it on the preset of the tests, whose name is not saved."""
    name = f"{study}.ipynb"
    page.evaluate("(name) => window.hp.open(name).then(() => null)", name)
    page.evaluate("([n, p]) => window.hp.change(n, 'preset = \"laptop\"', p)", [name, preset()])
    page.evaluate("(name) => window.hp.run(name)", name)
    page.evaluate("([n, p]) => window.hp.change(n, p, 'preset = \"laptop\"')", [name, preset()])
    return page.evaluate("(name) => window.hp.outputs(name)", name)


def preset():
    return f"preset = {json.dumps(PRESET)}"


def html_of(outputs):
    found = [o.get("data", {}).get("text/html", "") for o in outputs]
    return ["".join(text) for text in found if text]


def close(page, name):
    page.evaluate("(name) => window.hp.widget(name).sessionContext.shutdown()", name)
    page.evaluate("(name) => window.hp.widget(name).dispose()", name)


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_runs_shows_and_saves_without_a_change(page, repository, study):
    name = f"{study}.ipynb"
    outputs = run_all(page, study)

    assert [o for o in outputs if o["output_type"] == "error"] == []
    first = "".join(outputs[0]["data"]["text/markdown"])
    assert first.startswith("**In short.**")
    assert "…" not in first
    n_figures = sum('<figure class="hp-figure">' in text for text in html_of(outputs))
    assert n_figures >= 3
    assert page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .hp-figure svg").count() >= 3
    prose = page.evaluate("(name) => window.hp.widget(name).node.innerText", name)
    assert not re.search(r"\{(glue|cite|doc)|^\(study-|^: ", prose, re.M)
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        page.evaluate("(theme) => window.hp.theme(theme)", theme)
        light = "true" if theme.endswith("Light") else "false"
        page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")
        page.wait_for_timeout(300)
        ratios = page.evaluate(CONTRAST, name)
        assert ".hp-figure svg text" in ratios
        assert {kind: ratio for kind, ratio in ratios.items() if ratio < 4.5} == {}, theme
    assert page.evaluate("(name) => window.hp.save(name)", name) == ""
    assert git(repository, "status", "--porcelain") == ""
    close(page, name)


def test_the_explorer_redraws_what_is_chosen(page):
    run_all(page, STUDIES[0])
    explorer = page.locator(".jupyter-widgets.widget-vbox").last

    explorer.locator("select").nth(1).select_option(label="validation loss")

    explorer.locator("figcaption", has_text="Validation loss").wait_for()
    close(page, f"{STUDIES[0]}.ipynb")


def test_a_stop_is_one_line_and_keeps_what_is_finished(page, repository):
    name, pending = f"{STUDIES[0]}.ipynb", repository / ".hplab" / "pending"
    pending.mkdir(parents=True, exist_ok=True)
    n_before = len(list(pending.iterdir()))
    page.evaluate("(name) => window.hp.open(name).then(() => null)", name)
    page.evaluate("(n) => window.hp.change(n, '\"laptop\"', '\"smoke\"')", name)
    page.evaluate("(n) => window.hp.change(n, 'n_seeds = None', 'n_seeds = 400')", name)
    page.evaluate("(n) => window.hp.change(n, 'range(20)', 'range(400)')", name)
    page.evaluate("(name) => {window.stopped = window.hp.run(name)}", name)
    for _ in range(120):
        page.wait_for_timeout(500)
        if len(list(pending.iterdir())) > n_before:
            break
    page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    page.evaluate("window.stopped.catch(() => null)")

    outputs = page.evaluate("(name) => window.hp.outputs(name)", name)
    (error,) = [o for o in outputs if o["output_type"] == "error"]
    (line,) = error["traceback"]
    kept = re.match(r"Stopped: (\d+) of the (\d+) trials that were missing are trained", line)
    assert kept, line
    assert 0 < int(kept[1]) < int(kept[2])
    close(page, name)


def test_an_edit_in_the_notebook_is_in_the_text_after_a_save(page, repository):
    name, text = f"{STUDIES[0]}.ipynb", repository / "book" / "studies" / f"{STUDIES[0]}.md"
    page.evaluate("(name) => window.hp.open(name).then(() => null)", name)
    edit = "([name, old, fresh]) => window.hp.change(name, old, fresh)"
    page.evaluate(edit, [name, "Each setting was run once.", "Each was run once."])
    assert page.evaluate("(name) => window.hp.save(name)", name) == ""
    changed = git(repository, "diff", "--stat")
    assert "Each was run once. In this book" in text.read_text()
    assert "{cite}`kant2025`" in text.read_text()
    assert [str(problem) for problem in pairing.check(text.parent)] == []
    page.evaluate(edit, [name, "Each was run once.", "Each setting was run once."])
    assert page.evaluate("(name) => window.hp.save(name)", name) == ""
    assert (changed != "", git(repository, "diff", "--stat")) == (True, "")

    page.evaluate(edit, [name, "[Kant, 2025]", "[Kant, 2026]"])
    page.evaluate("(name) => {window.refused = window.hp.save(name)}", name)
    page.locator(".jp-Dialog", has_text="kant2025").wait_for()
    page.locator(".jp-Dialog button").last.click()
    assert git(repository, "status", "--porcelain") == ""
    close(page, name)


def test_a_text_opened_as_a_notebook_and_saved_is_unchanged(page, repository):
    name = f"{STUDIES[1]}.md"
    page.evaluate("(name) => window.hp.open(name, 'Jupytext Notebook').then(() => null)", name)

    assert page.evaluate("(name) => window.hp.save(name)", name) == ""
    assert git(repository, "status", "--porcelain") == ""
    close(page, name)
