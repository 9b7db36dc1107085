"""What holds the project together: rooms, pins, environments and workflows."""

import ast
import collections
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").split("\n")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DISTRIBUTIONS = packages_distributions()
MODULES = sorted((ROOT / "hplab").rglob("*.py"))

# A module may import from its own floor and from the floors below it.
GROUND = ("errors", "catalogue", "trial", "own", "digest", "places")  # no torch, no pandas
FLOORS = ["ground", "training", "sweeps", "analysis", "pages"]
TOP = len(FLOORS)  # hplab/__init__.py, the command line and anything else on the top level
# Inside the pages, too: a room may not import from these.
PAGES_KEEP_OUT = {
    "figures": {"tables", "site", "notebooks"},
    "tables": {"site"},
    "notebooks": {"site", "tables"},
}


def floor(dotted):
    """The floor of a dotted module name of hplab."""
    room = [*dotted.split("."), ""][1]
    if room in GROUND:
        return 0
    return FLOORS.index(room) if room in FLOORS else TOP


def dotted_name(path):
    """The dotted name of a module or, for an ``__init__.py``, of its package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(source, module, *, is_package=False):
    """Every dotted name that the source of a module imports, relative imports resolved."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")
                package = package[: len(package) - node.level + is_package]
                base = ".".join([*package, *filter(None, [node.module])])
            # `from hplab import trial` names the module in the alias, not in the base.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(path):
    return imported_names(
        path.read_text(encoding="utf-8"), dotted_name(path), is_package=path.name == "__init__.py"
    )


def upward(module, names):
    """The imports of a module that go up to a floor above its own."""
    ours = [n for n in names if n.split(".")[0] == "hplab" and n != "hplab.__version__"]
    return [n for n in ours if floor(n) > floor(module)]


@pytest.mark.parametrize(
    ("source", "bad"),
    [
        ("from hplab.analysis import stats", ["hplab.analysis.stats"]),
        ("from hplab import pages", ["hplab.pages"]),
        ("from ..pages.plots import axis", ["hplab.pages.plots.axis"]),
        ("def f():\n    import hplab.cli", ["hplab.cli"]),
        ("import hplab", ["hplab"]),
        ("from hplab.trial import Trial", []),
        ("from . import presets", []),
        ("from hplab import __version__", []),
        ("import json", []),
    ],
)
def test_the_import_rule_sees_every_way_up(source, bad):
    module = "hplab.sweeps.store"
    assert upward(module, imported_names(source, module)) == bad


@pytest.mark.parametrize("path", MODULES, ids=dotted_name)
def test_imports_go_down_only(path):
    assert upward(dotted_name(path), imports_of(path)) == []


def test_every_room_and_file_of_hplab_has_a_floor():
    there = {path.relative_to(ROOT / "hplab").with_suffix("").parts[0] for path in MODULES}
    assert there <= {*FLOORS[1:], *GROUND, "__init__", "cli"}


def module_of(name, modules):
    """The module that an imported name is or stands in, None if it is none of ours."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def graph_of(sources):
    """Which modules each of them imports: {module: (source, is it a package)} -> {module: set}."""
    return {
        module: {
            found
            for name in imported_names(source, module, is_package=is_package)
            if (found := module_of(name, sources)) and found != module
        }
        for module, (source, is_package) in sources.items()
    }


def circles(graph):
    """The groups of modules that import one another, at whatever distance."""

    def reached(start):
        seen, waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    ahead = {module: reached(module) for module in graph}
    groups = {
        tuple(sorted(other for other in ahead[module] if module in ahead[other]))
        for module in graph
    }
    return sorted(groups - {()})


@pytest.mark.parametrize(
    ("a", "b", "c", "expected"),
    [
        ("from p import b", "from p import c", "import json", []),
        ("from p import b", "from p import a", "", [("p.a", "p.b")]),
        (
            "import p.b",
            "def f():\n    from p.c import x",
            "from . import a",
            [("p.a", "p.b", "p.c")],
        ),
        ("from p.b import x", "if TYPE_CHECKING:\n    from p.a import X", "", [("p.a", "p.b")]),
        ("from p import name", "from .a import x", "", [("p", "p.a")]),  # p itself imports p.a
    ],
)
def test_the_rule_against_circles_sees_them(a, b, c, expected):
    package = "from p.a import name" if "name" in a else ""
    sources = {"p": (package, True), "p.a": (a, False), "p.b": (b, False), "p.c": (c, False)}
    assert circles(graph_of(sources)) == expected


def test_no_modules_import_one_another():
    sources = {
        dotted_name(path): (path.read_text(encoding="utf-8"), path.name == "__init__.py")
        for path in MODULES
    }
    assert circles(graph_of(sources)) == []


@pytest.mark.parametrize("room", PAGES_KEEP_OUT)
def test_rooms_of_pages_keep_apart(room):
    found = {
        (dotted_name(path), name)
        for path in MODULES
        if dotted_name(path).startswith(f"hplab.pages.{room}")
        for name in imports_of(path)
        if any(f"{name}.".startswith(f"hplab.pages.{no}.") for no in PAGES_KEEP_OUT[room])
    }
    assert found == set()


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("matplotlib", {"pages"}),
        ("ipywidgets", {"pages"}),
        ("papermill", {"pages"}),
        ("click", {"cli"}),
    ],
)
def test_a_heavy_package_stays_in_its_room(package, rooms):
    users = {
        path.relative_to(ROOT / "hplab").with_suffix("").parts[0]
        for path in MODULES
        if any(name.split(".")[0] == package for name in imports_of(path))
    }
    assert users <= rooms


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem in GROUND], ids=dotted_name)
def test_a_trial_is_described_without_torch(path):
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert not roots & {"torch", "torchvision", "numpy", "pandas"}


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "SECURITY.md",
        "LICENSE",
        "LICENSE-text",
        "Makefile",
        "pyproject.toml",
        "requirements.lock",
        "environment.yml",
        ".gitignore",
        ".ci/run",
        "_config.yml",
        "book/_toc.yml",
    ],
)
def test_the_top_level_is_complete(name):
    assert (ROOT / name).is_file()


# --- packages -----------------------------------------------------------------------------------


def pins():
    """Package -> the pinned versions of the lock, one for each marker."""
    table = {}
    for line in filter(None, LOCK):
        requirement = Requirement(line)
        table.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return table


# These hold back packages that the book is locked at (pillow, importlib-metadata). They are needed
# for exports alone, which the weekly workflow tests in an environment of its own.
UNLOCKED = {"wandb", "trackio", "mlflow"}


def declared():
    """Every requirement of pyproject.toml, the extras' included, but for those not locked."""
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    groups = [project["dependencies"], *(extras[name] for name in extras if name not in UNLOCKED)]
    return [Requirement(text) for group in groups for text in group]


def test_no_two_test_files_have_one_name():
    """Without packages pytest takes them for one module, and collects neither."""
    names = collections.Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    assert [name for name, n in names.items() if n > 1] == []


def test_the_lock_pins_exact_versions_and_names_no_address():
    for line in filter(None, LOCK):
        assert re.fullmatch(r"[a-z0-9.-]+==[0-9a-z.]+( ; .+)?", line), line
        assert "://" not in line


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_the_lock_satisfies_pyproject(requirement):
    pinned = pins().get(canonicalize_name(requirement.name), [])
    assert pinned, f"{requirement.name} is not in requirements.lock"
    for pin in pinned:
        (specifier,) = pin.specifier
        assert requirement.specifier.contains(specifier.version, prereleases=True)


def test_what_is_not_locked_is_installed_and_tested_every_week():
    steps = workflow(ROOT / ".github" / "workflows" / "weekly.yml")["jobs"]["exports"]["steps"]
    commands = "\n".join(step.get("run", "") for step in steps)
    (extras,) = re.findall(r"-e '\.\[(.+)\]'", commands)
    assert set(extras.split(",")) >= UNLOCKED | {"trackers", "bayes"}
    assert "pytest tests/sweeps/test_export.py" in commands
    for module in ("wandb", "trackio", "mlflow", "tensorboard", "optuna", "pyarrow"):
        assert re.search(rf"import .*\b{module}\b", commands), module  # so that no test is skipped


def declared_names(*extras):
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][e] for e in extras)]
    return {canonicalize_name(Requirement(text).name) for group in groups for text in group}


@pytest.mark.parametrize("path", MODULES, ids=dotted_name)
def test_what_a_module_imports_is_declared(path):
    """The library by itself is the runtime core; pages and the command line may use the book's."""
    built = floor(dotted_name(path)) >= FLOORS.index("pages")
    allowed = declared_names("book", "pdf") if built else declared_names()
    roots = {name.split(".")[0] for name in imports_of(path)}
    for root in roots - sys.stdlib_module_names - {"hplab"}:
        assert {canonicalize_name(d) for d in DISTRIBUTIONS[root]} & allowed, root


def test_the_library_sets_lower_bounds_only():
    """So that Colab's torch is never replaced."""
    for text in PYPROJECT["project"]["dependencies"]:
        assert {s.operator for s in Requirement(text).specifier} == {">="}, text


def test_conda_users_get_the_locked_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [d for d in environment["dependencies"] if isinstance(d, str)]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    (python,) = [d.removeprefix("python=") for d in conda if d.startswith("python=")]
    assert pip == ["-c requirements.lock", "-e .[book,dev]"]
    assert python in {"3.11", "3.12", "3.13"}
    assert {"book", "dev"} <= PYPROJECT["project"]["optional-dependencies"].keys()


def test_the_citation_names_the_packaged_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == PYPROJECT["project"]["version"]
    assert " AND ".join(citation["license"]) == PYPROJECT["project"]["license"]


def test_the_repository_has_one_address():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    address = config["repository"]["url"]
    assert PYPROJECT["project"]["urls"]["Repository"] == address
    for name in ("README.md", "CITATION.cff"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert set(re.findall(r"https://github\.com/[\w-]+/hplab\b", text)) == {address}, name
    for study in (ROOT / "book" / "studies").glob("*.md"):
        assert f"git clone -q --depth 1 {address} " in study.read_text(encoding="utf-8"), study.name


def test_the_changelog_has_an_entry_for_the_packaged_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(PYPROJECT['project']['version'])}\b", changelog, re.M)


# --- other systems ---------------------------------------------------------------------------

# What Python has on POSIX alone: modules, and names of `os` and `signal`.
POSIX_MODULES = {
    *("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"),
    *("multiprocessing.forkserver", "multiprocessing.popen_fork", "curses", "crypt", "nis"),
}
POSIX_NAMES = {
    "os": {
        *("fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "killpg", "mkfifo", "nice"),
        *("openpty", "sched_getaffinity", "sched_setaffinity", "setsid", "statvfs", "uname"),
        *("wait", "wait3", "wait4", "WNOHANG", "EX_OK", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC"),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP"),
        *("SIGTSTP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGXFSZ", "alarm", "pause", "setitimer"),
        *("pthread_kill", "pthread_sigmask", "siginterrupt"),
    },
}


def at_import(tree):
    """Every node of a module that runs when it is imported: all but the bodies of functions."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        inside = getattr(node, "body", [])
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        later = inside if isinstance(inside, list) else [inside]
        waiting += [one for one in ast.iter_child_nodes(node) if not (is_function and one in later)]


def only_on_posix(source):
    """What the import of a module would need of POSIX."""
    found = []
    for node in at_import(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"{node.value.id}.{node.attr}"]
        for name in names:
            module, _, attribute = name.rpartition(".")
            if name in POSIX_MODULES or attribute in POSIX_NAMES.get(module, ()):
                found.append(name)
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("from fcntl import flock", ["fcntl"]),
        ("from multiprocessing import forkserver", ["multiprocessing.forkserver"]),
        ("if True:\n    import resource", ["resource"]),
        ("class A:\n    how = signal.SIGKILL", ["signal.SIGKILL"]),
        ("def f(how=signal.SIGHUP):\n    pass", ["signal.SIGHUP"]),
        ("from os import fork", ["os.fork"]),
        ("def f():\n    import fcntl\n    os.fork()", []),
        ("later = lambda: os.fork()", []),
        ("import os, signal\nend = signal.SIGTERM, os.name", []),
    ],
)
def test_what_only_posix_has_is_seen(source, found):
    assert only_on_posix(source) == found


@pytest.mark.parametrize("path", MODULES, ids=dotted_name)
def test_a_module_can_be_imported_on_windows(path):
    assert only_on_posix(path.read_text(encoding="utf-8")) == []


def test_windows_and_macos_have_a_job_that_runs_the_quick_tests_of_the_library():
    job = workflow(ROOT / ".github" / "workflows" / "weekly.yml")["jobs"]["systems"]
    assert job["strategy"]["matrix"]["system"] == ["windows-latest", "macos-latest"]
    assert job["runs-on"] == "${{ matrix.system }}"
    [tests] = [step["run"] for step in job["steps"] if "pytest" in step.get("run", "")]
    for name in re.findall(r"tests/\S+", tests):
        assert (ROOT / name).exists(), name


# --- make ---------------------------------------------------------------------------------------


def test_what_make_starts_listens_on_this_machine_alone():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    servers = [
        line for line in makefile.splitlines() if re.search(r"http\.server|jupyter lab", line)
    ]
    assert len(servers) == 2
    for line in servers:
        assert re.search(r"--(bind|ServerApp\.ip=)\s?127\.0\.0\.1\b", line), line
        assert "0.0.0.0" not in line
        assert "token=" not in line


def test_every_make_target_is_in_the_table_with_its_time():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)
    told = re.findall(r"^([a-z-]+):.*## .+ \| .+$", makefile, re.M)
    assert told == phony.split()
    assert told[0] == "help"


# --- workflows ----------------------------------------------------------------------------------


PUBLISHING = {("gpu.yml", "publish"), ("pages.yml", "publish")}


def workflow(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def triggers(path):
    return workflow(path)[True]  # YAML 1.1 reads the key `on` as true


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_a_workflow_starts_with_no_permission_and_each_job_has_a_limit(path):
    assert workflow(path)["permissions"] == {}
    assert workflow(path)["concurrency"]["group"]
    for job in workflow(path)["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 360
        assert "permissions" in job


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_actions_are_pinned_by_commit_with_their_version(path):
    uses = re.findall(r"uses: ([^.].+)", path.read_text(encoding="utf-8"))
    assert uses
    for use in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_only_publishing_may_write_and_no_checkout_keeps_its_token(path):
    for name, job in workflow(path)["jobs"].items():
        writes = {scope for scope, level in job["permissions"].items() if level == "write"}
        assert not writes or (path.name, name) in PUBLISHING
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_only_hosted_machines_see_pull_requests(path):
    assert "pull_request_target" not in triggers(path)
    if "pull_request" in triggers(path):
        assert {job["runs-on"] for job in workflow(path)["jobs"].values()} == {"ubuntu-latest"}


def test_settings_of_pip_do_not_reach_the_environment_that_setup_makes():
    """With PIP_USER or PIP_TARGET set, pip would install elsewhere, or refuse to."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if "-m pip install" in line]
    assert lines
    for line in lines:
        for name in ("PIP_USER", "PIP_TARGET", "PIP_PREFIX"):
            assert f"-u {name} " in line


def test_the_locked_packages_are_held_against_known_advisories_every_week():
    weekly = workflow(ROOT / ".github" / "workflows" / "weekly.yml")
    assert weekly[True]["schedule"]
    commands = [step.get("run", "") for step in weekly["jobs"]["audit"]["steps"]]
    [audit] = [command for command in commands if "pip-audit==" in command]
    assert "--strict" in audit
    assert "requirements.lock" in audit
    assert "job `audit`" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_the_gpu_workflow_runs_on_main_by_hand_or_schedule_and_never_in_a_fork():
    path = ROOT / ".github" / "workflows" / "gpu.yml"
    assert set(triggers(path)) == {"workflow_dispatch", "schedule"}
    condition = workflow(path)["jobs"]["train"]["if"]
    for part in ("refs/heads/main", "vars.HPLAB_GPU_RUNNER != ''", "!github.event.repository.fork"):
        assert part in condition
    assert workflow(path)["jobs"]["publish"]["needs"] == "train"


def test_every_push_to_main_publishes_the_book_from_what_is_committed():
    pages = workflow(ROOT / ".github" / "workflows" / "pages.yml")
    assert pages[True]["push"] == {"branches": ["main"]}
    build = pages["jobs"]["build"]
    commands = [step.get("run") for step in build["steps"]]
    assert [command for command in commands if command] == [
        *("make setup", "make book", ".venv/bin/hplab check")
    ]
    assert build["permissions"] == {"contents": "read"}
    assert build["runs-on"] == "ubuntu-latest"
    assert pages["jobs"]["publish"]["needs"] == "build"


def test_the_gpu_workflow_publishes_through_the_same_one_with_its_records():
    gpu = workflow(ROOT / ".github" / "workflows" / "gpu.yml")["jobs"]
    kept = {
        step["with"]["name"]
        for step in gpu["train"]["steps"]
        if "with" in step and "name" in step["with"]
    }
    assert gpu["publish"]["uses"] == "./.github/workflows/pages.yml"
    assert gpu["publish"]["with"]["records"] in kept


def test_ci_runs_the_same_script_as_everyone():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "bash .ci/run" in text
    steps = [line.split("#")[0].strip() for line in script.splitlines() if line.startswith("step ")]
    for command in (
        "make lint",
        "make test",
        "make book",
        "make execute PRESET=smoke",
        "make doors",
    ):
        assert f"step {command}" in steps
