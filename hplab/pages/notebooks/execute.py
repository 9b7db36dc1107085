"""Runs study notebooks with papermill and lets only verified ones through.

papermill's own account cannot be trusted: after a killed kernel, a timeout or `sys.exit(0)` it
reports every cell as completed. So each notebook runs in a process of its own, is written to a
private folder, is read again by `verify`, and only then takes its place among the executed ones.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from nbformat import NotebookNode

from hplab import places
from hplab.pages.notebooks import ipynb, uptodate
from hplab.pages.notebooks import process as papermill_process
from hplab.pages.notebooks.verify import TRACE_LINES, Fault, verify
from hplab.sweeps.records import shown, write_whole
from hplab.sweeps.store import Store
from hplab.trial import HplabError, unknown

TIMEOUT_S = 3600.0
_START_TIMEOUT_S = 120
_MARGIN_S = 120.0  # to start and stop, on top of a limit; papermill ends a slow cell by itself
_LEFT_BEHIND_S = 3.0  # how long after its kernel a helper process may take to end by itself

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """One notebook's run: `fault` is None exactly when `out` is this run's verified notebook."""

    name: str
    out: Path
    seconds: float
    fault: Fault | None = None
    kept: Path | None = None  # the faulty notebook, for a look at what ran
    ran: bool = True  # False: `out` was made of the same things before, and stayed


@dataclass(frozen=True)
class _Job:
    """What one papermill process needs to know, and the private folder it works in."""

    name: str
    folder: Path
    env: Mapping[str, str]
    timeout_s: float | None
    say: Say
    stop: threading.Event

    @property
    def output(self) -> Path:
        return self.folder / "out.ipynb"


def to_stderr(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------------------------
# Running


def run(
    source: Path,
    out: Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = TIMEOUT_S,
    cwd: Path | None = None,
    faults: Path | None = None,
    store: Store | None = None,
    say: Say = to_stderr,
    stop: threading.Event | None = None,
) -> Outcome:
    """Execute one study and put the notebook at `out` if, and only if, every cell really ran.

    Args:
        source: The study's `.md` or `.ipynb`; where both lie side by side the `.md` counts.
        out: Where the verified notebook goes; after a fault this file is left as it was.
        parameters: Values for names of the notebook's `parameters` cell.
        env: Environment variables of the kernel, on top of this process's.
        timeout_s: Limit for the whole notebook, in seconds; None for no limit. A cell that runs
            longer is ended at once, the sum of all is looked at with two minutes to spare.
        cwd: Folder the notebook runs in (default: its own, as in JupyterLab).
        faults: Folder that keeps a faulty notebook, for a look at what ran.
        store: Where the kernel reads records. If given, a page that would come out as it is
            (`hplab.pages.notebooks.uptodate`) is not run again.
        say: Takes each line of progress.
        stop: When set, the run is ended; for runs in threads.

    Raises:
        HplabError: If the notebook cannot be read or a parameter is not one of its own.
    """
    given = dict(parameters or {})
    notebook = prepare(source, given)
    digest = uptodate.ingredients(notebook, given, env or {}, store) if store else None
    if store and uptodate.is_current(out, digest, store):
        say(f"{source.stem}: nothing changed since it was verified")
        return Outcome(source.stem, out, 0.0, ran=False)
    say(f"{source.stem}: started")
    started, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
    kept = faults / f"{source.stem}.ipynb" if faults else None
    with _workspace() as folder:
        job = _Job(source.stem, folder, env or {}, timeout_s, say, stop or threading.Event())
        _write_job(job, notebook, given, cwd or source.resolve().parent)
        fault = _attempt(job)
        seconds = time.monotonic() - clock
        if fault is None:
            times = {"started": started.isoformat(timespec="seconds"), "seconds": round(seconds, 1)}
            made_of = {}
            if store and digest:
                store.refresh()
                made_of = {"ingredients": digest, "stand_ins": uptodate.stand_ins(store)}
            executed = _finished(ipynb.read(job.output), ipynb.parameters(notebook) | given)
            executed.metadata["hplab"].update(times | made_of)
            write_whole(out, ipynb.dumps(executed).encode())
        if kept:
            _keep(job.output if fault else None, kept)
    say(f"{source.stem}: {'FAULT' if fault else 'verified'} after {seconds:.1f} s")
    return Outcome(source.stem, out, seconds, fault, kept if kept and kept.exists() else None)


def run_all(
    sources: Sequence[Path],
    out_dir: Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    at_once: int = 1,
    **options: Any,
) -> list[Outcome]:
    """Execute several studies, going on after a fault so that one call reports all of them.

    `options` are those of `run`. More than one `at_once` suits pages that only read records;
    training uses the cores itself.
    """
    for source in sources:  # a mistake in the last is told before an hour went into the first
        prepare(source, parameters or {})
    stop = threading.Event()
    one = functools.partial(run, parameters=parameters, stop=stop, **options)
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(one, path, out_dir / f"{path.stem}.ipynb") for path in sources]
        try:
            return [future.result() for future in futures]
        except BaseException:  # an interrupt too: end the others before it goes on
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def prepare(source: Path, parameters: Mapping[str, Any]) -> NotebookNode:
    """Return the study as a fresh notebook, after checking that it knows every parameter.

    Raises:
        HplabError: If a parameter's name is not assigned in the `parameters` cell.
    """
    page = source.with_suffix(".md")
    notebook = ipynb.read(page if page.exists() else source)
    try:
        known = ipynb.parameters(notebook)
    except HplabError as error:
        raise HplabError(f"{source.name}: {error}") from None
    for name in parameters:
        if name not in known:
            raise unknown("parameter", name, known, where=source.name)
    return ipynb.fresh(notebook)


def index(outcomes: Sequence[Outcome]) -> str:
    """Return the list of faults: notebook, cell and the last lines of each traceback."""
    lines = []
    for outcome in outcomes:
        if outcome.fault is None:
            continue
        place = f", cell {outcome.fault.cell}" if outcome.fault.cell else ""
        lines.append(f"{outcome.name}{place}: {outcome.fault.what}")
        lines += [f"    {line}" for line in outcome.fault.trace.splitlines()]
        if outcome.kept:
            lines.append(f"    what ran: {shown(outcome.kept)}")
    return "\n".join(lines)


def _attempt(job: _Job) -> Fault | None:
    """Run a job; a kernel that never started gets a second chance, a cell never does."""
    fault = _process(job)
    if fault is None or fault.cell is not None or _any_cell_began(job.output):
        return fault
    job.say(f"{job.name}: the kernel did not start ({fault.what}); trying once more")
    return _process(job)


def _process(job: _Job) -> Fault | None:
    """Run papermill once in a session of its own, end all that it started, judge the result."""
    mark = uuid.uuid4().hex
    for stale in ("out.ipynb", "fault"):
        (job.folder / stale).unlink(missing_ok=True)
    child = _start(job, mark)
    relay = threading.Thread(target=_relay, args=(child, job), daemon=True)
    relay.start()
    left: list[str] = []
    try:
        in_time = _wait(child, job)
        if in_time and child.returncode == 0:
            rest = papermill_process.wait_until_gone(mark, _LEFT_BEHIND_S)
            left = [papermill_process.describe(process) for process in rest]
    finally:
        papermill_process.end(mark)
        child.wait()
        relay.join(timeout=5)
        cast(IO[str], child.stdin).close()
    fault = _judge(job, child.returncode)
    if not in_time:
        where = fault.cell if fault else None
        return Fault(where, f"the notebook took longer than {job.timeout_s:g} s and was ended")
    if fault is None and left:
        return Fault(None, f"left {len(left)} process(es) running, now ended: {'; '.join(left)}")
    return fault


def _start(job: _Job, mark: str) -> subprocess.Popen[str]:
    with (job.folder / "log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", papermill_process.__name__, str(job.folder / "job.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            errors="replace",
            env=_environment(job, mark),
            start_new_session=True,
        )


def _environment(job: _Job, mark: str) -> dict[str, str]:
    """Return the kernel's environment: this one's, without what would make two machines differ."""
    mine = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    private = {
        "IPYTHONDIR": str(job.folder / "ipython"),  # no start-up files or history of the user's
        "JUPYTER_RUNTIME_DIR": str(job.folder / "runtime"),
        "TQDM_DISABLE": "1",  # progress comes as lines; bars would fill the notebook
        places.STUDY: job.name,
        places.EXECUTION: mark,
    }
    return mine | private | dict(job.env)


def _relay(child: subprocess.Popen[str], job: _Job) -> None:
    with cast(IO[str], child.stdout) as lines:
        for line in lines:
            if line.strip():
                job.say(f"{job.name}: {line.rstrip()}")


def _wait(child: subprocess.Popen[str], job: _Job) -> bool:
    """Wait for the child and return True, or False when it runs past the limit.

    Raises:
        KeyboardInterrupt: If the run was told to stop.
    """
    limit = float("inf") if job.timeout_s is None else job.timeout_s + _MARGIN_S
    deadline = time.monotonic() + limit
    while not job.stop.is_set():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=0.2)
            return True
        if time.monotonic() > deadline:
            return False
    raise KeyboardInterrupt


# ---------------------------------------------------------------------------------------------
# Judging


def _judge(job: _Job, returncode: int) -> Fault | None:
    """Return the first fault of a finished process, or None if its notebook is verified."""
    told = job.folder / "fault"
    reason = told.read_text(encoding="utf-8").strip() if told.exists() else ""
    summary = reason.splitlines()[0] if reason else ""
    try:
        faults = verify(ipynb.read(job.output))
    except HplabError:  # nothing was written, or only half of it
        log = (job.folder / "log").read_text(encoding="utf-8", errors="replace")
        trace = "\n".join((reason or log).splitlines()[-TRACE_LINES:])
        return Fault(None, summary or f"papermill ended with {returncode}", trace)
    if faults and (not summary or summary.startswith("PapermillExecutionError")):
        return faults[0]
    if faults:  # the kernel died or was ended: only the exception says which
        return Fault(faults[0].cell, summary, faults[0].trace)
    if returncode:
        return Fault(None, summary or f"papermill ended with {returncode}")
    return None


def _any_cell_began(path: Path) -> bool:
    """Return whether a kernel took up a cell of the notebook that papermill was writing."""
    try:
        cells = ipynb.read(path).cells
    except HplabError:
        return False
    return any(cell.metadata.get("execution") or cell.get("outputs") for cell in cells)


# ---------------------------------------------------------------------------------------------
# Files


@contextlib.contextmanager
def _workspace() -> Iterator[Path]:
    """Give a private folder whose path is short enough for sockets, and remove it afterwards."""
    base = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="hp", dir=base if len(base) < 60 else "/tmp")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_job(job: _Job, notebook: NotebookNode, parameters: Mapping, cwd: Path) -> None:
    (job.folder / "in.ipynb").write_text(ipynb.dumps(notebook), encoding="utf-8")
    description = {
        "parameters": parameters,
        "timeout_s": job.timeout_s,
        "start_timeout_s": _START_TIMEOUT_S,
        "cwd": str(cwd),
    }
    (job.folder / "job.json").write_text(json.dumps(description))


def _finished(notebook: NotebookNode, parameters: Mapping[str, Any]) -> NotebookNode:
    """Return a verified notebook as the book takes it: stamped, injected cell hidden, no paths."""
    from hplab.sweeps import provenance

    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "remove-cell"]
    for name in ("input_path", "output_path", "environment_variables"):
        notebook.metadata["papermill"].pop(name, None)
    notebook.metadata["hplab"].update(
        code=provenance.code_digest(),
        preset=parameters.get("preset"),
        device=parameters.get("device"),
    )
    return notebook


def _keep(faulty: Path | None, kept: Path) -> None:
    """Keep the notebook of a faulty run; a good one takes the old away."""
    kept.unlink(missing_ok=True)
    if faulty and faulty.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(faulty, kept)
