"""Sweep files that run: functions in this process, scripts as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest

import hplab as hp
from hplab.pages.tables import swept
from hplab.sweeps import foreign, programs, results, scripts, sweepfile, sweepruns
from hplab.sweeps.store import Store
from hplab.trial import HplabError

ROOT = Path(__file__).resolve().parents[2]
LR = "{lr: {values: [0.1, 0.2]}}"
PRINTS = """
    import argparse, random
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    open(f"called-{args.lr}-{args.seed}", "a").write("x")
    for epoch in range(1, 4):
        print(f"epoch={epoch} loss={args.lr / epoch} lr={args.lr}")
"""
YIELDS = """
    def train(lr, seed=0):
        for epoch in range(1, 4):
            yield {"loss": lr / epoch + seed}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with records of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    return tmp_path


def given(folder, source, parameters=LR, *, method="grid", name="job.py", rest=""):
    """Write a program and its sweep file; return what is read of that."""
    (folder / name).write_text(textwrap.dedent(source))
    path = folder / "sweep.yaml"
    text = f"program: {name}\nmethod: {method}\nparameters: {parameters}\n"
    path.write_text(text + textwrap.dedent(rest))
    return sweepfile.read(path)


def run(file, *, jobs=1, stand_in=None, n_seeds=None, version="", **kwargs):
    options = {"n_seeds": n_seeds, "jobs": jobs}
    with sweepruns.prepared(file, **options, stand_in=stand_in, version=version) as job:
        return sweepruns.run(file, job, **options, **kwargs)


# --------------------------------------------------------------------------------- functions


def test_a_file_with_train_is_called_here_and_its_records_are_those_of_the_function(here):
    found = run(given(here, YIELDS), n_seeds=2)

    runs = found.runs
    assert runs[["lr", "seed"]].values.tolist() == [[0.1, 0], [0.1, 1], [0.2, 0], [0.2, 1]]
    assert runs["loss"].tolist() == pytest.approx([0.1 / 3, 0.1 / 3 + 1, 0.2 / 3, 0.2 / 3 + 1])
    assert (found.n_points, found.n_failed, runs.attrs["n_new"]) == (2, 0, 4)
    assert len(hp.curves(runs)) == 12
    assert "job" not in sys.modules
    assert str(here) not in sys.path


def test_a_function_is_named_with_its_module(here):
    file = given(here, YIELDS.replace("train", "fit"), rest="metric: {name: loss}")
    (here / "sweep.yaml").write_text((here / "sweep.yaml").read_text().replace("job.py", "job:fit"))
    assert run(sweepfile.read(file.path)).runs["loss"].tolist() == pytest.approx([0.1 / 3, 0.2 / 3])


def test_nested_parameters_reach_a_function_as_a_mapping(here):
    source = "def train(optimizer, n):\n    return {'loss': optimizer['lr'] * n}\n"
    parameters = "{optimizer: {parameters: {lr: {values: [1, 2]}}}, n: {value: 3}}"
    runs = run(given(here, source, parameters)).runs
    assert runs["optimizer.lr"].tolist() == [1, 2]
    assert runs["loss"].tolist() == [3, 6]


def test_functions_run_in_worker_processes_too(here):
    source = "import os\ndef train(lr):\n    return {'loss': lr, 'pid': os.getpid()}\n"
    runs = run(given(here, source, "{lr: {values: [1, 2, 3]}}"), jobs=2).runs
    assert runs["loss"].tolist() == [1, 2, 3]
    assert len({*runs["pid"][1:], os.getpid()}) > 1


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("jop.py", "sweep.yaml:1: unknown program 'jop.py'; Python files here: job.py; did you"),
        ("nothing:train", "sweep.yaml:1: no module 'nothing' in this folder or among"),
        ("job:trian", "sweep.yaml:1: unknown function 'trian' in job; .* mean 'train'"),
        ("broken:train", "sweep.yaml:1: broken cannot be imported: ZeroDivisionError"),
        ("needy:train", "sweep.yaml:1: needy needs nothing_of_that_name, not installed"),
    ],
)
def test_a_program_that_is_not_there_is_one_line(here, program, said):
    (here / "broken.py").write_text("1 / 0")
    (here / "needy.py").write_text("import nothing_of_that_name")
    given(here, YIELDS)
    path = here / "sweep.yaml"
    path.write_text(path.read_text().replace("job.py", program))
    if program == "jop.py":
        (here / "broken.py").unlink()
        (here / "needy.py").unlink()
    with pytest.raises(HplabError, match=said):
        run(sweepfile.read(path))


def test_parameters_that_the_function_does_not_take_are_told_with_the_nearest(here):
    file = given(here, "def train(lr):\n    return {'loss': lr}\n", "{lrr: {value: 1}}")
    with pytest.raises(HplabError, match="yaml:3: unknown argument 'lrr' in train.* mean 'lr'"):
        run(file)


def test_a_function_without_a_seed_is_told_so_where_seeds_are_asked_for(here):
    file = given(here, "def train(lr):\n    return {'loss': lr}\n")
    with pytest.raises(HplabError, match=r"train\(\) takes no seed: give it an argument `seed`"):
        run(file, n_seeds=2)


@pytest.mark.parametrize(
    ("source", "is_function"),
    [
        ("def train(lr): ...", True),
        ("def train(**point): ...", True),
        ("import os\nos.getcwd()\ndef train(lr, n=1): ...", True),
        ("'Trains.'\nimport os\nN = 3\ndef train(lrr): ...", True),  # which is told then
        ("def train(lr): ...\nif __name__ == '__main__': train(1)", False),
        ("def train(): ...\ntrain()", False),
        ("print('loss=1')", False),
        ("def fit(lr): ...", False),
        ("this is no Python", False),
    ],
)
def test_what_is_called_here_and_what_is_started(here, source, is_function):
    assert programs.is_function(given(here, source)) == is_function


# ----------------------------------------------------------------------------------- scripts


def test_a_script_gets_its_settings_and_its_prints_are_read(here):
    found = run(given(here, PRINTS), n_seeds=2, jobs=2)

    runs = found.runs
    assert runs[["lr", "seed"]].values.tolist() == [[0.1, 0], [0.1, 1], [0.2, 0], [0.2, 1]]
    assert runs["loss"].tolist() == pytest.approx([0.1 / 3, 0.1 / 3, 0.2 / 3, 0.2 / 3])
    curves = hp.curves(runs)
    assert curves["loss"].tolist()[:3] == pytest.approx([0.1, 0.05, 0.1 / 3])


def test_what_is_recorded_is_not_run_again_until_the_script_or_its_helpers_change(here):
    (here / "helper.py").write_text("x = 1")
    file = given(here, "import helper\n" + textwrap.dedent(PRINTS))
    assert [run(file).runs.attrs["n_new"] for _ in range(2)] == [2, 0]
    assert (here / "called-0.1-0").read_text() == "x"

    (here / "helper.py").write_text("x = 2")
    assert run(file).runs.attrs["n_new"] == 2


def test_a_version_stands_for_the_code(here):
    file = given(here, PRINTS)
    run(file, version="1")
    (here / "job.py").write_text(textwrap.dedent(PRINTS) + "# nothing\n")
    assert run(file, version="1").runs.attrs["n_new"] == 0


def project(folder, name, source, **kwargs):
    """Make a folder with a program and its sweep file; return what is read of that."""
    (folder / name).mkdir(parents=True)
    return given(folder / name, source, **kwargs)


def test_scripts_of_one_name_in_two_projects_share_no_records(here, capsys):
    """Not even where both say that their code is version 1, and one gives percent."""
    sources = ["print('acc=0.5')\n", "print('acc=80')\n"]
    files = [project(here, name, source) for name, source in zip("ab", sources, strict=True)]
    for version in ("", "1"):
        found = [run(file, version=version).runs for file in files]
        assert [runs.attrs["n_new"] for runs in found] == [2, 2]
        assert [runs["acc"].tolist() for runs in found] == [[0.5, 0.5], [0.8, 0.8]]
        assert [run(file, version=version).runs.attrs["n_new"] for file in files] == [0, 0]
    said = capsys.readouterr().err
    assert "recorded runs of 'job.py' do not count here, and are kept" in said
    assert "another program of that name: a/job.py" in said
    with pytest.raises(
        HplabError, match="versions of its code: say which: .*of b/job.py.* of a/jo"
    ):
        results.recorded("job.py", code="version 1")
    (acc,) = results.recorded("job.py version 1 of b/job.py")["acc"].unique()
    assert acc == 0.8


@pytest.mark.parametrize("mark", ["", ".git", "pyproject.toml"])
def test_a_project_that_moves_keeps_its_records(here, mark):
    folder = here / "old" / "thesis"
    file = project(here, "old/thesis/src" if mark else "old/thesis", PRINTS)
    if mark:
        (folder / mark).touch()
    for version in ("", "1"):
        assert run(file, version=version).runs.attrs["n_new"] == 2
    (here / "new").mkdir()
    folder.rename(here / "new" / "thesis")
    file = sweepfile.read(here / "new" / file.path.relative_to(here / "old"))
    for version in ("", "1"):
        assert run(file, version=version).runs.attrs["n_new"] == 0


def test_a_run_without_a_seed_is_not_that_of_seed_0(here):
    """Its seed is the script's own, and may be that of another run: where seeds are given it is
    left out.
    """
    file = given(here, PRINTS.replace("default=0", "default=1") + "    print(f'x={args.seed}')\n")
    assert run(file).runs["x"].tolist() == [1, 1]
    assert swept.of_file(Path("sweep.yaml"))["x"].tolist() == [1, 1]
    found = run(file, n_seeds=2).runs
    assert found.attrs["n_new"] == 4
    assert found["x"].tolist() == found["seed"].tolist() == [0, 1, 0, 1]
    again = swept.of_file(Path("sweep.yaml"))
    assert sorted(again["x"]) == [0, 0, 1, 1]
    assert (again["x"] == again["seed"]).all()
    assert run(file).runs.attrs["n_new"] == 0


def test_a_report_takes_no_runs_of_the_script_with_other_parameters(here):
    """A script is called with what the sweep file says, and nobody knows its defaults."""
    source = "import sys\nprint(f'loss={len(sys.argv)}')\n"
    run(given(here, source, "{lr: {values: [1, 2]}, width: {value: 8}}"))
    run(given(here, source, "{lr: {values: [1, 2]}}"))
    runs = swept.of_file(Path("sweep.yaml"))
    assert runs["loss"].tolist() == [2, 2]
    assert "width" not in runs


def test_scripts_side_by_side_share_the_cores(here, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("HPLAB_JOBS", "6")
    source = "import os\nprint('n=' + os.environ['OMP_NUM_THREADS'])"
    assert run(given(here, source), jobs=2).runs["n"].tolist() == [3, 3]


LOGS = """
    import wandb
    run = wandb.init(project="p", config={"lr": 5, "wd": 0.5})
    for epoch in range(3):
        wandb.log({"epoch": epoch, "val": {"loss": wandb.config.lr * epoch}}, commit=False)
        wandb.log({"acc": 1 - wandb.config["lr"], "image": wandb.Image(None)})
        print(f"noise={epoch}")
    run.summary["best"] = wandb.config.wd
    artifact = wandb.Artifact("weights", type="model")
    artifact.add_file(__file__)
    run.log_artifact(artifact).wait()
    wandb.finish()
"""


def test_what_a_script_logs_to_wandb_is_read_through_the_stand_in(here):
    runs = run(given(here, LOGS)).runs
    assert runs["val.loss"].tolist() == pytest.approx([0.2, 0.4])
    assert runs["acc"].tolist() == pytest.approx([0.9, 0.8])
    assert runs["best"].tolist() == [0.5, 0.5]
    assert "noise" not in runs
    assert hp.curves(runs)["val.loss"].tolist()[:3] == pytest.approx([0, 0.1, 0.2])


def test_a_script_that_would_start_an_agent_trains_one_run(here):
    """As in W&B's tutorials: the points are those of the sweep file, not those of the script."""
    source = """
        import wandb

        def main():
            with wandb.init() as run:
                run.log({"twice": 2 * wandb.config.lr})

        sweep_id = wandb.sweep({"parameters": {"lr": {"values": [7]}}}, project="p")
        wandb.agent(sweep_id, function=main, count=5)
    """
    assert run(given(here, source)).runs["twice"].tolist() == [0.2, 0.4]


def test_steps_of_wandb_make_rows_and_what_waits_at_the_end_is_kept(here):
    source = """
        import wandb
        wandb.init()
        for step in range(2):
            wandb.log({"a": step}, step=step)
            wandb.log({"b": 10 * step}, step=step)
    """
    runs = run(given(here, source, "{lr: {value: 1}}")).runs
    curves = hp.curves(runs)
    assert curves[["a", "b"]].values.tolist() == [[0, 0], [1, 10]]


def test_a_wandb_that_is_installed_answers_itself(here, monkeypatch):
    (here / "site").mkdir()
    (here / "site" / "wandb.py").write_text("def log(x): pass\ndef init(): pass\n")
    monkeypatch.syspath_prepend(str(here / "site"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here / "site"), *sys.path]))
    source = "import wandb\nwandb.init()\nwandb.log({'a': 1})\nprint('b=2')\n"
    file = given(here, source, "{lr: {value: 1}}")
    with sweepruns.prepared(file) as job:
        assert "wandb is installed, so what the script logs goes there" in job.notes[0]
    assert run(file).runs["b"].tolist() == [2]
    assert run(file, stand_in=True, version="other").runs["a"].tolist() == [1]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("loss=0.5 acc=1e-3", {"loss": 0.5, "acc": 0.001}),
        ("epoch 3: val/loss=-2, n=4;", {"val/loss": -2, "n": 4}),
        ('{"loss": 0.5, "val": {"acc": 1}, "name": "x"}', {"loss": 0.5, "val.acc": 1}),
        ("loss=nan", {"loss": pytest.approx(float("nan"), nan_ok=True)}),
        ("Namespace(lr=0.1, epochs=3)", {}),
        ("loss = 3", {}),
        ("{not json", {}),
        ("", {}),
        ("x=1.2.3", {}),
    ],
)
def test_numbers_are_read_from_a_line(line, row):
    assert scripts.parsed(line) == ("print", row)


POINT = {"lr": 0.1, "flag": True, "off": False, "sizes": (8, 4), "opt.name": "sgd", "opt.m": None}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["${interpreter}", "-u", "${program}"], [sys.executable, "-u", "JOB"]),
        (["${env}", "x"], ["/usr/bin/env", "x"]),
        (
            ["${args}"],
            ["--lr=0.1", "--flag=True", "--off=False", "--sizes=[8, 4]",
             '--opt={"name": "sgd", "m": null}'],
        ),
        (["${args_no_hyphens}"], ["lr=0.1", "flag=True", "off=False", "sizes=[8, 4]",
                                  'opt={"name": "sgd", "m": null}']),
        (["${args_no_boolean_flags}"], ["--lr=0.1", "--flag", "--sizes=[8, 4]",
                                        '--opt={"name": "sgd", "m": null}']),
        (["--all=${args_json}"], [
            '--all={"lr": 0.1, "flag": true, "off": false, "sizes": [8, 4], '
            '"opt": {"name": "sgd", "m": null}}'
        ]),
        (["${envvar:SWEEP_TEST}/x"], ["there/x"]),
    ],
)  # fmt: skip
@pytest.mark.skipif(os.name != "posix", reason="there is no /usr/bin/env")
def test_macros_are_put_into_the_command(here, monkeypatch, command, expected):
    monkeypatch.setenv("SWEEP_TEST", "there")
    file = given(here, PRINTS, rest=f"command: {json.dumps(command)}")
    with scripts.Script(file, None, 1) as script:
        got = script.arguments(POINT, here)
    assert got == [part.replace("JOB", str(here / "job.py")) for part in expected]


def test_arguments_come_in_a_file_of_json(here):
    source = (
        "import json, sys\nprint(json.dumps({'twice': 2 * json.load(open(sys.argv[1]))['lr']}))"
    )
    rest = "command: ['${interpreter}', '${program}', '${args_json_file}']"
    assert run(given(here, source, rest=rest)).runs["twice"].tolist() == [0.2, 0.4]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ValueError('no such thing')", "job.py ended by itself with code 1: ValueError: no"),
        ("import sys; sys.exit(3)", "job.py ended by itself with code 3: it said nothing"),
        ("import os; os.kill(os.getpid(), 9)", "job.py was killed by SIGKILL"),
        ("print('hello')", "job.py printed no metric: print a line of JSON, or name=value"),
        ("import wandb; wandb.init()", "job.py logged no number to wandb and printed no metric"),
        ("import wandb; wandb.agent(wandb.sweep({}))", "the sweep is made by `hplab sweep FILE`"),
        ("import wandb; wandb.sweep({})", "job.py logged no number to wandb and printed no metric"),
        ("import wandb; wandb.init(); wandb.config.lrr", "wandb.config has no 'lrr'; it has lr"),
    ],
)
def test_a_script_that_fails_is_one_line(here, source, said):
    with pytest.raises(HplabError, match=f"every run of 'job.py' failed; the first: .*{said}"):
        run(given(here, source))


def test_the_first_run_which_goes_alone_is_counted_with_the_others(here, capsys):
    """What is recorded, what is left, what failed: all counts are of the whole sweep."""
    file = given(here, PRINTS, "{lr: {values: [1, 2]}}")
    run(file)
    file = given(here, PRINTS, "{lr: {values: [1, 2, 3, 4, 5]}}")
    assert run(file).runs.attrs["n_new"] == 3
    assert "2 of 5 runs are recorded; 3 are left" in capsys.readouterr().err
    source = "import sys\nlr = float(sys.argv[1][5:])\nassert lr != 3\nprint(f'a={lr}')\n"
    run(given(here, source, "{lr: {values: [1, 2, 3, 4]}}"))
    assert "1 of 4 runs failed and are tried again" in capsys.readouterr().out


def test_a_script_that_takes_no_seed_is_told_what_it_needs(here):
    file = given(
        here, PRINTS.replace('    parser.add_argument("--seed", type=int, default=0)\n', "")
    )
    said = (
        "unrecognized arguments: --seed=0 .let it take --seed, a whole number, and draw everything"
    )
    with pytest.raises(HplabError, match=said):
        run(file, n_seeds=2)


def test_a_run_that_fails_later_is_told_and_tried_again(here, capsys):
    source = (
        "import sys\nlr = float(sys.argv[1][5:])\nassert lr < 0.2, 'too large'\nprint(f'a={lr}')"
    )
    file = given(here, source)
    assert [run(file).n_failed for _ in range(2)] == [1, 1]
    assert "AssertionError: too large" in capsys.readouterr().out


def test_a_sweep_goes_on_where_the_first_run_fails_and_ends_where_three_do(here, capsys):
    source = """
        import sys
        open("called", "a").write("x")
        lr = float(sys.argv[1].partition("=")[2])
        assert lr > LIMIT, "too small"
        print(f"a={lr}")
    """
    found = run(given(here, source.replace("LIMIT", "2"), "{lr: {values: [1, 2, 3, 4]}}"))
    assert (found.n_failed, found.runs["lr"].tolist()) == (2, [3, 4])
    said = capsys.readouterr().out
    assert "1 of 4 runs failed and are tried again" in said
    assert "2 of 4 runs failed and are tried again" in said

    (here / "called").unlink()
    with pytest.raises(HplabError, match="every run of 'job.py' failed.*AssertionError: too small"):
        run(given(here, source.replace("LIMIT", "9"), "{lr: {values: [1, 2, 3, 4]}}"))
    assert (here / "called").read_text() == "xxx"


def test_a_metric_that_nobody_logs_is_told_after_the_first_run(here):
    file = given(here, PRINTS, rest="metric: {name: los}")
    said = "sweep.yaml:4: after the first run, which is kept: unknown metric 'los'; it gave: loss"
    with pytest.raises(HplabError, match=f"{said}; did you mean 'loss'"):
        run(file)
    assert len(list(here.glob("called-*"))) == 1


def test_no_more_runs_are_begun_once_the_target_is_reached(here):
    rest = "metric: {name: loss, target: 0.7}"
    found = run(given(here, YIELDS, "{lr: {values: [9, 3, 2, 1, 0.1]}}", rest=rest))
    assert found.reached
    assert found.runs["lr"].tolist() == [9, 3, 2]


def test_seeds_cannot_be_asked_for_twice(here):
    file = given(here, YIELDS, "{seed: {values: [0, 1]}, lr: {value: 1}}")
    with pytest.raises(HplabError, match="yaml:3: seed is a parameter here, so --seeds has noth"):
        run(file, n_seeds=3)
    assert run(file).runs["seed"].tolist() == [0, 1]


def end_after(here, n, how):
    """Start the sweep by its command; once so many runs have begun, send it a signal."""
    code = "import sys; from hplab import cli; cli.main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "sweep", "sweep.yaml", "--jobs", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while len(list(here.glob("called-*"))) < n and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(how)
        said = process.communicate()[1]
    return process.returncode, said.strip().splitlines()


def test_an_interrupted_sweep_ends_its_scripts_and_says_how_to_go_on(here):
    source = """
        import os, time
        from pathlib import Path
        Path(f"called-{os.getpid()}").touch()
        time.sleep(60)
    """
    given(here, source)
    code, said = end_after(here, 1, signal.SIGINT)
    assert code == 130
    assert said[-1].endswith("the same command goes on from there")
    [path] = here.glob("called-*")
    with pytest.raises(ProcessLookupError):
        os.kill(int(path.name.removeprefix("called-")), 0)


def test_a_sweep_that_is_killed_goes_on_with_nothing_repeated_and_nothing_lost(here):
    source = PRINTS + "    import time; time.sleep(0.15)\n"
    given(here, source, "{lr: {values: [1, 2, 3, 4, 5, 6]}}", rest="metric: {name: loss}")
    end_after(here, 4, signal.SIGKILL)
    store = Store(here / "results", here / ".hplab" / "pending")
    kept = len(list(store.records()))
    assert kept >= 3  # the fourth had begun

    again = run(sweepfile.read(here / "sweep.yaml"), store=store)
    assert again.runs.attrs["n_new"] == 6 - kept
    assert again.runs["lr"].tolist() == [1, 2, 3, 4, 5, 6]


# ----------------------------------------------------------------------------- what is printed


def test_a_dry_run_shows_the_points_and_runs_nothing(here, capsys):
    given(here, PRINTS, "{lr: {min: 0.1, max: 0.2}}", method="sobol", rest="run_cap: 3")
    assert swept.sweep(Path("sweep.yaml"), dry_run=True, seeds=2) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "job.py, a process a run; what it prints is read",
        "sobol: 3 points, each with 2 seeds",
    ]
    assert len(said) == 6
    assert not list(here.glob("called-*"))


def test_a_sweep_prints_the_best_settings_and_writes_its_table(here, capsys):
    given(here, YIELDS, "{lr: {values: [0.3, 0.1, 0.2]}}", rest="metric: {name: loss}")
    assert swept.sweep(Path("sweep.yaml"), seeds=2, jobs=1, out=Path("runs.csv")) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "6 runs at 3 points, 6 new: 6 finished"
    assert [line.split() for line in said[3:]] == [
        ["lr", "loss", "finished"],
        ["0.1", "0.533333", "2"],
        ["0.2", "0.566667", "2"],
        ["0.3", "0.6", "2"],
    ]
    assert len(pd.read_csv("runs.csv")) == 6


# ------------------------------------------------------------------- what the stand-in sums up


@pytest.mark.parametrize(
    "line",
    [
        "import wandb",
        "import math, wandb",
        "if 1:\n    from wandb import init",
        "import wandb.plot",
    ],
)
def test_a_script_that_imports_wandb_in_any_way_gets_the_stand_in(line):
    assert scripts._imports_wandb(f"import os\n{line}\n")
    assert not scripts._imports_wandb("import wandbox\nprint('import wandb')\n")


def test_a_module_that_is_missing_is_said_with_what_answers_for_it(here):
    source = "__import__('wandb')\n"
    with pytest.raises(HplabError, match=r"No module named 'wandb' \(.*--stand-in\)"):
        run(given(here, source, "{lr: {value: 1}}"))


def test_a_metric_is_summed_up_as_it_was_defined(here):
    source = """
        import wandb
        run = wandb.init()
        wandb.define_metric("acc", summary="max,mean")
        run.define_metric("loss", summary="min")
        for acc, loss in [(0.25, 3.0), (1.0, 1.0), (0.5, 2.0)]:
            wandb.log({"acc": acc, "loss": loss})
    """
    row = run(given(here, source, "{lr: {value: 1}}")).runs.iloc[0]
    assert row["acc"] == 0.5  # the last
    assert row["acc.max"] == 1
    assert row["acc.mean"] == pytest.approx(1.75 / 3)
    assert (row["loss"], row["loss.min"]) == (2, 1)


def test_runs_that_failed_are_in_the_report_and_in_no_mean(here):
    source = """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--lr", type=float)
        parser.add_argument("--seed", type=int)
        args = parser.parse_args()
        if args.lr == 1:
            raise SystemExit("too large")
        print(f"loss={args.lr + args.seed / 100}")
    """
    rest = "metric: {name: loss, goal: minimize}"
    given(here, source, "{lr: {values: [0.1, 0.2, 1]}}", rest=rest)
    assert swept.sweep(Path("sweep.yaml"), seeds=3) == 1
    runs = swept.of_file(Path("sweep.yaml"))
    states = runs.groupby("lr")["status"].agg(list).to_dict()
    assert states == {0.1: ["ok"] * 3, 0.2: ["ok"] * 3, 1.0: ["failed"] * 3}
    assert runs.loc[runs["status"] == "failed", "loss"].isna().all()
    seen = [foreign.of(runs)]
    assert swept.sweep(Path("sweep.yaml"), seeds=3, then=seen.append) == 1
    assert [table.states for table in seen] == [{"failed": 3}] * 2
