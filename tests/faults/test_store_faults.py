"""Faults done to the store on purpose: kills, races, damage, full disks, merges.

A kill leaves the page cache alive, so it proves nothing about power loss; the replay of every
prefix of the system calls is the argument for that.
"""

import errno
import functools
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tally import tally

from hplab.sweeps import records
from hplab.sweeps.store import Store, StoreError, seal
from hplab.trial import TASK, TASK_VERSION, Trial

DATA = "d" * 64
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12


@functools.cache
def finished(seed, loss=0.5):
    """The sealed record of a trial that ended with this loss; not to be changed."""
    trial = Trial(data="digits", seed=seed)
    return seal(
        {
            "v": 1,
            "key": trial.key(DATA),
            "task": TASK,
            "task_version": TASK_VERSION,
            "data": DATA,
            "config": trial.config(),
            "seed": seed,
            "status": "ok",
            "at": None,
            "final": {"val_loss": loss},
            "curves": {"val_loss": [1.0, loss]},
            "prov": "0" * 12,
        }
    )


def opened(folder):
    return Store(folder / "results", folder / ".hplab" / "pending")


def held(folder):
    """What a new process reads: key to record."""
    return {record["key"]: record for record in opened(folder).records()}


def attempt(call, *arguments):
    """Return what the call gave, and the error it refused with or None."""
    try:
        return call(*arguments), None
    except (StoreError, OSError) as error:
        return None, error


def child(work):
    """Run `work` in a forked process; return its id. It never returns into the tests."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


# ------------------------------------------------------------------------- killed at any moment


def killed_writer(write, seeds, *, after, delay_s):
    """Let a child write seeds, kill it a moment after some; return those it called done."""
    reader, writer = os.pipe()

    def work():
        for seed in seeds:
            write(seed)
            os.write(writer, b"%d\n" % seed)

    pid = child(work)
    os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        done = [lines.readline() for _ in range(after)]
        time.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        done += lines.readlines()
    return [int(line) for line in done if line.endswith(b"\n")]


def kill_writers(folder, *, n_kills, seed):
    """Kill writers that put, and pack every twentieth time.

    Returns:
        How many records were acknowledged, and how many of them were ever missing or another.
    """
    rng, done, lost = random.Random(seed), [], set()
    for kill in range(n_kills):
        store = opened(folder)

        def write(seed, store=store):
            store.put([finished(seed)])
            if seed % 20 == 19:
                store.pack()

        seeds = itertools.count(kill * 100_000)
        after, delay_s = rng.randrange(15), rng.uniform(0, 0.02)
        done += killed_writer(write, seeds, after=after, delay_s=delay_s)
        found = held(folder)  # refuses if anything is damaged
        lost |= {seed for seed in done if found.get(finished(seed)["key"]) != finished(seed)}
        assert all(found[key] == finished(record["seed"]) for key, record in found.items())
        if kill % 10 == 9:
            opened(folder).pack()
    return len(done), len(lost)


def test_no_acknowledged_record_is_lost_to_60_kills(tmp_path):
    n_done, n_lost = kill_writers(tmp_path, n_kills=60, seed=1)
    assert n_lost == 0
    assert n_done >= 300  # the writers did get somewhere before they died


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 12))
def test_no_acknowledged_record_is_lost_to_ten_times_200_kills(tmp_path, seed):
    n_done, n_lost = kill_writers(tmp_path, n_kills=200, seed=seed)
    assert n_lost == 0
    assert n_done >= 1200  # as many as are waited for; on a quiet machine twice that


@pytest.mark.parametrize("n", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_the_killer_catches_a_store_that_rewrites_one_file(tmp_path, n):
    """The killer itself is sharp: it breaks what most programs do to save their results."""
    path = tmp_path / "results.json"
    rng, broken = random.Random(3), 0
    for _ in range(n):
        kept = {str(seed): finished(seed) for seed in range(100)}

        def write(seed, kept=kept):
            kept[str(seed)] = finished(seed)
            with open(path, "w") as file:
                json.dump(kept, file)

        write(0)
        after, delay_s = rng.randint(1, 5), rng.uniform(0.005, 0.05)
        done = killed_writer(write, itertools.count(100), after=after, delay_s=delay_s)
        try:
            broken += not set(map(str, done)) <= set(json.loads(path.read_text()))
        except ValueError:
            broken += 1
    assert broken >= n / 2


# ------------------------------------------------------------------------ many at the same time


def write_at_once(folder, *, n_writers, n_each):
    """Let processes put records one by one, all at the same time; return how many are missing."""

    def work(first):
        store = opened(folder)
        for seed in range(first, first + n_each):
            store.put([finished(seed)])

    n = n_writers * n_each
    writers = [child(lambda first=first: work(first)) for first in range(0, n, n_each)]
    assert [os.waitpid(pid, 0)[1] for pid in writers] == [0] * n_writers
    expected = {record["key"]: record for record in map(finished, range(n))}
    pending = held(folder)
    opened(folder).pack()
    packed = held(folder)
    assert pending.keys() | packed.keys() <= expected.keys()
    return sum(pending.get(key) != r or packed.get(key) != r for key, r in expected.items())


def test_four_writers_of_250_batches_lose_nothing(tmp_path):
    assert write_at_once(tmp_path, n_writers=4, n_each=250) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("synced", [True, False])
def test_eight_writers_of_1000_batches_lose_nothing(tmp_path, monkeypatch, synced):
    if not synced:  # as on a disk that is faster than any
        monkeypatch.setattr(os, "fsync", lambda handle: None)
    assert write_at_once(tmp_path, n_writers=8, n_each=1000) == 0


@pytest.mark.parametrize(
    ("n_each", "pause_s", "least"),
    [(60, 0.002, 10), pytest.param(60, 0.8, 1000, marks=pytest.mark.slow)],
)
@pytest.mark.timeout(300)
def test_readers_never_go_backwards_while_others_write_and_pack(tmp_path, n_each, pause_s, least):
    n = 4 * n_each

    def write(first):
        store = opened(tmp_path)
        for seed in range(first, first + n_each):
            store.put([finished(seed)])
            time.sleep(pause_s)

    def pack():
        deadline = time.monotonic() + 200
        while len(held(tmp_path)) < n and time.monotonic() < deadline:
            opened(tmp_path).pack()

    others = [child(lambda first=first: write(first)) for first in range(0, n, n_each)]
    others += [child(pack), child(pack)]
    kept, seen, n_reads = opened(tmp_path), set(), 0
    while len(seen) < n and n_reads < 50_000:
        kept.refresh()
        for store in (kept, opened(tmp_path)):
            now = {record["key"] for record in store.records()}
            assert seen <= now
            seen, n_reads = now, n_reads + 1
    assert [os.waitpid(pid, 0)[1] for pid in others] == [0] * 6
    assert n_reads >= least
    opened(tmp_path).pack()
    assert held(tmp_path) == {r["key"]: r for r in map(finished, range(n))}
    assert list((tmp_path / ".hplab" / "pending").iterdir()) == []
    batches = [path.read_bytes() for path in (tmp_path / "results").rglob("*.jsonl")]
    assert sum(data.count(b"\n") for data in batches) == n  # packers took turns


# ----------------------------------------------------------------------------- system calls (S9)


@contextmanager
def recorded_calls(monkeypatch):
    """List the system calls that matter to durability, in order."""
    calls, names, real = [], {}, {n: getattr(os, n) for n in ("open", "write", "fsync", "replace")}

    def opening(path, *arguments):
        handle = real["open"](path, *arguments)
        names[handle] = Path(path)
        return handle

    def writing(handle, data):
        calls.append(("write", names[handle], bytes(data)))
        return real["write"](handle, data)

    def syncing(handle):
        calls.append(("fsync", names[handle]))
        real["fsync"](handle)

    def replacing(source, target):
        calls.append(("replace", Path(source), Path(target)))
        real["replace"](source, target)

    with monkeypatch.context() as patch:
        for name, call in zip(real, (opening, writing, syncing, replacing), strict=True):
            patch.setattr(os, name, call)
        yield calls


def crash_states(calls):
    """Yield every folder content that a power cut after these calls may leave: name to bytes.

    What was not synced may be there, half there, or not; a rename may or may not have reached the
    disk before the folder was synced.
    """
    content, synced, renamed, renamed_for_good = b"", False, None, False
    for call in calls:
        if call[0] == "write":
            content += call[2]
        elif call[0] == "replace":
            renamed = call[2].name
        elif call[1].suffix or call[1].name.startswith(".tmp-"):
            synced = True
        else:
            renamed_for_good = renamed is not None
    wholes = [content] if synced else [b"", content[: len(content) // 2], content]
    names = [renamed] if renamed_for_good else [".tmp-1-a", renamed] if renamed else [".tmp-1-a"]
    for name, data in itertools.product(names, wholes):
        yield {name: data}


def readings(calls, base, folder):
    """Yield what a reader finds in each crash state on top of `base`, "damaged" included."""
    for number, state in enumerate(crash_states(calls)):
        copy = folder / f"{len(calls)}-{number}"
        shutil.copytree(base, copy)
        for name, data in state.items():
            (copy / ".hplab" / "pending" / name).write_bytes(data)
        try:
            yield {record["seed"] for record in opened(copy).records()}
        except StoreError:
            yield "damaged"


@pytest.fixture
def one_put(tmp_path, monkeypatch):
    """A store with seed 0 in it, and the system calls of putting seed 1."""
    base = tmp_path / "base"
    store = opened(base)
    store.put([finished(0)])
    shutil.copytree(base, tmp_path / "copy")
    with recorded_calls(monkeypatch) as calls:
        opened(tmp_path / "copy").put([finished(1)])
    return base, calls, tmp_path / "crashes"


def test_a_batch_is_written_synced_renamed_and_its_folder_synced(one_put):
    _, calls, _ = one_put
    assert [call[0] for call in calls] == ["write", "fsync", "replace", "fsync"]
    temp, target = calls[2][1:]
    assert [call[1] for call in calls] == [temp, temp, temp, target.parent]
    assert temp.parent == target.parent
    assert temp.name.startswith(".tmp-")


def test_a_power_cut_after_any_call_leaves_the_old_or_the_new_store(one_put):
    base, calls, crashes = one_put
    for n_calls in range(len(calls)):
        for found in readings(calls[:n_calls], base, crashes):
            assert found in ({0}, {0, 1}), calls[:n_calls]
    assert list(readings(calls, base, crashes)) == [{0, 1}]


@pytest.mark.parametrize(("left_out", "symptom"), [(1, "damaged"), (3, {0})])
def test_the_replay_notices_a_missing_sync(one_put, left_out, symptom):
    base, calls, crashes = one_put
    assert symptom in list(readings(calls[:left_out] + calls[left_out + 1 :], base, crashes))


def test_new_folders_are_synced_into_their_parents(tmp_path, monkeypatch):
    with recorded_calls(monkeypatch) as calls:
        opened(tmp_path).put([finished(0)])
    synced = [call[1] for call in calls if call[0] == "fsync"]
    assert synced[:2] == [tmp_path, tmp_path / ".hplab"]


# ------------------------------------------------------------------------------ damaged files (S7)


def spoiled(rng, data, other):
    """Return the bytes of a batch with one random damage done to them."""
    lines = data.splitlines(keepends=True)
    at, end = sorted(rng.sample(range(len(data)), 2))
    row, second = rng.sample(range(len(lines)), 2)
    bit = rng.randrange(8)
    kinds = {
        "flip a bit": lambda: data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :],
        "cut the end": lambda: data[:at],
        "cut the middle": lambda: data[:at] + data[end:],
        "repeat a part": lambda: data[:end] + data[at:],
        "insert bytes": lambda: data[:at] + rng.randbytes(rng.randint(1, 9)) + data[at:],
        "zero a part": lambda: data[:at] + bytes(end - at) + data[end:],
        "drop a line": lambda: b"".join(lines[:row] + lines[row + 1 :]),
        "swap lines": lambda: b"".join(
            lines[{row: second, second: row}.get(i, i)] for i in range(len(lines))
        ),
        "splice another batch": lambda: data[:at] + other[at:],
        "change a digit": lambda: data.replace(b"0.", b"1.", rng.randint(1, 4)),
        "not a number": lambda: data.replace(b"0.5", rng.choice([b"NaN", b"1e999", b"-Infinity"])),
        "nest deeply": lambda: data[:at] + b"[" * 100_000 + data[at:],
        "huge integer": lambda: data.replace(b'"seed":', b'"seed":' + b"9" * 5000, 1),
        "other newlines": lambda: data.replace(b"\n", b"\r\n"),
        "surrogate": lambda: data.replace(b'"sum":"', b'"sum":"\\ud800', 1),
        "wide characters": lambda: data.decode().encode("utf-16"),
        "empty": lambda: b"",
    }
    return kinds[rng.choice(list(kinds))]()


def spoil_batches(folder, n_files, *, seed=4):
    """Spoil copies of one batch and read them; return how many were refused, and the wrong ones.

    Every second copy is given the digest of its spoiled bytes as its name, as a careless hand or
    tool would: then the lines must prove themselves, and only whole lines can be missing.
    """
    rng = random.Random(seed)
    good = {record["key"]: record for record in map(finished, range(6))}
    more = {record["key"]: record for record in map(finished, (7, 8))}
    name, data = batch_of(good)
    results = folder / "results" / "digits"
    results.mkdir(parents=True)

    def one(number):
        bad, renamed = spoiled(rng, data, batch_of(more)[1]), number % 2 == 1
        path = results / (f"{records.digest_of(bad)}.jsonl" if renamed else name)
        path.write_bytes(bad)
        try:
            found, refusal = attempt(held, folder)
            if refusal:
                assert str(path) in str(refusal)
                assert "\n" not in str(refusal)
                assert opened(folder).status()["damaged"] == [str(refusal)]
            else:
                assert all({**good, **more}.get(key) == record for key, record in found.items())
            assert renamed or (refusal is None) == (bad == data)
        finally:
            path.unlink()
        return refusal is not None

    return tally(n_files, one)


def batch_of(rows):
    return records.batch((key, records.canonical(row).encode()) for key, row in rows.items())


def test_a_thousand_damaged_files_never_give_a_wrong_answer(tmp_path):
    n_refused, wrong = spoil_batches(tmp_path, 1000)
    assert wrong == []
    assert n_refused >= 800


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_thousand_damaged_files_never_give_a_wrong_answer(tmp_path):
    n_refused, wrong = spoil_batches(tmp_path, 20_000, seed=5)
    assert wrong == []
    assert n_refused >= 16_000


# -------------------------------------------------------------------------------- full disks (S8)

FULL = """
import os, resource, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_store_faults import finished, held, opened
from hplab.sweeps.store import StoreError
folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = opened(folder)
for seed in range(8):
    store.put([finished(seed)])
big = [finished(seed) for seed in range(8, 500)]
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
try:
    store.put(big)
except StoreError as error:
    print(error.errno, error)
print(len(held(folder)), sum(1 for _ in store.records()), *folder.rglob(".tmp-*"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
store.put(big)
print(len(held(folder)))
"""


def test_a_file_size_limit_is_reported_and_the_same_records_can_be_put_again(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), *map(str, Path(__file__).parents[:2])],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    refusal, counts, after = done.stdout.splitlines()
    assert refusal.startswith(f"{errno.EFBIG} cannot write {tmp_path}")
    assert f"File too large (errno {errno.EFBIG})" in refusal
    assert "bytes free" in refusal
    assert counts == "8 8"
    assert after == "500"


SMALL_DISK = """
mount -t tmpfs -o size=256k tmpfs "$1" || exit 77
exec "$2" -c "$3" "$1" "$4" "$5"
"""
FILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_store_faults import finished, held, opened
from hplab.sweeps.store import StoreError
folder = Path(sys.argv[1])
store, n = opened(folder), 0
try:
    while True:
        store.put([finished(seed) for seed in range(n, n + 16)])
        n += 16
except StoreError as error:
    print(error.errno, error)
print(n, len(held(folder)), *folder.rglob(".tmp-*"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it mounts a disk in a name space of its own")
def test_a_disk_that_is_really_full_keeps_all_that_it_acknowledged(tmp_path):
    arguments = [tmp_path, sys.executable, FILLED, *Path(__file__).parents[:2]]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SMALL_DISK, "sh", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no disk may be mounted here")
    assert done.stderr == ""
    refusal, counts = done.stdout.splitlines()
    assert refusal.startswith(f"{errno.ENOSPC} cannot write {tmp_path}")
    n_put, n_held = map(int, counts.split())  # and no temporary file
    assert n_put == n_held >= 32


def test_a_full_device_is_reported_and_nothing_is_left_behind(tmp_path, monkeypatch):
    store, real = opened(tmp_path), os.open
    store.put([finished(0)])

    def full(path, flags, *mode):
        return real("/dev/full" if ".tmp-" in str(path) else path, flags & ~os.O_EXCL, *mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        _, refusal = attempt(store.put, [finished(1)])
        assert refusal.errno == errno.ENOSPC
        assert "No space left on device (errno 28)" in str(refusal)
        with pytest.raises(StoreError, match="No space left"):
            store.pack()
    assert {record["seed"] for record in held(tmp_path).values()} == {0}
    assert list(tmp_path.rglob(".tmp-*")) == []
    store.put([finished(1)])
    store.pack()
    assert {record["seed"] for record in held(tmp_path).values()} == {0, 1}


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "unlink"])
@pytest.mark.parametrize("nth", range(4))
def test_a_pack_that_fails_anywhere_loses_nothing_and_can_be_repeated(tmp_path, call, nth):
    store = opened(tmp_path)
    store.put_provenance({"torch": "2.15"})
    for seed in range(3):
        store.put([finished(seed)])
    with failing(call, nth):
        _, refusal = attempt(store.pack)
    assert refusal is None or refusal.errno == errno.EIO
    assert {record["seed"] for record in held(tmp_path).values()} == {0, 1, 2}
    opened(tmp_path).pack()
    assert {record["seed"] for record in held(tmp_path).values()} == {0, 1, 2}
    assert opened(tmp_path).status()["batches"] == 1


@contextmanager
def failing(name, nth):
    """Let the nth call of one system function fail, as a bad disk would."""
    real, calls = getattr(os, name), itertools.count()

    def call(*arguments, **keywords):
        if next(calls) == nth:
            raise OSError(errno.EIO, "Input/output error")
        return real(*arguments, **keywords)

    setattr(os, name, call)
    try:
        yield
    finally:
        setattr(os, name, real)


# ------------------------------------------------------------------------------- any history (S5)


class StoreHistory(RuleBasedStateMachine):
    """Any order of put, pack, reopen and failing calls: the store equals a dictionary."""

    @initialize()
    def start(self):
        self.folder = Path(os.environ["HPLAB_TEST_FOLDER"]) / os.urandom(8).hex()
        self.store, self.model = opened(self.folder), {}

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)

    seeds = st.lists(st.integers(0, 12), min_size=1, max_size=4, unique=True)
    faults = st.tuples(st.sampled_from(["write", "fsync", "replace", "unlink"]), st.integers(0, 3))

    @rule(seeds=seeds, loss=st.sampled_from([0.5, 0.25]))
    def put(self, seeds, loss):
        self.store.put([finished(seed, loss) for seed in seeds])
        for seed in seeds:
            self.model.setdefault(seed, loss)

    @rule(seeds=seeds, fault=faults)
    def put_on_a_bad_disk(self, seeds, fault):
        with failing(*fault):
            _, refusal = attempt(self.store.put, [finished(seed) for seed in seeds])
        if refusal:
            self.store.refresh()  # it may have been renamed before the failure: all of it or none
            there = {record["seed"] for record in self.store.records()}
            new = set(seeds) - set(self.model)
            assert new <= there or not new & there
            seeds = new & there
        for seed in seeds:
            self.model.setdefault(seed, 0.5)

    @rule()
    def pack(self):
        self.store.pack()

    @rule(fault=faults)
    def pack_on_a_bad_disk(self, fault):
        with failing(*fault):
            _, refusal = attempt(self.store.pack)
        assert refusal is None or refusal.errno == errno.EIO

    @rule()
    def reopen(self):
        self.store = opened(self.folder)

    @invariant()
    def equals_the_model(self):
        if hasattr(self, "store"):
            found = {r["seed"]: r["final"]["val_loss"] for r in self.store.records()}
            assert found == self.model


@pytest.mark.parametrize(
    ("n", "n_steps"), [(30, 20), pytest.param(300, 30, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(900)
def test_any_history_of_puts_packs_and_failures_equals_a_dictionary(
    tmp_path, monkeypatch, n, n_steps
):
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setenv("HPLAB_TEST_FOLDER", str(tmp_path))
    limits = settings(
        max_examples=n,
        stateful_step_count=n_steps,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(StoreHistory, settings=limits)


# -------------------------------------------------------------------------------------- git (S10)


@pytest.fixture
def git(tmp_path):
    """Run git in `tmp_path`/repo, without anybody's settings."""
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    names = ["-c", "user.name=n", "-c", "user.email=n@example.org"]

    def run(*arguments, at="repo"):
        (tmp_path / at).mkdir(exist_ok=True)
        return subprocess.run(
            ["git", *names, *arguments],
            cwd=tmp_path / at,
            env={**os.environ, **alone},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    run("init", "-q", "-b", "main")
    return run


def commit_results(git, repo, seeds):
    store = opened(repo)
    store.put([finished(seed) for seed in seeds])
    store.pack()
    git("add", "results")
    git("commit", "-q", "-m", "results")


@pytest.mark.parametrize("n_added", [1, 10, 100, 400])
def test_branches_that_both_add_results_merge_cleanly(git, tmp_path, n_added):
    repo, shared = tmp_path / "repo", min(5, n_added // 2)
    commit_results(git, repo, range(200))
    for branch, first in (("ours", 1000), ("theirs", 1000 + n_added - shared)):
        git("switch", "-q", "-c", branch, "main")
        commit_results(git, repo, range(first, first + n_added))
    git("switch", "-q", "ours")
    git("merge", "-q", "theirs")
    seeds = {record["seed"] for record in held(repo).values()}
    assert seeds == {*range(200), *range(1000, 1000 + 2 * n_added - shared)}
    assert opened(repo).conflicts() == []
    assert git("status", "--porcelain", "results") == ""


def test_merged_branches_with_different_results_show_both(git, tmp_path):
    repo = tmp_path / "repo"
    commit_results(git, repo, [0])
    for branch, loss in (("ours", 0.5), ("theirs", 0.75)):
        git("switch", "-q", "-c", branch, "main")
        opened(repo).put([finished(1, loss)])
        opened(repo).pack()
        git("add", "results")
        git("commit", "-q", "-m", branch)
    git("merge", "-q", "ours")
    (conflict,) = opened(repo).conflicts()
    assert {r["final"]["val_loss"] for r in conflict["records"]} == {0.5, 0.75}
    assert conflict["max_delta"] == 0.25
    assert held(repo)[conflict["key"]] == conflict["records"][0]


def test_batches_survive_a_clone_that_changes_line_ends(git, tmp_path):
    attributes = Path(__file__).parents[2] / "book" / "results" / ".gitattributes"
    (tmp_path / "repo" / "results").mkdir()
    shutil.copy(attributes, tmp_path / "repo" / "results")
    commit_results(git, tmp_path / "repo", range(10))
    git("clone", "-q", "-c", "core.autocrlf=true", str(tmp_path / "repo"), "there", at=".")
    assert held(tmp_path / "there") == held(tmp_path / "repo")
