"""Only a notebook that really ran to its end may reach the book, and no process may outlive it."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import psutil
import pytest

from hplab.pages.notebooks import execute, ipynb, verify
from hplab.pages.notebooks import process as papermill_process
from hplab.trial import HplabError

pytestmark = [pytest.mark.xdist_group("kernels"), pytest.mark.timeout(300)]

FRONT = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A page
"""
PARAMETERS = ["parameters", 'preset = "laptop"\nn_seeds = None']
FAULTY = {
    "raise": "print('before')\nraise ValueError('a wrong value')",
    "sigkill": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "os-exit": "import os\nos._exit(0)",
    "sys-exit": "import sys\nsys.exit(0)",
    "grandchild": "import subprocess\n"
    "left = subprocess.Popen(['sleep', '300'], start_new_session=True)",
    "command": "!ls no-such-file",
    "caught-command": "listed = !ls no-such-file",
    "pip": "%pip install -q --no-index no-such-package",
}
SLOW = {
    "timeout": "import time\ntime.sleep(300)",
    "hang": "import signal, time\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "while True:\n    time.sleep(1)",
}
GOOD = "import sys\nprint('at work', file=sys.stderr)\npreset, n_seeds"


def page(folder, name, *sources):
    """Write a study page whose code cells are the given sources, after the parameters cell."""
    cells = [":tags: [parameters]\n\n" + PARAMETERS[1], *sources, "'the last cell'"]
    text = FRONT + "".join(f"\n```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells)
    path = folder / f"{name}.md"
    path.write_text(text, encoding="utf-8")
    return path


def alive(variable, value):
    """Return the processes, other than zombies, that carry an environment variable."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value and process.status() != "zombie":
                found.append(papermill_process.describe(process))
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Run ten faulty notebooks and a good one; return the outcomes by name, and more."""
    folder = tmp_path_factory.mktemp("batch")
    pages = {name: page(folder, name, code) for name, code in {**FAULTY, **SLOW}.items()}
    pages["good"] = page(folder, "good", GOOD)
    out = folder / "executed"
    out.mkdir()
    for name in pages:
        (out / f"{name}.ipynb").write_text("the previous one")
    said = []
    options = {
        "at_once": 4,
        "env": {"HPLAB_TEST": str(folder)},
        "faults": folder / "faults",
        "say": said.append,
    }
    slow = [pages[name] for name in SLOW]
    quick = [path for path in pages.values() if path not in slow]
    with ThreadPoolExecutor(1) as pool:
        limited = pool.submit(execute.run_all, slow, out, timeout_s=3, **options)
        outcomes = execute.run_all(quick, out, {"preset": "smoke"}, **options)
        outcomes += limited.result()
    return {outcome.name: outcome for outcome in outcomes}, folder, said


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_160_notebooks_six_at_a_time_none_fails_to_start(tmp_path):
    """Kernels that talk over TCP take each other's ports, about once in eighty starts."""
    pages = [page(tmp_path, f"page-{i}", GOOD) for i in range(160)]
    outcomes = execute.run_all(pages, tmp_path / "executed", at_once=6, say=lambda line: None)

    assert [outcome.fault for outcome in outcomes] == [None] * 160


@pytest.mark.parametrize("name", [*FAULTY, *SLOW])
def test_a_faulty_notebook_is_flagged_and_leaves_the_previous_one_whole(batch, name):
    outcomes, _, _ = batch

    assert outcomes[name].fault is not None
    assert outcomes[name].out.read_text() == "the previous one"
    assert name in execute.index(list(outcomes.values()))
    assert outcomes[name].kept.exists()


@pytest.mark.parametrize(
    ("name", "cell", "what"),
    [
        ("raise", 3, "ValueError: a wrong value"),
        ("sigkill", 3, "DeadKernelError"),
        ("os-exit", 3, "DeadKernelError"),
        ("sys-exit", 3, "SystemExit"),
        ("grandchild", None, "sleep 300"),
        ("command", 3, "CalledProcessError: Command 'ls no-such-file' returned"),
        ("caught-command", 3, "CalledProcessError: Command 'ls no-such-file' returned"),
        ("pip", 3, "pip install -q --no-index no-such-package' returned"),
        ("timeout", 3, "timed out|took longer"),
        ("hang", 3, "timed out|took longer"),
    ],
)
def test_the_fault_names_the_cell_of_the_page_and_the_cause(batch, name, cell, what):
    fault = batch[0][name].fault

    assert fault.cell == cell
    assert any(part in fault.what for part in what.split("|")), fault


@pytest.mark.parametrize("name", ["command", "caught-command", "pip"])
def test_a_failed_shell_command_is_told_in_one_line(batch, name):
    fault = batch[0][name].fault

    assert (len(fault.what.splitlines()), fault.trace) == (1, "")


def test_the_good_notebook_is_verified_and_stamped(batch):
    outcome = batch[0]["good"]
    notebook = ipynb.read(outcome.out)

    assert outcome.fault is None
    assert verify.verify(notebook) == []
    stamp = notebook.metadata["hplab"]
    assert stamp["source"] == ipynb.source_digest(ipynb.read(batch[1] / "good.md"))
    assert stamp["preset"] == "smoke"
    assert {"code", "device", "started", "seconds"} < set(stamp)
    assert notebook.cells[3].outputs[1].data["text/plain"] == "('smoke', None)"


def test_the_injected_cell_is_hidden_and_no_path_of_this_machine_is_left(batch):
    out = batch[0]["good"].out
    injected = [
        cell
        for cell in ipynb.read(out).cells
        if "injected-parameters" in cell.metadata.get("tags", [])
    ]

    assert [cell.metadata["tags"][-1] for cell in injected] == ["remove-cell"]
    assert str(batch[1]) not in out.read_text()


def test_no_process_outlives_the_batch(batch):
    assert alive("HPLAB_TEST", str(batch[1])) == []


def test_progress_is_told_line_by_line_under_the_name_of_the_page(batch):
    assert {"good: started", "good: at work"} <= set(batch[2])
    assert any(line.startswith("good: verified after") for line in batch[2])


def test_the_index_shows_the_end_of_the_traceback(batch):
    text = execute.index([batch[0]["good"], batch[0]["raise"]])

    assert "raise, cell 3: ValueError: a wrong value" in text
    assert "raise ValueError('a wrong value')" in text
    assert "good" not in text.replace(str(batch[1]), "")


def test_a_long_traceback_is_cut_to_the_cell_and_the_end():
    library = [f"File library.py:{number}" for number in range(50)]
    lines = ["Traceback", "Cell In[2], line 3", "----> 3 hp.run(trials)", "", *library, "E: no"]
    error = nbformat.v4.new_output(
        "error", ename="E", evalue="no", traceback=["\x1b[31m" + "\n".join(lines)]
    )
    cell = nbformat.v4.new_code_cell("hp.run(trials)", outputs=[error])

    fault = verify.verify(nbformat.v4.new_notebook(cells=[cell]))[0]

    assert (fault.cell, fault.what) == (1, "E: no")
    assert fault.trace.splitlines() == [*lines[1:7], "...", *library[-6:]]


MUTANTS = {
    "no count": lambda cell: cell.update(execution_count=None),
    "no reply": lambda cell: cell.metadata["execution"].pop("shell.execute_reply"),
    "pending": lambda cell: cell.metadata["papermill"].update(status="pending"),
    "no status": lambda cell: cell.metadata.pop("papermill"),
    "error": lambda cell: cell.outputs.append(
        nbformat.v4.new_output("error", ename="E", evalue="", traceback=["E"])
    ),
    "marked": lambda cell: cell.metadata.update(tags=["papermill-error-cell-tag"]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_no_single_sign_of_a_fault_is_overlooked(batch, name):
    notebook = ipynb.read(batch[0]["good"].out)

    MUTANTS[name](notebook.cells[-1])

    assert verify.verify(notebook)


def test_an_empty_code_cell_needs_no_run(batch):
    notebook = ipynb.read(batch[0]["good"].out)
    notebook.cells.append(nbformat.v4.new_code_cell("\n"))

    assert verify.verify(notebook) == []


def test_an_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    source = page(tmp_path, "01-topic", GOOD)

    with pytest.raises(HplabError, match=r"'n_seed'.*01-topic.md.*n_seeds, preset.*'n_seeds'"):
        execute.run_all([source], tmp_path / "out", {"n_seed": 3}, say=pytest.fail)


def test_the_text_counts_where_the_pair_differs(tmp_path):
    source = page(tmp_path, "01-topic", "'from the text'")
    notebook = ipynb.fresh(ipynb.read(source))
    notebook.cells[2].source = "'from the notebook'"
    source.with_suffix(".ipynb").write_text(ipynb.dumps(notebook))

    prepared = execute.prepare(source.with_suffix(".ipynb"), {})

    assert prepared.cells[2].source == "'from the text'"


def test_many_short_cells_cannot_outlast_the_limit_together(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "_MARGIN_S", 1.0)
    source = page(tmp_path, "01-topic", *["import time\ntime.sleep(1.5)"] * 30)

    outcome = execute.run(
        source, tmp_path / "out.ipynb", env={"HPLAB_TEST": str(tmp_path)}, timeout_s=3
    )

    assert "the notebook took longer than 3 s" in outcome.fault.what
    assert alive("HPLAB_TEST", str(tmp_path)) == []


KILLED_IN_SAVE = """
import os, signal, sys
from pathlib import Path
from hplab.pages.notebooks import execute
write = os.write
def half(handle, data):
    write(handle, bytes(data)[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = half
execute.run(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_kill_during_the_save_leaves_the_previous_notebook_whole(batch, tmp_path):
    out = tmp_path / "good.ipynb"
    out.write_bytes(batch[0]["good"].out.read_bytes())

    killed = subprocess.run(
        [sys.executable, "-c", KILLED_IN_SAVE, str(batch[1] / "good.md"), str(out)],
        env={**os.environ, "HPLAB_TEST": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    )

    assert killed.returncode == -signal.SIGKILL
    assert out.read_bytes() == batch[0]["good"].out.read_bytes()
    assert [path.name for path in tmp_path.glob("*.ipynb")] == ["good.ipynb"]


def test_killing_the_runner_in_mid_notebook_leaves_no_process(tmp_path):
    started = tmp_path / "started"
    code = f"{FAULTY['grandchild']}\nopen({str(started)!r}, 'w').close()\n{SLOW['hang']}"
    source = page(tmp_path, "01-topic", code)
    runner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from hplab.pages.notebooks import execute;"
            "execute.run(Path(sys.argv[1]), Path(sys.argv[2]))",
            str(source),
            str(tmp_path / "out.ipynb"),
        ],
        env={**os.environ, "HPLAB_TEST": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(alive("HPLAB_TEST", str(tmp_path))) == 4  # runner, papermill, kernel, sleep

    runner.kill()
    runner.wait()

    deadline = time.monotonic() + 10
    while alive("HPLAB_TEST", str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive("HPLAB_TEST", str(tmp_path)) == []
    assert not (tmp_path / "out.ipynb").exists()
