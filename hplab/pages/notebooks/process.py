"""The process in which papermill runs one notebook; `execute.py` starts and watches it.

The kernel talks over sockets in a private folder (IPC) because two kernels that start at once can
be given the same TCP port. The process ends itself, its kernel and all that they started when the
parent's end of its standard input closes, so killing the runner leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from hplab.pages.notebooks import spare_address_grammar
from hplab.places import EXECUTION


def marked(value: str) -> list[psutil.Process]:
    """Return the live processes of one run, whatever process group or session they moved to."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get(EXECUTION) == value
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.Error, OSError):  # another user's, or gone meanwhile
            continue
    return [process for process in found if process.pid != os.getpid()]


def end(value: str, *, grace_s: float = 2.0) -> None:
    """End every process of one run: SIGTERM, then SIGKILL for what is there after `grace_s`."""
    _signal(marked(value), "terminate")
    wait_until_gone(value, grace_s)
    for _ in range(20):  # a process may fork between the look and the kill
        rest = marked(value)
        if not rest:
            return
        _signal(rest, "kill")
        time.sleep(0.05)


def wait_until_gone(value: str, limit_s: float) -> list[psutil.Process]:
    """Wait for the processes of one run to end by themselves; return those that did not."""
    deadline = time.monotonic() + limit_s
    while (rest := marked(value)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return rest


def describe(process: psutil.Process) -> str:
    """Return a process as a person knows it: its number and the start of its command."""
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:80]}"
    except psutil.Error:
        return str(process.pid)


def _signal(processes: Iterable[psutil.Process], how: str) -> None:
    for process in processes:
        try:
            getattr(process, how)()
        except psutil.Error:
            continue


def kernel_manager(folder: Path) -> type:
    """Return a kernel manager class: this interpreter's kernel, sockets inside `folder`.

    A shell command that fails is an error there, not only a line of output.

    `folder` must be absolute and short (macOS allows a socket's path 104 bytes). A class and not an
    object, because nbclient shuts down only the kernels of managers that it made itself.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    class IpcKernelManager(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport="ipc", ip=str(folder / "k"), **options)
            self._kernel_spec = KernelSpec(
                argv=[
                    *(sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"),
                    "--InteractiveShell.system_raise_on_error=True",  # `!command` and `%pip` too
                ],
                display_name="Python 3",
                language="python",
            )

    return IpcKernelManager


def _end_with_parent(value: str, folder: Path) -> None:
    while os.read(0, 1):
        continue
    end(value, grace_s=0.5)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main(job_file: str) -> int:
    """Run the job described in a JSON file; write `fault` into the job's folder if it fails."""
    folder = Path(job_file).parent
    job = json.loads(Path(job_file).read_text())
    watch = threading.Thread(
        target=_end_with_parent, args=(os.environ[EXECUTION], folder), daemon=True
    )
    watch.start()
    # Standard output carries the notebook's progress to the parent; whatever else the kernel
    # process prints belongs to the log.
    progress = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)
    spare_address_grammar()
    import papermill

    try:
        papermill.execute_notebook(
            folder / "in.ipynb",
            folder / "out.ipynb",
            parameters=job["parameters"],
            kernel_name="python3",
            kernel_manager_class=kernel_manager(folder),
            progress_bar=False,
            stderr_file=progress,
            start_timeout=job["start_timeout_s"],
            execution_timeout=job["timeout_s"],
            iopub_timeout=60,
            cwd=job["cwd"],
        )
    except Exception as error:  # what went wrong is the parent's to judge, whatever it was
        text = f"{type(error).__name__}: {error}"
        (folder / "fault").write_text(text, encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
