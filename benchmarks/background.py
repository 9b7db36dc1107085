"""What `hplab fill` costs whoever works beside it.

    .venv/bin/python benchmarks/background.py --rounds 3 --json background.json

A command that keeps all cores busy (a part of the tests, unless told) is timed alone and with a
`fill` of long trials beside it, in turn. The fill has a head start, so that it trains when the
command begins.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine import machine

from hplab.trial import Trial, grid

WORK = f"{sys.executable} -m pytest -q -n 2 tests/training/test_lanes.py"
FILL = """
import sys
from pathlib import Path
from hplab.sweeps import background, slices, store
if __name__ == "__main__":
    here = store.Store(sys.argv[1] + "/results", sys.argv[1] + "/pending")
    background.fill(slices.read(Path(sys.argv[2])), here)
"""
HEAD_START_S = 25.0


def timed(command: str) -> float:
    """Return how long a command takes, in seconds."""
    began = time.monotonic()
    subprocess.run(shlex.split(command), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def beside_fill(command: str, folder: Path) -> float:
    """Return the same with a fill beside it."""
    trials = grid(Trial(data="digits", model="cnn", epochs=100_000), batch_size=range(40, 48))
    plan, script = folder / "plan.jsonl", folder / "fill.py"
    lines = (json.dumps({"config": t.config(), "seed": 0}) + "\n" for t in trials)
    plan.write_text("".join(lines))
    script.write_text(FILL)
    called = [sys.executable, str(script), str(folder), str(plan)]
    with subprocess.Popen(called, stdout=subprocess.DEVNULL) as fill:
        time.sleep(HEAD_START_S)
        try:
            return timed(command)
        finally:
            fill.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--command", default=WORK)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    timed(asked.command)  # caches are warm from here on
    alone, beside = [], []
    for _ in range(asked.rounds):
        alone.append(timed(asked.command))
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            beside.append(beside_fill(asked.command, Path(folder)))
        print(f"{alone[-1]:.1f} s alone, {beside[-1]:.1f} s beside a fill", file=sys.stderr)
    found = {
        "command": asked.command.replace(sys.executable, "python"),
        "alone_s": [round(one, 2) for one in alone],
        "beside_s": [round(one, 2) for one in beside],
        "ratio": round(statistics.median(beside) / statistics.median(alone), 3),
        "machine": machine(),
    }
    print(json.dumps(found, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
