"""Sweep files: one for each documented key and each fault, read or refused as it should be."""

import math
import re
import signal
import textwrap

import pytest

from hplab import cli
from hplab.sweeps import searches, sweepfile
from hplab.trial import HplabError

LR = "lr: {min: 0.001, max: 0.1}"


def written(folder, text):
    path = folder / "sweep.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def file_of(folder, parameters=LR, *, method="random", rest=""):
    body = textwrap.indent(textwrap.dedent(parameters).strip(), "  ")
    top = f"program: train.py\nmethod: {method}\n{textwrap.dedent(rest).strip()}\nparameters:\n"
    return written(folder, f"{top}{body}\n")


def read(folder, parameters=LR, **kwargs):
    return sweepfile.read(file_of(folder, parameters, **kwargs))


# ---------------------------------------------------------------------------- what is allowed

# What a parameter says; the distribution that is read; a few values at coordinates.
PARAMETERS = {
    "value": ("x: {value: 3}", "constant", {0.5: 3}),
    "value of text": ("x: {value: adam}", "constant", {0.5: "adam"}),
    "value of null": ("x: {value: null}", "constant", {0.5: None}),
    "constant": ("x: {distribution: constant, value: 3}", "constant", {0.5: 3}),
    "values": ("x: {values: [a, 2, true]}", "categorical", {0.1: "a", 0.5: 2, 0.9: True}),
    "values of lists": ("x: {values: [[8], [8, 4]]}", "categorical", {0.1: (8,), 0.9: (8, 4)}),
    "categorical": ("x: {distribution: categorical, values: [1, 2]}", "categorical", {0.9: 2}),
    "probabilities": (
        "x: {values: [1, 2], probabilities: [0.25, 0.75]}",
        "categorical_w_probabilities",
        {0.2: 1, 0.3: 2},
    ),
    "categorical_w_probabilities": (
        "x: {distribution: categorical_w_probabilities, values: [1, 2], probabilities: [0.9, 0.1]}",
        "categorical_w_probabilities",
        {0.85: 1, 0.95: 2},
    ),
    "whole min, max": ("x: {min: 1, max: 4}", "int_uniform", {0.1: 1, 0.6: 3, 0.9: 4}),
    "min, max": ("x: {min: 1.0, max: 4}", "uniform", {0.5: 2.5}),
    "int_uniform": ("x: {distribution: int_uniform, min: 1, max: 4}", "int_uniform", {0.3: 2}),
    "uniform": ("x: {distribution: uniform, min: 1, max: 4}", "uniform", {0.5: 2.5}),
    "q_uniform": (
        "x: {distribution: q_uniform, min: 0, max: 1, q: 0.25}",
        "q_uniform",
        {0.3: 0.25},
    ),
    "log_uniform": (
        "x: {distribution: log_uniform, min: -4, max: -2}",
        "log_uniform",
        {0.5: math.exp(-3)},
    ),
    "log_uniform_values": (
        "x: {distribution: log_uniform_values, min: 0.001, max: 0.1}",
        "log_uniform_values",
        {0.5: 0.01},
    ),
    "q_log_uniform": (
        "x: {distribution: q_log_uniform, min: 0, max: 4}",
        "q_log_uniform",
        {0.5: round(math.exp(2))},
    ),
    "q_log_uniform_values": (
        "x: {distribution: q_log_uniform_values, min: 8, max: 128, q: 8}",
        "q_log_uniform_values",
        {0.5: 32},
    ),
    "inv_log_uniform": (
        "x: {distribution: inv_log_uniform, min: 2, max: 4}",
        "inv_log_uniform",
        {0.5: math.exp(-3)},
    ),
    "inv_log_uniform_values": (
        "x: {distribution: inv_log_uniform_values, min: 0.001, max: 0.1}",
        "inv_log_uniform_values",
        {0.5: 0.01},
    ),
    "normal": (
        "x: {distribution: normal, mu: 2, sigma: 3}",
        "normal",
        {0.5: 2.0, 0.841344746: 5.0},
    ),
    "q_normal": ("x: {distribution: q_normal, mu: 2.2}", "q_normal", {0.5: 2}),
    "log_normal": ("x: {distribution: log_normal}", "log_normal", {0.5: 1.0, 0.841344746: math.e}),
    "q_log_normal": ("x: {distribution: q_log_normal, mu: 3, q: 10}", "q_log_normal", {0.5: 20}),
    "beta": ("x: {distribution: beta, a: 1, b: 2}", "beta", {0.75: 0.5}),
    "beta, uniform by default": ("x: {distribution: beta}", "beta", {0.3: 0.3}),
    "q_beta": ("x: {distribution: q_beta, a: 1, b: 2, q: 0.5}", "q_beta", {0.75: 0.5}),
}


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_parameter_is_read(tmp_path, key):
    text, name, values = PARAMETERS[key]
    one = read(tmp_path, text).parameters["x"]
    assert one.name == name
    for u, value in values.items():
        got = one.value(u)
        assert got == (pytest.approx(value, rel=1e-6) if type(value) is float else value)
        assert type(got) is type(value) or type(value) is int


# What the rest says, and what is read of it.
RESTS = {
    "metric.name": ("metric: {name: val/acc}", {"metric": "val/acc", "goal": "minimize"}),
    "metric.goal": ("metric: {name: acc, goal: maximize}", {"goal": "maximize"}),
    "metric.target": ("metric: {name: acc, target: 0.9}", {"target": 0.9}),
    "metric.impute": ("metric: {name: acc, impute: best}", {"impute": "best"}),
    "metric.impute_while_running": (
        "metric: {name: acc, impute_while_running: worst}",
        {"metric": "acc"},
    ),
    "metric.impute_while_running: false": (
        "metric: {name: acc, impute_while_running: false}",
        {"metric": "acc"},
    ),
    "run_cap": ("run_cap: 7", {"run_cap": 7}),
    "program": ("", {"program": "train.py", "command": ()}),
    "command": ("command: [python, '${args}']", {"command": ("python", "${args}")}),
    "command as text": ("command: python -u ${args}", {"command": ("python", "-u", "${args}")}),
    "what only W&B needs": (
        "name: n\ndescription: d\nproject: p\nentity: e\ncontroller: {type: local}\n"
        "apiVersion: 1\nkind: sweep",
        {"method": "random"},
    ),
}


@pytest.mark.parametrize("key", RESTS)
def test_a_key_is_read(tmp_path, key):
    text, expected = RESTS[key]
    file = read(tmp_path, rest=text)
    assert {name: getattr(file, name) for name in expected} == expected


@pytest.mark.parametrize("macro", [*sweepfile.MACROS, "envvar:HOME"])
def test_every_documented_macro_is_known(tmp_path, macro):
    file = read(tmp_path, rest=f"command: ['${{{macro}}}', x]")
    assert file.command == (f"${{{macro}}}", "x")


@pytest.mark.parametrize(
    ("text", "rungs"),
    [
        ("min_iter: 3", [3, 9, 27]),  # W&B: brackets 3, 3 * eta, 3 * eta ** 2
        ("min_iter: 2, eta: 2", [2, 4, 8, 16]),
        ("max_iter: 27, s: 2", [3, 9]),  # W&B: 27 / eta, 27 / eta / eta
        ("max_iter: 27, s: 9, strict: true", [1, 3, 9]),
    ],
)
def test_hyperband_looks_where_wandb_does(tmp_path, text, rungs):
    stop = f"early_terminate: {{type: hyperband, {text}}}\nmetric: {{name: loss}}"
    rule = read(tmp_path, rest=stop).rule
    assert [i for i in range(1, 28) if rule.looks(i)] == rungs
    assert rule.strict == ("strict" in text)


def test_the_median_is_a_rule_too(tmp_path):
    stop = "early_terminate: {type: median, min_iter: 4, min_runs: 3}"
    rule = read(tmp_path, rest=f"{stop}\nmetric: {{name: a, goal: maximize}}").rule
    assert (rule.kind, rule.min_iter, rule.min_runs, rule.maximize) == ("median", 4, 3, True)


def test_nested_parameters_have_the_names_of_all_levels(tmp_path):
    text = """
        lr: {value: 1}
        optimizer:
          parameters:
            name: {values: [sgd, adam]}
            schedule:
              parameters:
                warmup: {min: 0, max: 10}
    """
    file = read(tmp_path, text)
    assert list(file.parameters) == ["lr", "optimizer.name", "optimizer.schedule.warmup"]


def test_seeds_may_be_drawn_from_a_large_range(tmp_path):
    file = read(tmp_path, "seed: {min: 0, max: 1000000000000}")
    assert len(searches.points(file, n=3)) == 3


def test_anchors_and_merge_keys_work(tmp_path):
    text = """
        a: &range {min: 0.0, max: 1.0}
        b: *range
        c: {<<: *range, max: 3.0}
    """
    parameters = read(tmp_path, text).parameters
    assert parameters["b"] == parameters["a"]
    assert parameters["c"].args == {"min": 0.0, "max": 3.0}


# -------------------------------------------------------------------------------- its faults

# Parameters, the method; the line from the first of the parameters on, and what is said.
FAULTS = {
    "min above max": ("lr: {min: 0.1, max: 0.01}", 1, "lr: min 0.1 is above max 0.01"),
    "min above max, in lines": ("lr:\n  max: 0.01\n  min: 0.1", 3, "lr: min 0.1 is above max"),
    "float bounds of whole numbers": (
        "n: {distribution: int_uniform, min: 1, max: 8.5}",
        1,
        "n: int_uniform needs whole numbers, got 8.5; uniform takes fractions",
    ),
    "1e-3 as min": ("lr: {min: 1e-3, max: 0.1}", 1, "lr.min: 1e-3 is text .* write 1.0e-3"),
    "1e-3 as a value": ("lr:\n  values: [0.1,\n    1e-3]", 3, "lr: 1e-3 is text .* 1.0e-3"),
    "1e3 without a sign": ("n: {value: 1.5e3}", 1, "n.value: 1.5e3 is text .* write 1.5e\\+3"),
    "'1e-3' in quotes as min": (
        "lr: {min: '1e-3', max: 0.1}",
        1,
        "lr: min must be a number, got '1e-3'",
    ),
    "unknown key": ("lr: {min: 0.1, mx: 1}", 1, "unknown key 'mx' in lr; .* mean 'max'"),
    "unknown distribution": (
        "lr:\n  distribution: log_unifrom\n  min: 1\n  max: 2",
        2,
        "unknown distribution 'log_unifrom'; known: beta, .* did you mean 'log_uniform'",
    ),
    "nothing said": ("a: {value: 1}\nlr: {}", 2, "lr: says neither value, values, min and max"),
    "max missing": ("lr: {min: 0.1}", 1, "lr: uniform needs min and max, and max is missing"),
    "value and values": ("lr: {value: 1, values: [2]}", 1, "constant takes value, not values"),
    "mu of uniform": ("lr: {min: 1, max: 2, mu: 1}", 1, "int_uniform takes min and max, not mu"),
    "a number without a key": ("lr: 0.1", 1, "lr: write {value: 0.1}"),
    "a list without a key": ("lr: [1, 2]", 1, "lr: write {values: \\[...\\]}"),
    "values is no list": ("lr: {values: 3}", 1, "lr: values must be a list, got 3"),
    "values is empty": ("lr: {values: []}", 1, "a list with something in it"),
    "values holds a mapping": ("lr: {values: [{a: 1}]}", 1, "got a dict"),
    "values holds a date": ("lr: {values: [2024-01-01]}", 1, "got a date"),
    "values holds infinity": ("lr: {values: [.inf]}", 1, "got a float .inf"),
    "min is infinity": ("lr: {min: -.inf, max: 0.1}", 1, "must be a number, got -inf"),
    "probabilities": ("x: {values: [1, 2], probabilities: [0.5, 0.4]}", 1, "sum to 1, not 0.9"),
    "too few probabilities": ("x: {values: [1, 2], probabilities: [1]}", 1, "2 values have 1"),
    "q": ("x: {distribution: q_uniform, min: 0, max: 1, q: 0}", 1, "x: q must be above 0, got 0"),
    "sigma": ("x: {distribution: normal, sigma: -1}", 1, "must be above 0, got -1"),
    "log of zero": ("x: {distribution: log_uniform_values, min: 0, max: 1}", 1, "a min above 0"),
    "large exponents": ("x: {distribution: log_uniform, min: 1, max: 1000}", 1, "exponents of e"),
    "a key twice": ("lr: {value: 1}\nlr: {value: 2}", 2, "'lr' is there twice, first in line"),
    "nested and value": ("o: {parameters: {a: {value: 1}}, value: 2}", 1, "so it takes no value"),
    "nested and empty": ("o: {parameters: {}}", 1, "o holds no parameter"),
    "a name of the table": ("status: {value: 1}", 1, "cannot be called 'status'"),
    "seeds that are none": ("seed: {min: 0.0, max: 1.0}", 1, "seeds are whole numbers from 0"),
    "negative seeds": ("seed: {values: [-1]}", 1, "seeds are whole numbers from 0"),
}
GRID_FAULTS = {
    "twice in a grid": ("x:\n  values:\n  - 1\n  - 2\n  - 1", 5, "x: 1 is twice in the grid"),
    "no end in a grid": (
        "lr: {min: 0.1, max: 1.0}",
        1,
        "a grid cannot go through uniform: it takes value, values, int_uniform and q_uniform",
    ),
    "a huge grid": ("n: {min: 1, max: 900000000}", 1, "a grid of more than 1,000,000 values"),
}
REST_FAULTS = {
    "job": ("job: me/project/train:v0", "job is of W&B Launch, .* program: FILE"),
    "image_uri": ("image_uri: me/train", "image_uri is of W&B Launch, .* program: FILE"),
    "scheduler": ("scheduler: {engine: optuna}", "scheduler is a program of W&B's .* halton"),
    "metrics": ("metrics: [{name: a}, {name: b}]", "metrics are several goals at once"),
    "impute of a run that failed": (
        "metric: {name: a, impute: latest}",
        "metric.impute latest: what a run had logged before it failed is not kept",
    ),
    "impute": ("metric: {name: a, impute: wurst}", "unknown metric.impute 'wurst'.* 'worst'"),
    "impute while running": (
        "metric: {name: a, impute_while_running: 3}",
        "metric.impute_while_running must be text, got 3",
    ),
    "unknown key": ("metod: grid", "unknown key 'metod' .*did you mean 'method'"),
    "goal": ("metric: {name: a, goal: maximise}", "unknown goal 'maximise'.* mean 'maximize'"),
    "metric without a name": ("metric: {goal: minimize}", "metric needs a name"),
    "metric as text": ("metric: val_loss", "metric must hold keys, got 'val_loss'"),
    "target": ("metric: {name: a, target: 1e-3}", "metric.target: 1e-3 is text .* 1.0e-3"),
    "run_cap of zero": ("run_cap: 0", "run_cap must be a whole number from 1, got 0"),
    "run_cap of a half": ("run_cap: 2.5", "run_cap must be a whole number from 1, got 2.5"),
    "run_cap true": ("run_cap: true", "run_cap must be a whole number from 1, got True"),
    "unknown macro": ("command: ['${program}', '${arg}']", "unknown macro 'arg'.* mean 'args'"),
    "no rule": ("metric: {name: a}\nearly_terminate: {min_iter: 3}", "needs a type: hyperband"),
    "unknown rule": (
        "metric: {name: a}\nearly_terminate: {type: hyperbnd}",
        "unknown type of early_terminate 'hyperbnd'.* mean 'hyperband'",
    ),
    "stopping by nothing": ("early_terminate: {type: median}", "early_terminate needs a metric"),
    "no iterations": ("metric: {name: a}\nearly_terminate: {type: hyperband}", "needs min_iter"),
    "max_iter alone": (
        "metric: {name: a}\nearly_terminate: {type: hyperband, max_iter: 9}",
        "max_iter needs s",
    ),
    "s alone": (
        "metric: {name: a}\nearly_terminate: {type: hyperband, min_iter: 1, s: 2}",
        "s belongs to max_iter",
    ),
    "eta of 1": (
        "metric: {name: a}\nearly_terminate: {type: hyperband, min_iter: 1, eta: 1}",
        "eta must be above 1",
    ),
    "no rung": (
        "metric: {name: a}\nearly_terminate: {type: hyperband, max_iter: 2, s: 1}",
        "max_iter / eta is below 1",
    ),
    "strict": (
        "metric: {name: a}\nearly_terminate: {type: hyperband, min_iter: 1, strict: 3}",
        "strict is true or false, got 3",
    ),
    "a key of the other rule": (
        "metric: {name: a}\nearly_terminate: {type: median, eta: 3}",
        "unknown key 'eta' in early_terminate of type median",
    ),
}


@pytest.mark.parametrize("fault", [*FAULTS, *GRID_FAULTS])
def test_a_fault_of_a_parameter_is_one_line_with_its_place(tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    text, line, said = {**FAULTS, **GRID_FAULTS}[fault]
    method = "grid" if fault in GRID_FAULTS else "random"
    with pytest.raises(HplabError, match=rf"^sweep.yaml:{line + 4}: .*{said}") as error:
        read(tmp_path, text, method=method)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fault", REST_FAULTS)
def test_a_fault_of_another_key_is_one_line_with_its_place(tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    text, said = REST_FAULTS[fault]
    line = 3 + text.count("\n")  # it is in the last line
    with pytest.raises(HplabError, match=rf"^sweep.yaml:{line}: .*{said}") as error:
        read(tmp_path, rest=text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fault", [*FAULTS, *GRID_FAULTS, *REST_FAULTS])
def test_whoever_sweeps_by_a_wrong_file_gets_that_line_and_exit_code_2(
    tmp_path, monkeypatch, capsys, fault
):
    monkeypatch.chdir(tmp_path)
    if fault in REST_FAULTS:
        file_of(tmp_path, rest=REST_FAULTS[fault][0])
    else:
        text = {**FAULTS, **GRID_FAULTS}[fault][0]
        file_of(tmp_path, text, method="grid" if fault in GRID_FAULTS else "random")
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", "sweep.yaml"])

    [line] = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert re.search({**FAULTS, **GRID_FAULTS, **REST_FAULTS}[fault][-1], line)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "sweep.yaml: a sweep file holds keys such as method"),
        ("- 1", "sweep.yaml: a sweep file holds keys"),
        ("a: [1\nb: 2", "sweep.yaml:2: not YAML: "),
        ("a:\n\t- 1", "sweep.yaml:2: not YAML: .*indent with spaces"),
        ("parameters: {a: {value: 1}}\nprogram: p", "the key 'method' is missing; it is one of"),
        ("method: grid\nprogram: p", "sweep.yaml: the key 'parameters' is missing"),
        ("method: custom\nparameters: {}\nprogram: p", "yaml:1: custom leaves .* is one of grid"),
        ("method: gird\nparameters: {}", "sweep.yaml:1: unknown method 'gird'.*mean 'grid'"),
        ("method: grid\nparameters: {}\nprogram: p", "sweep.yaml:2: parameters holds no parameter"),
        ("method: grid\nparameters: {a: {value: 1}}", "the key 'program' is missing"),
        (
            "method: bayes\nparameters: {a: {value: 1}}\nprogram: p",
            "sweep.yaml:1: bayes needs a metric",
        ),
        (
            "method: grid\nparameters: {a: {value: 1}}\ncommand: ['${program}']",
            r"sweep.yaml:3: \$\{program\} needs the key 'program'",
        ),
        ("method: grid\x00", "sweep.yaml: not YAML: unacceptable character"),
        ("a: &a [*a]", "sweep.yaml:1: it holds itself|undefined alias"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(HplabError, match=said) as error:
        sweepfile.read(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_text_is_one_line(tmp_path):
    with pytest.raises(HplabError, match="cannot read .*nothing.yaml: No such file"):
        sweepfile.read(tmp_path / "nothing.yaml")
    (tmp_path / "sweep.yaml").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(HplabError, match="it is no text in UTF-8"):
        sweepfile.read(tmp_path / "sweep.yaml")


def test_impute_without_a_bayesian_search_is_told(tmp_path):
    metric = "metric: {name: a, impute: worst}"
    assert "is for bayes: random" in read(tmp_path, rest=metric).notes[0]
    assert read(tmp_path, rest=metric, method="bayes").notes == ()


def test_bounds_that_look_like_values_but_are_exponents_are_told(tmp_path):
    (note,) = read(tmp_path, "lr: {distribution: log_uniform, min: 0.0001, max: 0.1}").notes
    assert "its values go from 1 to 1.105; log_uniform_values takes" in note
    assert read(tmp_path, "lr: {distribution: log_uniform, min: -9, max: -2}").notes == ()


# -------------------------------------------------------------------------------- its points

SPACE = "lr: {distribution: log_uniform_values, min: 0.001, max: 0.1}\nn: {min: 1, max: 64}"


def test_a_grid_has_every_combination_the_last_varying_fastest(tmp_path):
    text = (
        "a: {values: [1, 2]}\nb: {value: x}\nc: {distribution: q_uniform, min: 0, max: 1, q: 0.5}"
    )
    found = searches.points(read(tmp_path, text, method="grid"))
    assert found == [{"a": a, "b": "x", "c": c} for a in (1, 2) for c in (0, 0.5, 1)]


def test_a_capped_grid_has_the_first_points(tmp_path):
    file = read(tmp_path, "a: {values: [1, 2, 3]}", method="grid", rest="run_cap: 2")
    assert searches.points(file) == [{"a": 1}, {"a": 2}]
    assert searches.points(file, n=1) == [{"a": 1}]


@pytest.mark.parametrize("method", ["random", "sobol", "halton"])
def test_the_same_seed_gives_the_same_points_and_more_of_them_begin_the_same(tmp_path, method):
    file = read(tmp_path, SPACE, method=method)
    few, many = searches.points(file, seed=3, n=8), searches.points(file, seed=3, n=8)
    assert few == many
    assert searches.points(file, seed=3, n=50)[:8] == few
    assert searches.points(file, seed=4, n=8) != few


@pytest.mark.parametrize("method", ["sobol", "halton"])
def test_quasi_random_points_lie_more_evenly_than_random_ones(tmp_path, method):
    def gap(chosen):
        """The largest distance of the CDF of log lr from the uniform one."""
        found = searches.points(read(tmp_path, SPACE, method=chosen), n=256)
        us = sorted(math.log(point["lr"] / 0.001) / math.log(100) for point in found)
        return max(abs(u - (i + 0.5) / len(us)) for i, u in enumerate(us))

    assert gap(method) < 0.02 < gap("random")


@pytest.mark.parametrize("method", ["random", "sobol", "halton"])
def test_points_never_repeat_and_end_where_there_are_no_more(tmp_path, method):
    text = "a: {values: [1, 2, 3]}\nb: {min: 0, max: 3}\nc: {value: 7}"
    found = searches.points(read(tmp_path, text, method=method), n=100)
    assert sorted((p["a"], p["b"]) for p in found) == [(a, b) for a in (1, 2, 3) for b in range(4)]


@pytest.mark.parametrize("method", ["random", "sobol", "halton"])
def test_a_single_point_is_one_point(tmp_path, method):
    assert searches.points(read(tmp_path, "a: {value: 1}", method=method), n=5) == [{"a": 1}]


@pytest.mark.parametrize("method", ["random", "sobol", "halton"])
def test_a_search_without_an_end_asks_for_one(tmp_path, method):
    with pytest.raises(HplabError, match=f"yaml:2: {method} has no end: say run_cap: 20"):
        searches.points(read(tmp_path, SPACE, method=method))


@pytest.mark.parametrize(("goal", "worst"), [("minimize", 9), ("maximize", -2)])
def test_a_point_whose_runs_failed_counts_as_the_file_says(tmp_path, goal, worst):
    def found(more):
        metric = f"metric: {{name: a, goal: {goal}{more}}}"
        file = read(tmp_path, SPACE, method="bayes", rest=metric)
        return [searches.imputed(file, ends) for ends in ([], [3, 9, -2])]

    assert found("") == [None, None]
    assert found(", impute: worst") == [None, worst]
    assert found(", impute: best") == [None, 7 - worst]


def test_a_bayesian_search_without_optuna_says_what_brings_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    file = read(tmp_path, SPACE, method="bayes", rest="metric: {name: loss}")
    with pytest.raises(HplabError, match=r"pip install 'hplab\[bayes\]'"):
        searches.Bayes(file, 0)


def test_a_bayesian_search_closes_in_and_goes_the_same_way_again(tmp_path):
    pytest.importorskip("optuna")
    file = read(tmp_path, SPACE.split("\n")[0], method="bayes", rest="metric: {name: loss}")

    def path(n):
        search = searches.Bayes(file, seed=1)
        for _ in range(n):
            trial, point = search.ask()
            search.tell(trial, [abs(math.log10(point["lr"]) + 2)])
            yield point["lr"]

    found = list(path(60))
    assert found == list(path(60))
    off = [abs(math.log10(lr) + 2) for lr in found[20:]]
    assert sum(off) / len(off) < 0.35  # of uniform points it is 0.5, with a standard error of 0.05
