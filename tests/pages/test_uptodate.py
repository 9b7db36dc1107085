"""A page is kept only if everything it is made of is what it was."""

import shutil

import pytest
from synthetic_records import make_record
from test_execute import GOOD, PARAMETERS, page

from hplab import places
from hplab.pages.notebooks import execute, ipynb, uptodate
from hplab.sweeps.store import default_store

SMOKE = {"preset": "smoke"}


@pytest.fixture
def digest(tmp_path, store):
    """Give the digest of a page, made anew with some of its ingredients changed."""

    def make(code=GOOD, parameters=SMOKE, env=None, store=store):
        notebook = ipynb.read(page(tmp_path, "page", code))
        return uptodate.ingredients(notebook, parameters, env or {}, store)

    return make


def own_data(seed, **changes):
    record = make_record(seed, **changes)
    return {**record, "config": {**record["config"], "data": "mnist"}}


def test_the_same_ingredients_have_the_same_digest(digest):
    assert digest() == digest()
    assert len(digest()) == 64


def test_text_parameters_and_environment_count(digest):
    found = [
        digest(),
        digest(code=GOOD + "\n1"),
        digest(parameters={"preset": "laptop"}),
        digest(parameters={**SMOKE, "n_seeds": 3}),
        digest(env={"HPLAB_DATA": "/elsewhere"}),
    ]
    assert len(set(found)) == len(found)


def test_a_parameter_given_as_the_page_has_it_changes_nothing(digest):
    assert PARAMETERS[1].startswith('preset = "laptop"')
    assert digest(parameters={}) == digest(parameters={"preset": "laptop"})


def test_the_number_of_processes_does_not_count(digest):
    assert digest(env={"HPLAB_JOBS": "1"}) == digest()


def test_the_code_and_the_ledger_count(digest, tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    for name in uptodate.SOURCES:
        here, there = places.CODE / name, clone / name
        there.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if here.is_dir() else shutil.copy)(here, there)
    before = digest()
    monkeypatch.setattr(places, "CODE", clone)

    assert digest() == before
    for name in (
        "hplab/pages/figures/learning_curves.py",
        "hplab/pages/figures/hplab.mplstyle",
        "book/claims.yaml",
    ):
        with (clone / name).open("a") as file:
            file.write("\n# changed\n")
        assert digest() != before, name
        before = digest()


def test_a_recorded_trial_on_a_reports_own_data_counts_and_one_on_digits_does_not(digest, store):
    before = digest()
    store.put([make_record(1)])
    assert digest() == before
    store.put([own_data(2)])
    assert digest() != before


def test_a_page_made_from_records_alone_depends_on_all_of_them(digest, store):
    cached = {"parameters": {"preset": "paper"}, "env": {"HPLAB_MODE": "cached"}}
    before = digest(**cached)
    store.put([make_record(1)])
    assert digest(**cached) != before


@pytest.mark.parametrize("preset", ["reduced", "paper", "unheard-of"])
def test_a_page_that_reads_the_users_data_is_always_run(digest, preset):
    assert digest(parameters={"preset": preset}) is None


def test_a_page_without_a_preset_reads_no_records(tmp_path, store):
    notebook = ipynb.read(page(tmp_path, "page", GOOD))
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    cell.source = "n_seeds = 5"

    before = uptodate.ingredients(notebook, {}, {}, store)
    store.put([own_data(1)])

    assert len(before) == 64
    assert uptodate.ingredients(notebook, {}, {}, store) == before
    assert uptodate.ingredients(notebook, {"n_seeds": 6}, {}, store) != before
    cached = {"HPLAB_MODE": "cached"}
    with_records = uptodate.ingredients(notebook, {}, cached, store)
    store.put([own_data(2)])
    assert uptodate.ingredients(notebook, {}, cached, store) != with_records


def executed(path, **stamp):
    notebook = ipynb.fresh(ipynb.read(path))
    notebook.metadata["hplab"].update(stamp)
    out = path.with_name("executed.ipynb")
    out.write_text(ipynb.dumps(notebook), encoding="utf-8")
    return out


def test_a_page_is_current_while_its_digest_and_its_trials_are_there(tmp_path, store):
    records = [make_record(seed) for seed in range(2)]
    there, missing = (record["key"][:16] for record in records)
    store.put(records[:1])
    source = page(tmp_path, "page", GOOD)

    for stamp, expected in (
        ({"ingredients": "a", "stand_ins": [there]}, True),
        ({"ingredients": "a", "stand_ins": [there, missing]}, False),
        ({"ingredients": "b", "stand_ins": [there]}, False),
        ({}, False),
    ):
        assert uptodate.is_current(executed(source, **stamp), "a", store) is expected
    assert not uptodate.is_current(tmp_path / "nowhere.ipynb", "a", store)
    assert not uptodate.is_current(executed(source, ingredients=None), None, store)
    half = tmp_path / "half.ipynb"
    half.write_text('{"cells": [')
    assert not uptodate.is_current(half, "a", store)


@pytest.mark.xdist_group("kernels")
@pytest.mark.timeout(300)
def test_a_second_run_keeps_the_page_until_its_trial_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    train = "import hplab as hp\nhp.run([hp.Trial(data='digits')], preset=preset, n_seeds=1)"
    source, out, said = page(tmp_path, "page", train), tmp_path / "out.ipynb", []

    def run(**options):
        return execute.run(source, out, SMOKE, store=default_store(), say=said.append, **options)

    first = run()
    text = out.read_bytes()
    second = run()
    assert first.fault is None
    assert (first.ran, second.ran) == (True, False)
    assert out.read_bytes() == text
    assert said[-1] == "page: nothing changed since it was verified"

    shutil.rmtree(default_store().pending)
    assert run().ran
