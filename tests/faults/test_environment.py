"""What a machine may lack: room on its disks, a home, shared memory, letters, a steady clock.

Each test is a process of its own. Those that mount something do so in a name space of their own,
which ends with the process.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hplab.sweeps import checkpoints
from hplab.sweeps.store import Store

ROOT = Path(__file__).resolve().parents[2]
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="it mounts in a name space")
SWEEP = """program: prog.py
method: grid
metric: {name: y, goal: minimize}
parameters:
  x: {min: 1, max: 60}
"""
PROGRAM = "def train(x):\n    return {'y': 2.0 * x, 'Größe': 1.0}\n"
TRAIN = """
import hplab as hp
small = hp.Trial("digits", model="mlp", model_args={"hidden": [8]}, epochs=1, n_train=64)
runs = hp.run(hp.grid(small, seed=range(2)), preset="paper", device="cpu", jobs=1)
print(list(runs["status"]))
"""
HPLAB = f'"{sys.executable}" -W error -m hplab.cli'


def environment(folder, **more):
    """Return an environment with all of hplab's folders in this one; None takes a variable away."""
    mine = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HPLAB_RESULTS": str(folder / "results"),
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
    }
    (folder / "tmp").mkdir(exist_ok=True)
    found = {**os.environ, **mine, **more}
    return {name: value for name, value in found.items() if value is not None}


def shell(folder, script, **env):
    """Run a script in a folder; return its code, what it printed, and what it complained of."""
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, env=environment(folder, **env), capture_output=True,
        timeout=90,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def apart(folder, mounts, script, **env):
    """Run a script as `shell` does, where something is mounted that nobody else sees."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    ready = f"{{ {mounts} ; }} 2>/dev/null || exit 77"
    whole = f"unshare -rm sh -c '{ready}\n{script}'"
    code, said, complaint = shell(folder, whole, **env)
    if code == 77 or "unshare:" in complaint:
        pytest.skip("nothing may be mounted here")
    return code, said, complaint


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "prog.py").write_text(PROGRAM, encoding="utf-8")
    return tmp_path


# -------------------------------------------------------------------------------- full disks


@needs_linux
def test_records_that_a_full_disk_refuses_lie_elsewhere_and_count_once_they_are_moved(sweep):
    (sweep / ".hplab").mkdir()
    mounts = "mount -t tmpfs -o size=24k none .hplab"
    script = f"""
        {HPLAB} sweep sweep.yaml; echo "code $?"
        mount -o remount,size=8m .hplab
        mkdir -p .hplab/pending && mv tmp/hplab-*.jsonl .hplab/pending/
        {HPLAB} sweep sweep.yaml | head -n 1
    """
    _, said, complaint = apart(sweep, mounts, script)

    assert "code 2" in said
    assert "Traceback" not in complaint
    [line] = [line for line in complaint.splitlines() if line.startswith("hplab:")]
    assert "No space left on device" in line
    assert f"are in {sweep / 'tmp'}" in line
    assert "60 runs at 60 points, 0 new: 60 finished" in said


@needs_linux
def test_where_the_temporary_folder_is_full_too_the_next_one_takes_the_records(sweep):
    for name in (".hplab", "tmp"):
        (sweep / name).mkdir()
    mounts = (
        "mount -t tmpfs -o size=24k none .hplab && mount -t tmpfs -o size=4k none tmp && "
        "echo full > tmp/full"
    )
    _, said, complaint = apart(sweep, mounts, f'{HPLAB} sweep sweep.yaml; echo "code $?"')

    assert "code 2" in said
    assert "Traceback" not in complaint
    [line] = [line for line in complaint.splitlines() if line.startswith("hplab:")]
    n, path = re.search(r"; (\d+) finished trials are in (\S+): move", line).groups()
    kept = Path(path).read_bytes().splitlines()
    Path(path).unlink()
    assert not path.startswith(str(sweep / "tmp"))
    assert len(kept) == int(n) == 59  # the first one was put before there was no room


@pytest.mark.slow
@needs_linux
def test_a_full_build_folder_is_one_line(tmp_path):
    """In a checkout of its own: the code, and a book of one study."""
    shutil.copytree(
        ROOT / "hplab", tmp_path / "hplab", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "book" / "studies").mkdir(parents=True)
    study = ROOT / "book" / "studies" / "01-learning-rate.md"
    shutil.copy(study, tmp_path / "book" / "studies")
    (tmp_path / "_build").mkdir()
    mounts = "mount -t tmpfs -o size=4k none _build && ! head -c 9000 /dev/zero > _build/other"
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])

    _, said, complaint = apart(
        tmp_path, mounts, f'{HPLAB} run 01 --preset smoke; echo "code $?"', PYTHONPATH=path
    )

    assert "code 2" in said
    assert re.search(r"^hplab: .*_build.*: No space left on device$", complaint, re.MULTILINE)
    assert "Traceback" not in complaint


def test_a_limit_on_the_size_of_files_is_one_line(sweep):
    limit = "ulimit -f 8; " if sys.platform == "linux" else pytest.skip("blocks differ elsewhere")
    script = f"trap '' XFSZ; {limit} {HPLAB} sweep sweep.yaml"

    code, _, complaint = shell(sweep, script)

    assert code == 2
    assert "File too large" in complaint
    assert "Traceback" not in complaint


# ----------------------------------------------------------------------- what may not be written


@pytest.mark.slow
@needs_linux
def test_a_checkout_that_may_not_be_written_is_one_line_and_can_still_be_read(tmp_path):
    frozen = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "hplab", frozen / "hplab", ignore=ignored)
    shutil.copytree(ROOT / "book" / "studies", frozen / "book" / "studies")
    mounts = f"mount --bind {frozen} {frozen} && mount -o remount,ro,bind {frozen}"
    path = os.pathsep.join([str(frozen), *filter(None, sys.path)])
    script = f"""
        cd {frozen}
        {HPLAB} run 01 --preset smoke; echo "run $?"
        {HPLAB} pack; echo "pack $?"
        {HPLAB} status > /dev/null; echo "status $?"
    """
    _, said, complaint = apart(tmp_path, mounts, script, PYTHONPATH=path, HPLAB_RESULTS=None)

    assert "run 2" in said
    assert "status 0" in said
    lines = complaint.splitlines()
    assert len(lines) == 2
    assert all(line.endswith(": Read-only file system") for line in lines)
    assert "Traceback" not in complaint


@needs_linux
def test_elsewhere_than_in_a_checkout_that_may_not_be_written_trials_are_recorded(tmp_path):
    frozen = tmp_path / "clone"
    shutil.copytree(ROOT / "hplab", frozen / "hplab", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "train.py").write_text(TRAIN)
    mounts = f"mount --bind {frozen} {frozen} && mount -o remount,ro,bind {frozen}"
    path = os.pathsep.join([str(frozen), *filter(None, sys.path)])

    code, said, complaint = apart(
        tmp_path, mounts, f'cd work; "{sys.executable}" train.py', PYTHONPATH=path
    )

    assert (code, said.splitlines()[-1:]) == (0, ["['ok', 'ok']"]), complaint
    assert Store(tmp_path / "results", tmp_path / ".hplab" / "pending").status()["records"] == 2


@pytest.mark.slow
@needs_linux
def test_nobody_at_home_trains_and_asks_the_doctor_all_the_same(tmp_path):
    """No HOME, and no entry for the user that names one: as in many containers."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "passwd").write_text("")
    mounts = "mount --bind passwd /etc/passwd"
    script = f'"{sys.executable}" train.py && {HPLAB} data && {HPLAB} doctor'
    gone = dict.fromkeys(("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "HPLAB_CACHE"))

    code, said, complaint = apart(tmp_path, mounts, script.replace("'", ""), **gone)

    assert code == 0, complaint
    assert "['ok', 'ok']" in said
    assert "digits" in said
    assert "Traceback" not in complaint
    assert not (tmp_path / "~").exists()


SHARED = """
import hplab as hp
from hplab.sweeps import driver

driver.POOL_FROM_S = 0.0  # so that so little work goes to processes
if __name__ == "__main__":
    small = hp.Trial("digits", model="mlp", model_args={"hidden": [8]}, epochs=1, n_train=64)
    trials = hp.grid(small, batch_size=[30, 31])
    runs = hp.run(trials, preset="paper", device="cpu", jobs=2)
    print(list(runs["status"]))
"""


@pytest.mark.slow
@needs_linux
@pytest.mark.parametrize(
    ("options", "told"),
    [("ro,size=4k", True), ("size=64k", False)],
    ids=["none that may be written", "next to none"],
)
def test_without_shared_memory_trials_are_trained(tmp_path, options, told):
    (tmp_path / "train.py").write_text(SHARED)
    mounts = f"mount -t tmpfs -o {options} none /dev/shm"

    code, said, complaint = apart(tmp_path, mounts, f'"{sys.executable}" train.py')

    assert code == 0, complaint
    assert said.splitlines()[-1] == "['ok', 'ok']"
    assert ("one process trains: others cannot be started here" in said) == told


# ----------------------------------------------------------------------------------- letters


LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "ASCII": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    "POSIX": {"LC_ALL": "POSIX", "LANG": None},
    "Turkish": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "unknown": {"LC_ALL": "xx_YY.utf99", "LANGUAGE": "xx"},
}


@pytest.mark.parametrize("name", LOCALES)
def test_a_locale_changes_no_record(sweep, name):
    code, said, complaint = shell(sweep, f"{HPLAB} sweep sweep.yaml", **LOCALES[name])

    assert code == 0, complaint
    assert "60 runs at 60 points, 60 new: 60 finished" in said
    records = Store(sweep / "results", sweep / ".hplab" / "pending").records()
    kept = {json.dumps(r["config"]["point"]): r["final"] for r in records}
    assert kept == {json.dumps({"x": x}): {"y": 2.0 * x, "Größe": 1.0} for x in range(1, 61)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["C", "ASCII"])
def test_commands_answer_where_only_ascii_can_be_shown(tmp_path, name):
    script = f"{HPLAB} doctor && {HPLAB} status && {HPLAB} claims S0-01"

    code, _, complaint = shell(tmp_path, script, **LOCALES[name])

    assert "UnicodeEncodeError" not in complaint
    assert "Traceback" not in complaint
    assert code == 0, complaint


# ------------------------------------------------------------------------------------- clocks


@pytest.mark.parametrize("jump_s", [-86_400.0, -3_600.0, 3_600.0, 86_400.0])
def test_a_clock_that_jumps_leaves_no_training_waiting(tmp_path, jump_s):
    folder = checkpoints.Folder(tmp_path, {}, checkpoints.EVERY_S)
    keeper = checkpoints.Checkpoint(folder, [], "d" * 64)
    hold = tmp_path / checkpoints.HOLD
    hold.touch()
    assert keeper._is_held()

    os.utime(hold, (time.time() - jump_s,) * 2)  # what is left of before, once the clock jumped

    assert not keeper._is_held()


CLOCK = """
import time
import hplab as hp
real, n = time.time, iter(range(10**6))
time.time = lambda: real() + (-1) ** next(n) * 90_000.0  # a day forth, a day back, at every look
def train(x):
    return {"y": 2.0 * x}
runs = hp.sweep(train, x=range(20), jobs=1, version="1")
again = hp.sweep(train, x=range(20), jobs=1, version="1")
from hplab.sweeps import store
print(runs["y"].tolist() == again["y"].tolist(), again.attrs["n_new"], runs["train_s"].min() >= 0)
print(len(store.default_store().pack()), store.default_store().status()["records"])
"""


def test_a_clock_that_jumps_loses_no_record(tmp_path):
    (tmp_path / "train.py").write_text(CLOCK)

    code, said, complaint = shell(tmp_path, f'"{sys.executable}" train.py')

    assert code == 0, complaint
    assert said.splitlines() == ["True 0 True", "1 20"]
