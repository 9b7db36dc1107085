"""Judges a notebook that papermill wrote: did every cell run to its end, without an error?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

TRACE_LINES = 12
_PAPERMILL_CELLS = {"injected-parameters", "papermill-error-cell-tag"}  # not cells of the page


@dataclass(frozen=True)
class Fault:
    """What went wrong: the cell (counted from 1, None for the notebook as a whole) and its end."""

    cell: int | None
    what: str
    trace: str = ""


def verify(notebook: NotebookNode) -> list[Fault]:
    """Return why a notebook that papermill wrote is not a whole and faultless run; [] if it is.

    Every code cell that is not empty must have been counted, be marked as completed, hold no error
    and, what no faulty run can fake, have the kernel's reply noted.
    """
    faults, number = [], 0
    for cell in notebook.cells:
        tags = _PAPERMILL_CELLS.intersection(cell.metadata.get("tags", []))
        number += not tags
        if "papermill-error-cell-tag" in tags:
            faults.append(Fault(None, "papermill marked an error"))
        elif cell.cell_type == "code" and cell.source.strip():
            faults += _cell_faults(cell, number)
    return sorted(faults, key=lambda fault: fault.cell is None)


def _trace(text: str, what: str) -> str:
    """Return what a traceback says of the cell, and its last lines, without colours."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip().splitlines()
    if lines and lines[-1].strip() == what:  # said already
        lines.pop()
    if len(lines) > TRACE_LINES:
        first = next((i for i, line in enumerate(lines) if line.startswith("Cell In[")), 0)
        middle = range(first, min(first + TRACE_LINES // 2, len(lines) - TRACE_LINES // 2))
        lines = [*(lines[i] for i in middle), "...", *lines[-TRACE_LINES // 2 :]]
    return "\n".join(lines)


def _cell_faults(cell: NotebookNode, number: int) -> Iterator[Fault]:
    for output in cell.outputs:
        if output.output_type == "error":
            what = f"{output.ename}: {output.evalue}".strip().splitlines()[0]
            if output.ename == "CalledProcessError":  # it names the command; the rest is IPython's
                yield Fault(number, what)
            else:
                yield Fault(number, what, _trace("\n".join(output.traceback), what))
    if "shell.execute_reply" not in cell.metadata.get("execution", {}):
        yield Fault(number, "did not run to its end")
    elif cell.execution_count is None:
        yield Fault(number, "has no execution count")
    elif (status := cell.metadata.get("papermill", {}).get("status")) != "completed":
        yield Fault(number, f"is marked as {status!r}, not as completed")
