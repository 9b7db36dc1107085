"""What the `hplab` command answers: exit codes, one-line errors, and what it hands on."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tiny_functions import tree

import hplab as hp
from hplab import cli
from hplab.analysis.claims import rerun
from hplab.cli import base
from hplab.pages.notebooks import execute, pairing
from hplab.pages.notebooks.execute import Outcome
from hplab.pages.site import build as site
from hplab.pages.tables import doctor
from hplab.sweeps.records import canonical, digest_of, seal
from hplab.sweeps.store import Store
from hplab.trial import TASK, TASK_VERSION, Trial

PAGE = (
    pairing.HEADER
    + """\

# A page

```{{code-cell}} ipython3
:tags: [parameters]

preset = "laptop"
device = "auto"
n_seeds = None
```

```{{code-cell}} ipython3
{code}
```
"""
)
STUDIES = ("01-learning-rate", "02-batch-size")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone with two studies, and a store of its own."""
    folder = tmp_path / "book" / "studies"
    folder.mkdir(parents=True)
    for name in STUDIES:
        (folder / f"{name}.md").write_text(PAGE.format(code="preset"))
    monkeypatch.setattr(base, "ROOT", tmp_path)
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(site, "build", lambda *_, **__: pytest.fail("built the pages"))
    return tmp_path


@pytest.fixture
def hplab(capsys):
    """Run the command in this process; return its exit code, output and errors."""

    def run(*args):
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main(args)
        finally:
            signal.signal(signal.SIGTERM, handler)
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def asked(monkeypatch):
    """What `execute.run_all` is asked for, in place of doing it."""
    calls = []

    def run_all(sources, out_dir, parameters=None, **options):
        calls.append({"sources": sources, "out_dir": out_dir, "parameters": parameters, **options})
        return [Outcome(path.stem, out_dir, 0.0) for path in sources]

    monkeypatch.setattr(execute, "run_all", run_all)
    return calls


def test_help_needs_nothing_heavy():
    heavy = "{'torch', 'numpy', 'pandas', 'matplotlib', 'nbformat'}"
    code = f"import sys, hplab.cli; print(sorted({heavy} & set(sys.modules)))"

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_help_says_what_each_command_is_for(hplab):
    code, out, _ = hplab("--help")

    assert code == 0
    for name in ("run", "execute", "book", "status", "data", "doctor", "pack", "sync", "check"):
        assert f"\n  {name} " in out
        assert len(hplab(name, "--help")[1].splitlines()) > 4


def test_version(hplab):
    assert hplab("--version")[1].startswith("hplab, version ")


@pytest.mark.parametrize(
    "name", ["02-batch-size", "batch-size", "02", "2", "book/studies/02-batch-size.md"]
)
def test_a_study_goes_by_its_name_topic_number_or_path(clone, name):
    assert [page.stem for page in base.find_studies([name])] == ["02-batch-size"]


def test_no_name_means_all_studies_and_two_names_one_study_once(clone):
    assert [page.stem for page in base.find_studies([])] == list(STUDIES)
    assert [page.stem for page in base.find_studies(["02", "1", "batch-size"])] == list(STUDIES)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ("run", "01-learning-rat"),
            ["study", "01-learning-rat", "did you mean '01-learning-rate'"],
        ),
        (("execute", "--preset", "papr"), ["preset", "'papr'", "did you mean 'paper'"]),
        (("execute", "--device", "gpu"), ["device", "'gpu'", "cuda"]),
        (("data", "fetch", "mnis"), ["data set", "'mnis'", "did you mean 'mnist'"]),
        (("execute", "--seeds", "0"), ["--seeds", "0"]),
        (("frobnicate",), ["frobnicate"]),
        (("check",), ["make execute"]),
    ],
)
def test_a_mistake_is_told_in_words_with_exit_code_2(clone, hplab, args, words):
    code, out, err = hplab(*args)

    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    assert all(word in err.splitlines()[-1] for word in words), err


def test_outside_a_clone_the_message_says_so(clone, hplab, monkeypatch):
    monkeypatch.setattr(base, "ROOT", clone / "elsewhere")

    assert "works in a clone" in hplab("execute")[2]


def test_options_reach_the_notebook_and_its_kernel(clone, hplab, asked):
    sizes = ("--preset", "smoke", "--device", "cpu", "--seeds", "3")
    code, _, _ = hplab("run", "01", *sizes, "--jobs", "2", "--timeout", "60")

    (call,) = asked
    assert code == 0
    assert [path.name for path in call["sources"]] == ["01-learning-rate.md"]
    assert call["parameters"] == {"preset": "smoke", "device": "cpu", "n_seeds": 3}
    assert call["env"] == {"HPLAB_JOBS": "2"}
    assert call["timeout_s"] == 60
    assert call["at_once"] == 1
    assert call["out_dir"] == clone / "_build" / "executed" / "studies"


def test_what_is_not_asked_for_is_left_to_the_notebook(clone, hplab, asked):
    hplab("run", "01", "--timeout", "0")

    assert asked[0]["parameters"] == {}
    assert asked[0]["env"] == {}
    assert asked[0]["timeout_s"] is None


@pytest.mark.parametrize(
    ("arguments", "around", "env"),
    [
        ("--dask 127.0.0.1:8786", "", {"HPLAB_DASK": "127.0.0.1:8786"}),
        ("--dask tls://a:1", "127.0.0.1:8786", {"HPLAB_DASK": "tls://a:1"}),
        ("--jobs 2", "127.0.0.1:8786", {"HPLAB_JOBS": "2", "HPLAB_DASK": ""}),
    ],
)
def test_who_trains_is_told_to_the_kernel(clone, hplab, asked, monkeypatch, arguments, around, env):
    monkeypatch.setenv("HPLAB_DASK", around)

    assert hplab("run", "01", *arguments.split())[0] == 0

    [call] = asked
    assert call["env"] == env


@pytest.mark.parametrize(("preset", "limit"), [("laptop", 3600), ("paper", None)])
def test_a_study_of_full_size_may_take_as_long_as_it_takes(clone, hplab, asked, preset, limit):
    hplab("run", "01", "--preset", preset)

    assert asked[0]["timeout_s"] == limit


def test_the_book_is_made_from_records_at_the_paper_preset(clone, hplab, asked, monkeypatch):
    built = []
    monkeypatch.setattr(site, "build", lambda *args: built.append(args) or clone / "index.html")
    old = clone / "_build" / "executed" / "studies" / "09-dropped.ipynb"
    old.parent.mkdir(parents=True)
    old.touch()

    code, out, _ = hplab("book")

    assert code == 0
    assert asked[0]["parameters"] == {"preset": "paper"}
    assert asked[0]["env"] == {"HPLAB_MODE": "cached"}
    assert built == [(clone / "_build" / "executed", clone / "_build" / "html")]
    assert "index.html" in out
    assert not old.exists()  # a page without a study


@pytest.fixture
def gallery(clone, monkeypatch):
    """A page of the gallery in the clone; no site is built."""
    monkeypatch.setattr(site, "build", lambda *args: clone / "index.html")
    page = clone / "book" / "gallery" / "01-mine.md"
    page.parent.mkdir()
    page.write_text(PAGE.format(code="1"))
    return page


@pytest.mark.parametrize("command", ["book", "execute"])
def test_the_gallery_trains_in_a_folder_of_its_own(clone, hplab, asked, gallery, command):
    left = clone / "_build" / "gallery" / "results" / "left.jsonl"
    left.parent.mkdir(parents=True)
    left.touch()

    assert hplab(command, "--jobs", "1")[0] == 0

    call = asked[1]
    assert call["sources"] == [gallery]
    assert call["out_dir"] == clone / "_build" / "executed" / "gallery"
    assert call["cwd"] == clone / "_build" / "gallery"
    records = {"HPLAB_MODE": "", "HPLAB_RESULTS": str(left.parent), "HPLAB_JOBS": "1"}
    assert call["env"] == records
    assert not left.exists()


def test_who_asks_for_one_study_does_not_wait_for_the_gallery(hplab, asked, gallery):
    assert hplab("execute", "--study", "01")[0] == 0

    assert len(asked) == 1


def test_pages_of_the_gallery_are_paired_too(hplab, gallery):
    hplab("sync")

    assert gallery.with_suffix(".ipynb").is_file()
    gallery.with_suffix(".ipynb").unlink()
    assert "01-mine.ipynb: is missing" in hplab("sync", "--check")[1]


def test_without_book_the_pages_stay(clone, hplab, asked):
    assert hplab("execute", "--no-book")[0] == 0


@pytest.mark.xdist_group("kernels")
@pytest.mark.timeout(300)
def test_a_failing_study_is_listed_at_the_end_and_the_other_still_runs(clone, hplab):
    (clone / "book/studies/01-learning-rate.md").write_text(PAGE.format(code="1 / 0"))

    code, _, err = hplab("execute", "--preset", "smoke")

    assert code == 1
    assert "02-batch-size: verified" in err
    assert "01-learning-rate, cell 3: ZeroDivisionError: division by zero" in err
    assert "1 of 2 studies failed; no page was built" in err.splitlines()[-1]
    assert (clone / "_build/executed/studies/02-batch-size.ipynb").exists()
    assert (clone / "_build/faults/01-learning-rate.ipynb").exists()
    assert not (clone / "_build/executed/studies/01-learning-rate.ipynb").exists()
    assert "02-batch-size     smoke" in doctor.pages(clone)
    assert "not executed yet" in doctor.pages(clone)


@pytest.mark.xdist_group("kernels")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_everything_and_says_what_is_kept(clone, how):
    begun = clone / "begun"
    code = f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(300)"
    (clone / "book/studies/01-learning-rate.md").write_text(PAGE.format(code=code))
    script = (
        "import pathlib, signal, sys; from hplab import cli; from hplab.cli import base;"
        # a shell that starts the tests in the background has told its children to ignore Ctrl-C
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "base.ROOT = pathlib.Path(sys.argv[1]); cli.main(['run', '01'])"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", script, str(clone)],
        env={**os.environ, "HPLAB_TEST": str(clone)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.1)

    command.send_signal(how)
    _, err = command.communicate(timeout=30)

    assert command.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    assert "every finished trial is kept" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not [p for p in psutil.process_iter() if _carries(p, "HPLAB_TEST", str(clone))]


def _carries(process, variable, value):
    try:
        return process.environ().get(variable) == value and process.status() != "zombie"
    except psutil.Error:
        return False


def test_sync_writes_the_pairs_and_checks_them(clone, hplab):
    assert hplab("sync", "--check")[0] == 1

    code, out, _ = hplab("sync")
    assert code == 0
    assert out.count("wrote ") == 2
    assert hplab("sync")[1] == ""
    assert hplab("sync", "--check") == (0, "pairs: no problem\n", "")

    page = clone / "book/studies/02-batch-size.md"
    page.write_text(page.read_text().replace("# A page", "# Another page"))
    code, out, err = hplab("sync", "--check")
    assert code == 1
    assert out.splitlines() == [
        "02-batch-size.ipynb, cell 1: differs from 02-batch-size.md; run `hplab sync`"
    ]
    assert err == "hplab: 1 problem in the pairs\n"


def test_check_lists_what_is_wrong_with_the_pages(clone, hplab, monkeypatch):
    (clone / "_build/html").mkdir(parents=True)
    monkeypatch.setattr(site, "check", lambda _: ["intro.html: a broken link"])

    assert hplab("check") == (1, "intro.html: a broken link\n", "hplab: 1 problem in the pages\n")

    monkeypatch.setattr(site, "check", lambda _: [])
    assert hplab("check")[0] == 0


def test_check_reads_the_executed_notebooks_again(clone, hplab, monkeypatch):
    (clone / "_build/html").mkdir(parents=True)
    executed = clone / "_build/executed/studies/01-learning-rate.ipynb"
    executed.parent.mkdir(parents=True)
    hplab("sync")
    executed.write_text((clone / "book/studies/01-learning-rate.ipynb").read_text())
    monkeypatch.setattr(site, "check", lambda _: [])

    code, out, _ = hplab("check")

    assert code == 1
    assert "01-learning-rate.ipynb, cell 2: did not run to its end" in out


def record(seed, *, lr=0.1, val_acc=0.5):
    trial = Trial(data="digits", model="mlp", lr=lr, epochs=4, seed=seed)
    return {
        "v": 1,
        "key": trial.key("d" * 64),
        "task": TASK,
        "task_version": TASK_VERSION,
        "data": "d" * 64,
        "config": trial.config(),
        "seed": seed,
        "status": "ok",
        "at": None,
        "final": {"val_acc": val_acc},
        "curves": {},
        "cost": {},
        "prov": "0123456789ab",
    }


def test_status_counts_records_settings_failures_and_conflicts(clone, hplab):
    store = Store(clone / "results", clone / ".hplab" / "pending")
    store.put([record(seed, lr=lr) for seed in range(3) for lr in (0.1, 0.2)])
    store.pack()
    store.put([record(3)])
    store.put([record(0, val_acc=0.75)])
    store.log_failure(
        {"key": "f" * 32, "error": "RuntimeError", "message": "out of memory\nat step 3"}
    )

    code, out, _ = hplab("status")

    assert code == 0
    assert "records: 7 (6 committed, 1 pending, 0 diverged)" in out
    assert ["digits", "mlp", "4", "all", "2", "7"] in [line.split() for line in out.splitlines()]
    assert "conflicts: 1" in out
    assert "differ by 0.25" in out
    assert "failures: 1" in out
    assert "ffffffffffff: RuntimeError: out of memory" in out
    assert "01-learning-rate" in out


def test_status_of_a_damaged_store_names_the_file(clone, hplab):
    (clone / "results/digits").mkdir(parents=True)
    (clone / "results/digits/0123456789abcdef.jsonl").write_text("{}\n")

    code, out, _ = hplab("status")

    assert code == 0
    assert "damaged" in out
    assert "0123456789abcdef.jsonl" in out


def test_what_the_system_refuses_is_one_line(clone, hplab, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/_build")

    monkeypatch.setattr(doctor, "results", full)
    assert hplab("status") == (2, "", "hplab: /somewhere/_build: No space left on device\n")


def test_a_folder_that_is_gone_is_one_line(clone, hplab, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    words = "hplab: the folder that this was started in is gone; change to one that is there\n"
    assert hplab("sweep", "sweep.yaml") == (2, "", words)


def test_what_ends_too_early_is_no_interrupt(clone, hplab, monkeypatch):
    def cut(*_, **__):
        raise EOFError("Ran out of input")

    monkeypatch.setattr(doctor, "results", cut)
    code, _, error = hplab("status")
    assert (code, error.strip()) == (2, "hplab: what was read ended too early: Ran out of input")


@pytest.mark.parametrize(
    "command",
    [
        ("judge", "runs.csv", "--html", "MINE"),
        ("report", "runs.csv", "--html", "MINE"),
        ("sweep", "sweep.yaml", "--html", "MINE"),
        ("sweep", "sweep.yaml", "--out", "MINE"),
        ("plan", "--trials", "MINE"),
        ("pdf", "--out", "MINE"),
    ],
)
def test_no_command_writes_over_a_file_of_another_kind(hplab, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    mine = Path("train.py")
    mine.write_text("mine")

    asked = [str(mine) if word == "MINE" else word for word in command]
    code, _, error = hplab(*asked)
    assert (code, mine.read_text()) == (2, "mine")
    assert "'train.py' is there already and would be overwritten" in error

    asked = ["nowhere/x" if word == "MINE" else word for word in command]
    code, _, error = hplab(*asked)
    assert code == 2
    assert "there is no folder 'nowhere'" in error


def test_a_page_may_be_written_anew(hplab, tmp_path):
    runs = tmp_path / "runs.csv"
    rows = [f"{lr},{seed},{0.9 - lr + 0.001 * seed}" for lr in (0.1, 0.2) for seed in range(4)]
    runs.write_text("\n".join(["lr,seed,val_acc", *rows]))
    for _ in range(2):
        code, _, error = hplab("judge", str(runs), "--html", str(tmp_path / "page.html"))
        assert (code, "wrote" in error) == (0, True)


def test_a_claim_that_is_unknown_is_told_before_the_others_are_judged(hplab, monkeypatch):
    monkeypatch.setattr(rerun, "all_verdicts", lambda *_, **__: pytest.fail("judged them all"))
    code, out, error = hplab("claims", "S9-99")
    assert (code, out) == (2, "")
    assert "unknown claim 'S9-99'" in error


def test_a_command_that_writes_pages_says_who_else_does(clone, hplab, monkeypatch):
    script = f"""
import sys
from pathlib import Path
from hplab.sweeps import locks
with locks.held(Path({str(clone)!r}) / "_build" / ".lock", "hplab book", waits=False):
    print("held", flush=True)
    sys.stdin.read()
"""
    monkeypatch.setattr(execute, "run_all", lambda *_, **__: pytest.fail("wrote into _build"))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        for command in (("run", "1"), ("book",), ("execute",), ("records",)):
            code, _, err = hplab(*command)
            assert code == 2, command
            said = rf"hplab: hplab book \(process {other.pid}, since .*\) is writing in .*_build; "
            assert re.fullmatch(rf"{said}wait until it is done, or end it\n", err)
        other.kill()  # it says no word about it
    monkeypatch.setattr(execute, "run_all", lambda *_, **__: [])
    assert hplab("run", "1")[0] == 0


def test_a_check_with_nothing_to_check_is_a_mistake(clone, hplab):
    code, out, err = hplab("claims", "--check")
    assert (code, out) == (2, "")
    assert err.startswith("hplab: nothing to check: there is no ")
    for page in (clone / "book" / "studies").iterdir():
        page.unlink()
    assert hplab("sync", "--check")[0] == 2


def test_verdicts_on_contradicting_records_are_no_verdicts(clone, hplab):
    """A copy with another value and a fitting checksum: its name would decide which counts."""
    (clone / "book" / "verdicts.json").write_text("{}")
    store = Store(clone / "results", clone / ".hplab" / "pending")
    prov = store.put_provenance({"code": "0" * 16})
    store.put([record(1) | {"prov": prov}])
    store.pack()
    [committed] = (clone / "results" / "digits").glob("*.jsonl")
    changed = json.loads(committed.read_text())
    changed["final"]["val_acc"] = 0.99
    text = canonical(seal(changed)).encode() + b"\n"
    (committed.parent / f"{digest_of(text)}.jsonl").write_bytes(text)

    code, out, err = hplab("claims", "--check")

    assert code == 1
    assert "jsonl:1: contradicts " in out
    assert err == "hplab: 1 problem in the records\n"


def test_the_store_is_checked_put_together_and_cleared(clone, hplab):
    store = Store(clone / "results", clone / ".hplab" / "pending")
    for seed in range(4):
        store.put([record(seed)])
        store.pack()
    code, out, _ = hplab("store", "check")
    assert code == 1  # the records of this test have no description of an environment
    assert "no provenance '0123456789ab'" in out

    assert "4 records, 1 files written, 4 deleted" in hplab("store", "compact")[1]
    assert "0 records, 0 files written, 0 would delete" in hplab("store", "gc", "--dry-run")[1]
    elsewhere = Store(clone / "other" / "results", clone / "other" / ".hplab" / "pending")
    elsewhere.put([record(3), record(4)])
    said = hplab("store", "merge", str(clone / "other"))[1]
    assert "1 records, 1 files written, 0 deleted; 1 were here already" in said
    assert "records: 5 (4 committed, 1 pending" in hplab("status")[1]
    assert "0 of 5 records were made with other code" in hplab("stale")[1]


def test_pack_says_what_it_wrote(clone, hplab):
    assert hplab("pack")[1] == "nothing is pending\n"

    Store(clone / "results", clone / ".hplab" / "pending").put([record(1)])

    assert "digits" in hplab("pack")[1]


def test_runs_of_ones_own_functions_are_no_records_of_the_book(clone, hplab, monkeypatch):
    (clone / "hplab").mkdir()
    (clone / "hplab" / "trial.py").touch()
    monkeypatch.delenv("HPLAB_RESULTS")
    monkeypatch.chdir(clone)
    monkeypatch.setenv("HPLAB_JOBS", "1")
    made = hp.sweep(tree, depth=[2, 4], kernel="rbf")
    place = clone / "book" / "results", clone / ".hplab" / "pending"
    store = Store(*place)
    store.put([{**record(1), "prov": store.put_provenance({"torch": "2.13"})}])

    said = hplab("pack")[1]

    assert "wrote book/results/digits/" in said
    assert "2 runs of functions of your own (hp.sweep) stay in .hplab/pending" in said
    assert [path.name for path in place[0].glob("*") if path.name != "prov"] == ["digits"]
    (described,) = place[0].glob("prov/*.json")
    assert json.loads(described.read_bytes()) == {"torch": "2.13"}
    assert hplab("pack")[1].startswith("2 runs of functions")
    assert hp.provenance(made, store=Store(*place)).text  # what they ran with is there still
    assert hp.sweep(tree, depth=[2, 4], kernel="rbf").attrs["n_new"] == 0

    assert "wrote book/results/sweep-tree/" in hplab("pack", "--functions")[1]
    assert hp.sweep(tree, depth=[2, 4], kernel="rbf").attrs["n_new"] == 0
    assert hplab("pack")[1] == "nothing is pending\n"


def test_data_says_where_each_set_would_come_from(clone, hplab, monkeypatch):
    (clone / "data").mkdir()
    (clone / "data" / "mnist.npz").touch()
    monkeypatch.setenv("HPLAB_DATA", str(clone / "data"))
    monkeypatch.setenv("HPLAB_CACHE", str(clone / "cache"))

    code, out, _ = hplab("data")

    assert code == 0
    places = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert places["digits"] == "embedded"
    assert places["mnist"] == "HPLAB_DATA"
    assert places["cifar10"] == "not here; hplab data fetch cifar10"
    assert places["dinosaurs"] == "not here; put dinosaurs.npz into the folder HPLAB_DATA names"
    assert hplab("data", "list")[1] == out


def test_fetching_says_what_a_set_holds(hplab):
    code, out, _ = hplab("data", "fetch", "digits")

    assert code == 0
    assert out.startswith("digits: 1437 training and 360 test images, digest ")


def test_doctor_can_be_pasted_without_naming_the_user(clone, hplab, monkeypatch):
    monkeypatch.setenv("HOME", str(clone))

    code, out, _ = hplab("doctor")

    assert code == 0
    assert str(clone) not in out
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert {"hplab", "python", "system", "device", "torch", "papermill", "digits"} < set(rows)
    assert rows["results"] == "~/results"
    assert rows["HPLAB_RESULTS"] == "~/results"


def test_a_plan_is_a_table_or_json_and_writes_what_a_slice_trains(hplab, tmp_path):
    code, out, _ = hplab("plan", "--budget", "8h", "--report", "000", "--trials", tmp_path / "plan")
    lines = (tmp_path / "plan").read_text().splitlines()
    assert code == 0
    assert out.startswith("claim ")
    assert f"in all {len(lines)} trials" in out
    assert all(json.loads(line)["config"]["data"] == "dinosaurs" for line in lines)
    code, out, _ = hplab("plan", "--study", "sharpness", "--json")
    assert {row["claim"][:2] for row in json.loads(out)} == {"S2"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--study", "sharpnes"), "unknown study 'sharpnes'.*did you mean 'sharpness'"),
        (("--report", "003"), "unknown report '003'; known: 000, 001, 002, 004"),
        (("--budget", "soon"), "budget 'soon' is no time; write 45m, 3h or 2d"),
        (("--device", "tpu"), "unknown device 'tpu'.*known: cpu, cuda, mps"),
    ],
)
def test_a_plan_for_what_is_not_there_is_one_line(hplab, arguments, words):
    code, out, error = hplab("plan", *arguments)
    assert (code, out) == (2, "")
    assert re.search(words, error)
