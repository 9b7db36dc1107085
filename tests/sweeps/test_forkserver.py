"""Workers find imported what they need, and the first run of a process waits for little."""

import multiprocessing.forkserver
import subprocess
import sys
import textwrap

import pytest

from hplab.sweeps import forkserver, runner
from hplab.trial import Trial, grid

SWEEP = grid(Trial(data="digits", model="mlp", batch_size=16, epochs=30), seed=range(60))


def done(script, *arguments):
    """Run a script in a process of its own; return what it prints, without the progress."""
    code = textwrap.dedent(script)
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_run_on_the_digits_imports_nothing_that_is_slow_but_torch(tmp_path):
    script = """
        import sys
        import torch
        before = set(sys.modules)
        from pathlib import Path
        import hplab as hp
        from hplab.sweeps.store import Store
        here = Store(Path(sys.argv[1]) / "results", Path(sys.argv[1]) / "pending")
        hp.run([hp.Trial(data="digits", epochs=1)], preset="smoke", device="cpu", store=here)
        slow = {"sklearn", "scipy", "sympy", "torchvision", "torch._dynamo", "matplotlib"}
        print(len(list(here.records())), sorted(slow & (set(sys.modules) - before)))
    """

    assert done(script, tmp_path) == "1 []"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such server")
def test_the_server_is_started_before_torch_is_imported(tmp_path):
    script = """
        import os, sys
        from pathlib import Path
        import hplab as hp
        from hplab.sweeps import forkserver
        from hplab.sweeps.store import Store

        def start(trials):
            print(len(trials), "torch" in sys.modules, flush=True)
            os._exit(0)

        forkserver.start = start
        here = Store(Path(sys.argv[1]) / "results", Path(sys.argv[1]) / "pending")
        base = hp.Trial(data="digits", model="mlp", batch_size=16, epochs=30)
        hp.run(hp.grid(base, seed=range(60)), preset="paper", n_seeds=60, device="cpu", jobs=2,
               store=here)
    """

    assert done(script, tmp_path) == "60 False"


@pytest.mark.parametrize(
    ("n", "device", "jobs", "expected"),
    [
        (60, "cpu", 2, [60]),
        (60, "auto", 2, [60]),
        (60, "cpu", 1, []),  # this process trains alone
        (60, "cuda", 2, []),
        (1, "cpu", 2, []),  # not worth a second process
    ],
)
def test_it_is_started_for_what_is_worth_it(n, device, jobs, expected, store, monkeypatch):
    started = []
    monkeypatch.setattr(runner, "_CARDS", ())
    monkeypatch.setattr(forkserver, "start", lambda trials: started.append(len(trials)))

    runner._start_ahead(SWEEP[:n], device, jobs, store)

    assert started == expected


def test_it_is_not_started_ahead_where_a_card_may_train(store, monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "_CARDS", (str(tmp_path),))
    monkeypatch.setattr(forkserver, "start", None)

    runner._start_ahead(SWEEP, "auto", 2, store)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such server")
@pytest.mark.parametrize(
    ("fields", "code", "more"),
    [
        ({}, {}, []),
        ({"split": "kfold"}, {}, ["sklearn.model_selection"]),
        ({"split": "holdout"}, {}, ["sklearn.model_selection"]),
        ({}, {"optimizer:adam": "0" * 16}, ["torch._dynamo"]),
    ],
)
def test_it_imports_what_the_trials_need(fields, code, more, monkeypatch):
    asked = []
    monkeypatch.setattr(multiprocessing.forkserver, "ensure_running", lambda: asked.append(True))
    monkeypatch.setattr(
        multiprocessing.forkserver, "set_forkserver_preload", lambda names: asked.append(names)
    )
    trial = Trial(data="digits", **fields)
    object.__setattr__(trial, "code", code)

    forkserver.start([Trial(data="digits"), trial])

    assert asked == [["hplab.sweeps.driver", *more], True]
