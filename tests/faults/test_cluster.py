"""A sweep on several machines, and what becomes of it when they fail.

The machines are real processes on this one: a Dask scheduler and its workers, which talk over TCP.
A worker and the nanny that starts it again are one process group: who kills that takes a host away.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import tiny_functions
from click.testing import CliRunner

import hplab as hp
from hplab import own, places
from hplab.cli import base
from hplab.sweeps import background, cluster, driver, functions, remote, runner, writer
from hplab.sweeps.store import Store
from hplab.training import datasets
from hplab.trial import HplabError, Trial, canonical, grid

pytestmark = [pytest.mark.timeout(100), pytest.mark.xdist_group("machines")]
HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
UP_S = 30.0
# What the page on several machines starts everything with.
PRIVATE = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
TRIALS = grid(
    Trial("digits", model="mlp", model_args={"hidden": [8]}, epochs=1, n_train=64),
    batch_size=[30, 31, 32],
    seed=range(2),
)


class Machines:
    """A scheduler and workers; all end with the context.

    Args:
        folder: Where they write.
        options: Of scheduler and workers, such as those for TLS.
        env: Their environment, on top of this one.
    """

    def __init__(self, folder, options=(), env=None):
        self.folder, self.options, self.env = folder, options, env or {}
        self.groups = []

    def __enter__(self):
        file = self.folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(file))
        until = time.monotonic() + UP_S
        while not (file.is_file() and file.read_text().strip()):
            assert time.monotonic() < until, self.said()
            time.sleep(0.05)
        self.address = json.loads(file.read_text())["address"]
        return self

    def __exit__(self, *_):
        for group in self.groups:
            self.lose(group)

    def _start(self, what, *arguments, env=None):
        path = os.pathsep.join(path or os.getcwd() for path in (str(ROOT), *sys.path))
        env = {**os.environ, "PYTHONPATH": path, **self.env, **(env or {})}
        env.pop(places.DASK, None)
        command = [sys.executable, "-W", "ignore", "-m", "dask", what, *PRIVATE]
        with (self.folder / f"{what}.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *self.options, *arguments],
                stdout=log,
                stderr=log,
                env=env,
                cwd=self.folder,
                start_new_session=True,
            )
        self.groups.append(process)
        return process

    def worker(self, *arguments, env=None, address=None, threads=1):
        """Start a worker."""
        return self._start(
            "worker",
            address or self.address,
            *("--nthreads", str(threads), "--local-directory", str(self.folder)),
            *arguments,
            env=env,
        )

    def lose(self, group):
        """Take a process and all it has started away, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group.pid, signal.SIGKILL)
        group.wait()

    def said(self):
        return "\n".join(log.read_text() for log in self.folder.glob("*.log"))


@pytest.fixture(scope="module")
def needs_dask():
    pytest.importorskip("distributed", reason="needs distributed: pip install 'hplab[dask]'")


@pytest.fixture(scope="module")
def two(needs_dask, tmp_path_factory):
    """A scheduler and two workers, which tests may kill: the nannies start them again."""
    with Machines(tmp_path_factory.mktemp("two")) as machines:
        machines.worker()
        machines.worker()
        yield machines


@pytest.fixture
def alone(needs_dask, tmp_path):
    """A scheduler without workers."""
    with Machines(tmp_path) as machines:
        yield machines


@pytest.fixture
def asks(monkeypatch):
    """Have sweeps ask the scheduler at an address."""
    return lambda address: monkeypatch.setenv(places.DASK, address)


def expected(n):
    return [2.0 * x for x in range(n)]


# ------------------------------------------------------------------------------- who may


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:8786", "127.8.1.1:8786", "localhost:80", "tcp://[::1]:8786"]
)
def test_this_machines_own_addresses_are_fine(address):
    cluster.check_address(address)


@pytest.mark.parametrize("address", ["tls://10.0.0.7:8786", "tls://gpu.example.org:8786"])
def test_tls_is_fine_anywhere(address):
    cluster.check_address(address)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://10.0.0.7:8786", "tcp://10.0.0.7:8786 is open to the network and not encrypted"),
        ("gpu7:8786", "use tls://, or 127.0.0.1 at both ends of an SSH tunnel"),
        ("0.0.0.0:8786", "not encrypted"),
        ("tcp://127.0.0.1.example.org:8786", "not encrypted"),
        ("tcp://localhost.example.org:8786", "not encrypted"),
        ("ws://127.0.0.1:8786", "no address of a Dask scheduler; write tcp://127.0.0.1:8786"),
        ("127.0.0.1", "no address"),
        ("tcp://127.0.0.1:http", "no address"),
        ("scheduler.json", "no address"),
    ],
)
@pytest.mark.parametrize("command", ["sweep none.yaml", "fill", "run 01", "execute"])
def test_another_machine_without_tls_is_refused_at_the_door(address, said, command):
    found = CliRunner().invoke(base.cli, [*command.split(), "--dask", address])

    assert isinstance(found.exception, HplabError)
    assert said in str(found.exception)
    assert "\n" not in str(found.exception)


def test_processes_here_and_workers_elsewhere_are_one_too_many():
    found = CliRunner().invoke(base.cli, "run 01 --jobs 2 --dask 127.0.0.1:8786".split())

    assert "--jobs is about this machine, --dask about others" in str(found.exception)


def test_a_number_of_jobs_takes_precedence_over_the_environment(store, asks):
    asks("tcp://10.0.0.7:8786")

    assert len(hp.sweep(tiny_functions.tree, depth=[2], jobs=1, store=store)) == 1
    with pytest.raises(HplabError, match="not encrypted"):
        hp.sweep(tiny_functions.tree, depth=[3], store=store)


def test_what_is_recorded_needs_no_scheduler(store, asks):
    hp.sweep(tiny_functions.tree, depth=[2], jobs=1, store=store)
    asks("tcp://127.0.0.1:1")

    assert len(hp.sweep(tiny_functions.tree, depth=[2], store=store)) == 1


class Known:
    """A client that knows of workers it has never seen."""

    def __init__(self, workers):
        self.workers = workers

    def get_executor(self, **_):
        return None

    def wait_for_workers(self, n, timeout):
        pass

    def scheduler_info(self, n_workers):
        return {"workers": self.workers}


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ({"tcp://10.0.0.9:40": {"nthreads": 1}}, "tcp://10.0.0.9:40 is open to the network"),
        ({"tcp://127.0.0.1:40": {"nthreads": 4}}, "makes 4 calls at a time.*--nthreads 1"),
    ],
)
def test_workers_in_the_open_or_with_threads_are_refused(workers, said):
    with pytest.raises(HplabError, match=said):
        cluster.Cluster(Known(workers), "tcp://127.0.0.1:8786").check()


def test_a_client_that_was_closed_says_that_its_scheduler_is_gone():
    class Closed(Known):
        def scheduler_info(self, n_workers):
            return {}  # as Dask's does from then on

    with pytest.raises(HplabError, match="scheduler at tcp://127.0.0.1:8786 is gone"):
        cluster.Cluster(Closed({}), "tcp://127.0.0.1:8786").workers()


def test_where_nobody_answers_one_line_says_so(needs_dask, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(HplabError, match=f"no Dask scheduler can be reached at {address}"),
            cluster.connected(address),
        ):
            pass


def test_what_listens_and_says_nothing_is_no_scheduler(needs_dask, monkeypatch):
    """Such as Dask's own page on its tasks, or whatever else has the port."""
    monkeypatch.setattr(cluster, "ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(HplabError, match=f"no Dask scheduler can be reached at {address}"),
            cluster.connected(address),
        ):
            pass


def test_without_certificates_tls_is_refused_with_the_place_to_name_them(needs_dask):
    with (
        pytest.raises(HplabError, match="tls://10.0.0.7:8786 needs certificates.*comm.tls"),
        cluster.connected("tls://10.0.0.7:8786"),
    ):
        pass


def test_what_is_started_as_the_page_says_listens_on_this_machine_only(two, asks, store):
    """Without an address for it, Dask's page on its tasks is open to the network."""
    asks(two.address)
    hp.sweep(tiny_functions.tree, depth=[2], store=store)  # so that all of it is up

    said = (ROOT / "book" / "more-than-one-machine.md").read_text()
    commands = re.findall(r"dask (?:scheduler|worker) .*--host 127[^\n]*", said)
    processes = [psutil.Process(group.pid) for group in two.groups]
    processes += [child for one in processes for child in one.children(recursive=True)]
    found = [end for one in processes for end in one.net_connections() if end.status == "LISTEN"]

    assert len(found) >= 4
    assert {end.laddr.ip for end in found} == {"127.0.0.1"}
    assert len(commands) >= 3
    assert all("--dashboard-address 127.0.0.1:" in command for command in commands)


# ---------------------------------------------------------------------------- who agrees


def test_a_worker_with_other_code_is_refused_by_both_digests(alone, asks, store, tmp_path):
    shutil.copytree(ROOT / "hplab", tmp_path / "other" / "hplab")
    with (tmp_path / "other" / "hplab" / "trial.py").open("a") as file:
        file.write("\nCHANGED = 1\n")
    alone.worker(env={"PYTHONPATH": str(tmp_path / "other")})
    asks(alone.address)
    called = tmp_path / "called"

    def train(x):
        called.touch()
        return {"y": 1.0}

    with pytest.raises(HplabError) as info:
        hp.sweep(train, x=[1, 2], store=store)

    here = cluster.made_with()["code"]
    said = str(info.value)
    assert f"and here it is {here}; install the same commit" in said
    there = said.partition("has hplab of code ")[2][:16]
    assert len(there) == 16
    assert there != here
    assert not called.exists()


def test_a_worker_with_another_python_is_refused():
    here = {"python": "3.11", "code": "a" * 16}

    with pytest.raises(HplabError, match=r"has Python 3\.12, and here it is 3\.11"):
        cluster._check_same("worker tcp://127.0.0.1:40", {**here, "python": "3.12"}, here)
    with pytest.raises(HplabError, match="a worker that came late has hplab of code"):
        cluster.check_here({**cluster.made_with(), "code": "b" * 16})


def npz(folder, seed):
    """Write a data set that is called mnist, of 40 images."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    labels = np.arange(40) % 10
    names = ("train_images", "train_labels", "test_images", "test_labels")
    arrays = dict(zip(names, (images, labels, images, labels), strict=True))
    np.savez(folder / "mnist.npz", **arrays)
    return {"HPLAB_DATA": str(folder)}


@pytest.mark.slow
def test_a_worker_with_other_data_is_refused_by_both_digests(alone, asks, store, monkeypatch):
    mine, other = (npz(alone.folder / str(seed), seed) for seed in (0, 1))
    alone.worker(env=other)
    asks(alone.address)
    monkeypatch.setenv("HPLAB_DATA", mine["HPLAB_DATA"])
    trial = Trial("mnist", model="mlp", model_args={"hidden": [8]}, epochs=1, split="holdout")

    with pytest.raises(
        HplabError, match=r"has mnist with digest (\w{16}), and here it is (\w{16})"
    ):
        runner.run([trial], preset="paper", store=store)

    assert store.status()["records"] == 0


# ------------------------------------------------------------------------- what comes of it


def test_functions_of_ones_own_modules_need_no_such_module_there(two, asks, store, tmp_path):
    module = tmp_path / "my_own_module.py"
    module.write_text("SCALE = 2.0\ndef helper(x):\n    return SCALE * x\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import my_own_module
    finally:
        sys.path.remove(str(tmp_path))

    def train(x, seed=0):
        return {"y": my_own_module.helper(x), "pid": os.getpid()}

    asks(two.address)
    try:
        runs = hp.sweep(train, x=range(8), store=store)
    finally:
        del sys.modules["my_own_module"]

    assert runs["y"].tolist() == expected(8)
    assert os.getpid() not in set(runs["pid"])
    assert list(runs["status"]) == ["ok"] * 8


def test_epochs_failures_and_divergence_come_back_as_from_here(two, asks, store, capsys):
    def train(x):
        if x == 1:
            raise ValueError(f"not {x}")
        yield {"loss": 1.0}
        yield {"loss": float("nan") if x == 2 else 0.5}

    asks(two.address)
    runs = hp.sweep(train, x=range(4), store=store)

    assert runs["x"].tolist() == [0, 2, 3]
    assert runs["status"].tolist() == ["ok", "diverged", "ok"]
    assert "ValueError: not 1" in capsys.readouterr().out
    assert hp.curves(runs, store=store)["loss"].iloc[:2].tolist() == [1.0, 0.5]


def test_a_worker_that_is_killed_takes_nobodys_results(two, asks, store, tmp_path):
    marker = tmp_path / "killed"

    def train(x):
        if x == 5 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return {"y": 2.0 * x}

    asks(two.address)
    runs = hp.sweep(train, x=range(40), store=store)

    assert marker.exists()
    assert runs["y"].tolist() == expected(40)


@pytest.mark.slow
def test_a_call_that_kills_every_worker_is_the_only_failure(two, asks, store, capsys):
    def train(x):
        if x == 7:
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        return {"y": 2.0 * x}

    asks(two.address)
    runs = hp.sweep(train, x=range(40), store=store)

    assert runs["x"].tolist() == [x for x in range(40) if x != 7]
    [failed] = store.failures()
    assert "its worker process was killed, twice" in failed["message"]
    assert "at x=7" in capsys.readouterr().out


def test_a_host_that_is_lost_takes_nobodys_results(alone, asks, store, tmp_path):
    hosts = [alone.worker(), alone.worker()]
    marker = tmp_path / "begun"

    def train(x):
        if x > 3:
            marker.touch()
        time.sleep(0.1)
        return {"y": 2.0 * x, "pid": os.getpid()}

    def lose():
        while not marker.exists():
            time.sleep(0.01)
        alone.lose(hosts[0])

    asks(alone.address)
    thread = threading.Thread(target=lose)
    thread.start()
    runs = hp.sweep(train, x=range(40), store=store)
    thread.join()

    assert hosts[0].poll() is not None
    assert runs["y"].tolist() == expected(40)
    assert runs["pid"].iloc[-5:].nunique() == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_500_calls_on_workers_that_die_at_random_moments_lose_none(alone, asks, store, tmp_path):
    import distributed
    from distributed.chaos import KillWorker

    alone.worker()
    alone.worker()
    marker = tmp_path / "begun"

    def train(x):
        marker.touch()
        time.sleep(0.1)
        return {"y": 2.0 * x, "pid": os.getpid()}

    def let_them_die():
        while not marker.exists():
            time.sleep(0.01)
        with distributed.Client(alone.address, set_as_default=False) as client:
            # By a fault of memory, since a nanny takes an exit for the end of the work. Those that
            # it starts instead have the plugin too.
            client.register_plugin(KillWorker("2 s", mode="segfault"))

    asks(alone.address)
    thread = threading.Thread(target=let_them_die, daemon=True)
    thread.start()
    runs = hp.sweep(train, x=range(500), store=store)
    thread.join()

    assert runs["y"].tolist() == expected(500)
    assert runs["pid"].nunique() >= 8


def waits_at(x_there, n, pending, marker):
    """A function whose call at one point says that n others are stored, and never ends."""

    def train(x):
        if x == x_there:
            while len(list(pending.glob("*.jsonl"))) < n:
                time.sleep(0.01)
            marker.touch()
            time.sleep(60)
        return {"y": 2.0 * x}

    return train


def test_a_client_that_gives_up_a_lost_scheduler_shows_no_traceback(alone):
    alone.worker()
    wrong = asyncio.CancelledError(), OSError("no route")
    with cluster.connected(alone.address):
        logger = logging.getLogger("distributed.client")
        shown = [
            bool(logger.filter(logging.makeLogRecord({"exc_info": (type(e), e, None)})))
            for e in wrong
        ]
    assert shown == [False, True]


def test_a_scheduler_that_is_lost_leaves_what_is_finished(
    alone, asks, store, tmp_path, monkeypatch
):
    monkeypatch.setattr(writer, "PUT_FROM_S", 0.0)
    alone.worker()
    marker = tmp_path / "begun"
    train = waits_at(5, 5, store.pending, marker)

    def lose():
        while not marker.exists():
            time.sleep(0.01)
        alone.lose(alone.scheduler)

    asks(alone.address)
    thread = threading.Thread(target=lose)
    thread.start()
    with pytest.raises(HplabError, match=f"the Dask scheduler at {alone.address} is gone"):
        hp.sweep(train, x=range(8), version="1", store=store)
    thread.join()

    kept = hp.sweep(lambda x: {"y": 2.0 * x}, name="train", version="1", x=range(8), jobs=1,
                    store=store)  # fmt: skip
    assert kept["y"].tolist() == expected(8)
    assert kept.attrs["n_new"] == 3


def test_without_a_worker_for_long_a_sweep_ends(alone, asks, store, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "WORKERS_S", 0.5)
    asks(alone.address)

    with pytest.raises(HplabError, match="had no worker for .*dask worker tcp://127.0.0.1"):
        hp.sweep(tiny_functions.tree, depth=[2], store=store)
    assert "no worker at tcp://127.0.0.1" in capsys.readouterr().out


def test_without_the_last_worker_a_sweep_ends_too(alone, store, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "PUT_FROM_S", 0.0)
    host, marker = alone.worker(), tmp_path / "begun"
    task = functions.Task(waits_at(3, 3, store.pending, marker), "", "1")

    def lose():
        while not marker.exists():
            time.sleep(0.01)
        alone.lose(host)

    with cluster.connected(alone.address) as there:  # waits for the worker, however long
        monkeypatch.setattr(cluster, "WORKERS_S", 1.0)
        thread = threading.Thread(target=lose)
        thread.start()
        with pytest.raises(HplabError, match="had no worker for"):
            functions.fill(task, [{"x": x} for x in range(6)], 1, there, store)
        thread.join()
    assert store.status()["records"] == 3


class Slow:
    """Passes on what is sent to a port, a while later."""

    def __init__(self, port, seconds):
        self.port, self.seconds, self.n_late = port, seconds, 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self.server.accept()
                other = socket.create_connection(("127.0.0.1", self.port))
                for pair in ((one, other), (other, one)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.seconds)
                self.n_late += 1
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.close()


def test_a_slow_network_changes_nothing(alone, asks, store):
    slow = Slow(int(alone.address.rpartition(":")[2]), 0.05)
    alone.worker(address=slow.address)
    asks(slow.address)

    runs = hp.sweep(lambda x: {"y": 2.0 * x}, name="slow", version="1", x=range(30), store=store)

    slow.server.close()
    assert runs["y"].tolist() == expected(30)
    assert slow.n_late > 30


DRIVER = """
    import os, signal, sys, time
    import hplab as hp
    from hplab.sweeps import writer
    from hplab.sweeps.store import Store
    writer.PUT_FROM_S = 0.0
    folder, driver = sys.argv[1], os.getpid()

    def train(x):
        time.sleep(0.05)
        if x == 9 and os.path.exists(f"{folder}/kill"):
            os.unlink(f"{folder}/kill")
            os.kill(driver, signal.SIGKILL)
        return {"y": 2.0 * x}

    store = Store(f"{folder}/r", f"{folder}/p")
    runs = hp.sweep(train, name="driven", version="1", x=range(20), store=store)
    print(runs["y"].tolist(), runs.attrs["n_new"])
"""


def test_a_driver_that_is_killed_goes_on_where_it_was(two, tmp_path):
    (tmp_path / "kill").touch()
    script = tmp_path / "driver.py"
    script.write_text(textwrap.dedent(DRIVER))
    path = os.pathsep.join([str(ROOT), *sys.path])
    env = {**os.environ, "PYTHONPATH": path, places.DASK: two.address}

    def drive():
        command = [sys.executable, str(script), str(tmp_path)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    assert drive().returncode == -signal.SIGKILL
    kept = Store(tmp_path / "r", tmp_path / "p").status()["records"]
    assert nothing_to_do_within(5.0, two.address)
    done = drive()

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{expected(20)} {20 - kept}"
    assert 1 <= kept < 20


def nothing_to_do_within(seconds, address):
    """Whether a scheduler forgets what it was asked for by somebody who is gone."""
    import distributed

    end = time.monotonic() + seconds
    with distributed.Client(address, set_as_default=False) as client:
        while time.monotonic() < end:
            if client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0:
                return True
            time.sleep(0.05)
    return False


# ----------------------------------------------------------------------------------- trials


def kept_of(store):
    """Return what is recorded, without what it cost and was made with."""
    records = store.records()
    left = [{k: v for k, v in r.items() if k not in ("prov", "cost", "sum")} for r in records]
    return sorted(map(canonical, left))


@pytest.mark.slow
def test_trials_give_the_same_records_as_processes_here(two, asks, store, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "POOL_FROM_S", 0)
    here = [Store(tmp_path / jobs / "r", tmp_path / jobs / "p") for jobs in "12"]
    for jobs, one in enumerate(here, 1):
        runner.run(TRIALS, preset="paper", device="cpu", jobs=jobs, store=one)
    asks(two.address)

    runs = runner.run(TRIALS, preset="paper", store=store)

    assert list(runs["status"]) == ["ok"] * len(TRIALS)
    assert kept_of(store) == kept_of(here[0]) == kept_of(here[1])
    described = store.provenance(runs["prov"].iloc[0])
    assert described["threads"] == 1
    assert described["device"]["type"] == "cpu"


@pytest.mark.slow
def test_a_worker_killed_in_training_takes_nobodys_results(two, asks, store, tmp_path):
    here = Store(tmp_path / "here" / "r", tmp_path / "here" / "p")
    marker, here_it_is = tmp_path / "killed", os.getpid()

    @hp.register("loss", "deadly_once", version="1")
    def deadly_once(logits, labels):
        import torch

        if os.getpid() != here_it_is and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.nn.functional.cross_entropy(logits, labels, reduction="none")

    trials = [trial.replace(loss="deadly_once") for trial in TRIALS[:3]]
    runner.run(trials, preset="paper", device="cpu", jobs=1, store=here)
    asks(two.address)

    runs = runner.run(trials, preset="paper", device="cpu", store=store)

    assert marker.exists()
    assert len(runs) == 3
    assert kept_of(store) == kept_of(here)


def job(path, **more):
    trial = TRIALS[0]
    told = {
        "device": "cpu",
        "digests": {"digits": datasets.load("digits").digest},
        "own": own.to_send()[0],
        "folder": (str(path), remote._number(path)),
        "made_with": cluster.made_with(),
        "trials": [(trial.config(), trial.seed)],
        "data": "digits",
        "keeps": False,
    }
    return told | more


def test_a_worker_that_sees_the_folder_of_checkpoints_uses_it(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(driver, "compute", lambda *call: given.append(call[3]) or [])
    folder = tmp_path / "checkpoints"
    folder.mkdir()

    remote.compute(job(folder))
    remote.compute(job(folder, folder=(str(folder), folder.stat().st_ino + 1)))  # its namesake
    remote.compute(job(tmp_path / "gone"))

    assert given[0].path == folder
    assert given[1:] == [None, None]


def test_a_worker_that_came_late_with_other_data_is_refused(tmp_path):
    with pytest.raises(HplabError, match="a worker that came late has digits with digest"):
        remote.compute(job(tmp_path, digests={"digits": "0" * 64}))


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([("cuda", "GPU-1"), ("cuda", "GPU-1")], "workers a and b share one card"),
        ([("cuda", "GPU-1"), ("cpu", "")], "differ in their device .a has cuda; b has cpu.;"),
    ],
)
def test_workers_have_a_card_each_and_one_kind_of_device(answers, said):
    said_by = {
        name: {"device": device, "card": card, "digests": {"digits": "0" * 64}}
        for name, (device, card) in zip("ab", answers, strict=True)
    }
    with pytest.raises(HplabError, match=said):
        remote.Workers._checked(said_by, {"digits": "0" * 64})


# ------------------------------------------------------------------------------ the commands


def test_a_sweep_file_runs_there(two, tmp_path, monkeypatch):
    (tmp_path / "prog.py").write_text("def train(x):\n    return {'y': 2.0 * x}\n")
    (tmp_path / "script.py").write_text(
        "import sys\nx = float(sys.argv[1].partition('=')[2])\nprint(f'y={2 * x}')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "r"))
    for program in ("prog.py", "script.py"):
        text = f"program: {program}\nmethod: grid\nmetric: {{name: y, goal: minimize}}\n"
        Path("sweep.yaml").write_text(text + "parameters:\n  x: {values: [1, 2, 3]}\n")
        arguments = ["sweep", "sweep.yaml", "--dask", two.address, "--out", "runs.csv"]

        found = CliRunner().invoke(base.cli, arguments, standalone_mode=False)

        assert found.exception is None, (found.output, found.exception)
        runs = pd.read_csv("runs.csv")
        assert runs["y"].tolist() == [2.0, 4.0, 6.0]
        assert runs.shape[0] == 3


def test_early_termination_needs_one_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prog.py").write_text("def train(x):\n    yield {'y': 2.0 * x}\n")
    Path("sweep.yaml").write_text(
        "program: prog.py\nmethod: grid\nmetric: {name: y, goal: minimize}\n"
        "parameters:\n  x: {values: [1, 2]}\n"
        "early_terminate: {type: hyperband, min_iter: 1}\n"
    )

    found = CliRunner().invoke(base.cli, "sweep sweep.yaml --dask 127.0.0.1:8786".split())

    assert "runs on several machines cannot see each other's metrics" in str(found.exception)


@pytest.mark.slow
def test_fill_trains_there(two, store):
    said = []
    n = background.fill(TRIALS, store, dask=two.address, say=said.append)

    assert n == len(TRIALS), said
    assert store.status()["records"] == len(TRIALS)


# -------------------------------------------------------------------------- other executors


def test_dasks_own_executor_is_one_of_any(two, store):
    import distributed

    with distributed.Client(two.address, set_as_default=False) as client:
        executor = client.get_executor(pure=False)
        runs = hp.sweep(max_of, x=[1, 2, 3], executor=executor, store=store)

    assert runs["y"].tolist() == [2.0, 4.0, 6.0]


def max_of(x):
    return {"y": 2.0 * x}


def test_lokys_executor_is_one_of_any(store):
    loky = pytest.importorskip("loky", reason="needs loky")
    executor = loky.get_reusable_executor(max_workers=2, timeout=2)
    try:
        runs = hp.sweep(max_of, x=[1, 2, 3], executor=executor, store=store)
    finally:
        executor.shutdown(wait=True, kill_workers=True)

    assert runs["y"].tolist() == [2.0, 4.0, 6.0]


class OfRay(Executor):
    """The executor that the page shows: Ray has none of its own, but its references are futures."""

    def __init__(self, ray):
        self.call = ray.remote(max_retries=0)(lambda fn, *args: fn(*args))

    def submit(self, fn, /, *args, **kwargs):
        return self.call.remote(fn, *args).future()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_rays_references_are_futures_of_any_executor(store, capsys):
    ray = pytest.importorskip("ray", reason="needs ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)

    def train(x):
        if x == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"y": 2.0 * x}

    try:
        runs = hp.sweep(train, x=[1, 2, 3], executor=OfRay(ray), store=store)
    finally:
        ray.shutdown()

    assert runs["y"].tolist() == [2.0, 6.0]
    assert "its worker process was killed, twice at x=2" in capsys.readouterr().out


# -------------------------------------------------------------------------------------- TLS


def certificates(folder):
    """Write a CA and one certificate by it; return the settings that name them."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder.mkdir()
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    own = "-keyout ca.key -out ca.pem -subj /CN=hplab-test"
    subprocess.run([*new.split(), *own.split()], cwd=folder, check=True, capture_output=True)
    text = "-keyout my.key -out my.pem -subj /CN=machine -CA ca.pem -CAkey ca.key"
    subprocess.run([*new.split(), *text.split()], cwd=folder, check=True, capture_output=True)
    names = {"ca-file": "ca.pem", "client.cert": "my.pem", "client.key": "my.key"}
    return {name: str(folder / file) for name, file in names.items()}


@pytest.fixture
def secure(needs_dask, tmp_path):
    import dask

    mine = certificates(tmp_path / "mine")
    options = ["--protocol", "tls"]
    for option, name in {"ca-file": "ca-file", "cert": "client.cert", "key": "client.key"}.items():
        options += [f"--tls-{option}", mine[name]]
    with (
        Machines(tmp_path, options) as machines,
        dask.config.set({f"distributed.comm.tls.{name}": file for name, file in mine.items()}),
    ):
        machines.worker()
        yield machines


def test_a_sweep_by_tls(secure, asks, store):
    assert secure.address.startswith("tls://")
    asks(secure.address)

    assert hp.sweep(max_of, x=range(4), store=store)["y"].tolist() == expected(4)


@pytest.mark.filterwarnings("ignore")
def test_who_has_no_certificate_of_ours_is_not_let_in(secure, tmp_path, monkeypatch):
    import dask

    monkeypatch.setattr(cluster, "ANSWER_S", 3.0)
    plain = secure.address.replace("tls://", "tcp://")
    with pytest.raises(HplabError, match="no Dask scheduler can be reached"):
        cluster.connected(plain).__enter__()
    others = certificates(tmp_path / "others")
    named = {f"distributed.comm.tls.{name}": file for name, file in others.items()}
    with (
        dask.config.set(named),
        pytest.raises(HplabError, match="no Dask scheduler can be reached"),
    ):
        cluster.connected(secure.address).__enter__()
