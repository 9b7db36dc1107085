"""Canary trials: when their numbers move, every recorded result is in question.

Each canary is a small trial on the embedded digits whose learning curves are written down below in
`canaries.json`. If a change of code moves one beyond what another build of torch may, results
recorded before and after that change must not be mixed: raise `TASK_VERSION` in `hplab/trial.py`,
write the new curves with `python tests/training/test_canaries.py`, and say why in the commit.
"""

import json
from pathlib import Path

import pytest
import torch

from hplab.catalogue import (
    ACTIVATIONS,
    AUGMENTATIONS,
    LOSSES,
    MEASURES,
    MODELS,
    OPTIMIZERS,
    SEEDINGS,
    SPLITS,
    STOPS,
)
from hplab.training import datasets, loop, optim, schedules
from hplab.training.networks import dropout, lanes
from hplab.training.schedules import SCHEDULES
from hplab.trial import TASK_VERSION, Trial

FILE = Path(__file__).with_name("canaries.json")
SMALL = {"data": "digits", "n_train": 240, "epochs": 2, "batch_size": 32}
CNN = {"model": "cnn", "model_args": {"channels": [4, 8], "hidden": 16}}
MLP = {"model": "mlp", "model_args": {"hidden": [16]}}
DEEP = {"model": "mlp", "model_args": {"hidden": [16] * 8}}
PHOTOS = {
    **{"model": "cnn", "split": "kfold", "augment": {"rotate": 15.0}, "drop_last": True},
    **{"optimizer": "adam", "lr": 3e-3, "normalize": "standard"},
}
NORMED = {"channels": [8], "hidden": 16, "batch_norm": True}
STOPPED = {
    **{"data": "digits", "n_train": 240, "epochs": 12, "batch_size": 240, "shuffle": False},
    **{"model": "mlp", "model_args": {"hidden": [16], "logit_norm": True}, "normalize": "unit"},
    **{"stop": "loss_change", "stop_args": {"tau": 0.05, "times": 3}},
}
MOBILE = {
    **{"model": "mobilenet", "split": "holdout", "optimizer": "sgd", "drop_last": True},
    **{"optimizer_args": {"momentum": 0.9}, "measure": ["layers", "norms"]},
}
CANARIES = {
    "sgd": Trial(**SMALL, **MLP, optimizer="sgd", lr=0.1),
    "momentum": Trial(**SMALL, **MLP, optimizer="sgd", optimizer_args={"momentum": 0.9}, lr=0.02),
    "adam": Trial(**SMALL, **CNN, optimizer="adam", lr=3e-3, seed=1),
    "adamw": Trial(**SMALL, **MLP, optimizer="adamw", lr=3e-3, weight_decay=0.1, seed=2),
    "rmsprop": Trial(**SMALL, **MLP, optimizer="rmsprop", lr=1e-3, weight_decay=0.01),
    "adagrad": Trial(**SMALL, **MLP, optimizer="adagrad", lr=0.01, drop_last=True, seed=3),
    "luck": Trial(
        **SMALL,
        **MLP,
        **{"optimizer": "sgd", "lr": 0.1, "split": "holdout", "split_args": {"seed": 1}},
        seeds={"init": 1, "order": 2},
    ),
    "holdout": Trial(**SMALL, **CNN, split="holdout", activation="gelu", normalize="unit"),
    "symmetric": Trial(**SMALL, **MLP, normalize="symmetric"),
    "kfold": Trial(**SMALL, **MLP, split="kfold", fold=2, shuffle=False),
    "range": Trial(**SMALL, **MLP, schedule="range_test", lr=1.0),
    "augmented": Trial(**SMALL, **CNN, schedule="cosine", augment={"crop": 1, "flip": 0.5}),
    "spared": Trial(
        **{**SMALL, **MLP, "weight_decay": 0.5, "decayed": "weights", "lr": 0.01},
        schedule="one_cycle",
    ),
    "step": Trial(**SMALL, **MLP, schedule="step", schedule_args={"step_size": 0.5}),
    "multi_step": Trial(**SMALL, **MLP, schedule="multi_step"),
    "warm_restarts": Trial(**SMALL, **MLP, schedule="warm_restarts"),
    "linear": Trial(**SMALL, **MLP, schedule="linear", schedule_args={"warmup": 0.3}),
    "inverse_sqrt": Trial(**SMALL, **MLP, schedule="inverse_sqrt", measure=["steps"]),
    "stable": Trial(
        **{**SMALL, **MLP, "schedule": "warmup_stable_decay"},
        schedule_args={"warmup": 0.5, "decay": 0.0},
    ),
    "mobilenet": Trial(
        **{**SMALL, **MOBILE, "model_args": {"width": 0.0625, "blocks": [4, 5]}},
        activation="sigmoid",
        lr=0.5,
        schedule="cosine",
        schedule_args={"every": "epoch"},
    ),
    "mobilenet of silu": Trial(
        **{**SMALL, **MOBILE, "model_args": {"width": 0.0625}, "lr": 0.05},
        activation="silu",
        weight_decay=5e-4,
    ),
    "deep": Trial(**SMALL, **DEEP, activation="sigmoid", measure=["layers"], lr=0.05),
    "matched": Trial(
        **{**SMALL, **DEEP, "model_args": {"hidden": [16] * 8, "init": "matched"}},
        activation="tanh",
        measure=["layers"],
    ),
    "normed": Trial(
        **{**SMALL, **DEEP, "model_args": {"hidden": [16] * 8, "batch_norm": True}},
        activation="leaky_relu",
        measure=["layers", "gradient_noise"],
    ),
    "dropout": Trial(**SMALL, model="cnn", model_args={**CNN["model_args"], "dropout": 0.3}),
    "dropout in an mlp": Trial(**SMALL, model="mlp", model_args={"hidden": [16], "dropout": 0.3}),
    "photos": Trial(
        **SMALL,
        **PHOTOS,
        model_args=NORMED,
        loss="kl_div",
        optimizer_args={"eps": 1e-3},
        measure=["diagnostics", "probes", "confusion"],
    ),
    "pooled": Trial(**SMALL, **PHOTOS, model_args={**NORMED, "global_pool": True}),
    "normed hidden": Trial(**SMALL, **PHOTOS, model_args={**NORMED, "hidden_batch_norm": True}),
    "mean of all": Trial(**SMALL, **CNN, loss="kl_div_mean"),
    "softmax twice": Trial(**SMALL, **CNN, loss="cross_entropy_of_softmax"),
    "shares for logs": Trial(**SMALL, **CNN, loss="kl_div_of_softmax"),
    "logits for logs": Trial(**SMALL, **CNN, loss="kl_div_of_logits", lr=1e-4),
    "in the worst direction": Trial(**SMALL, **MLP, measure=["keskar"]),
    "curved": Trial(**SMALL, **MLP, measure=["curvature", "gradient_noise"]),
    "stopped": Trial(**STOPPED, lr=0.5, measure=["sharpness", "sharpness_path"], n_directions=2),
    "as in report 002": Trial(**STOPPED, optimizer="adagrad", lr=0.05, seeding="report_002"),
}
NAMES = ("train_loss", "train_acc", "val_loss", "val_acc", "running_loss", "lr")
RTOL = 1e-4  # another build of torch moves the last digits; a change of method moves the first
MEASURED_RTOL = 1e-3  # a small difference of large numbers moves further


def measured(trial):
    """Return every number that a trial's record would hold, as lists; none where there is none."""
    found = loop.train(trial, datasets.load("digits"))
    series = {name: found.curves[name] for name in NAMES}
    series |= {name: values for name, values in found.curves.items() if name not in NAMES}
    finals = {f"at the end: {name}": [value] for name, value in found.final.items()}
    return {name: numbers(values) for name, values in (series | finals).items()}


def numbers(values):
    return [value if value is None else float(value) for value in values]


@pytest.mark.parametrize("name", CANARIES)
def test_results_have_not_moved(name):
    written = json.loads(FILE.read_text())

    assert written["task_version"] == TASK_VERSION, "write the canaries of this version"
    found = measured(CANARIES[name])
    moved = far_off(found, written["curves"][name])
    assert not moved, (
        f"{', '.join(moved)} of canary {name!r} moved: if that is meant, raise TASK_VERSION to "
        f"{TASK_VERSION + 1} in hplab/trial.py and run python tests/training/test_canaries.py"
    )


def far_off(found, written):
    """Return the metrics that are others than those written, beyond another build's rounding."""
    assert found.keys() == written.keys()
    return [
        metric
        for metric, values in found.items()
        if values
        != pytest.approx(written[metric], rel=RTOL if metric in NAMES else MEASURED_RTOL, abs=1e-7)
    ]


def kinds(trial):
    """Return what a trial is made of: each word it uses, and each argument that is not as usual."""
    found = set()
    for field, value in trial.config().items():
        if isinstance(value, dict):
            owner = field.removesuffix("_args")
            kind = getattr(trial, owner, "") if field.endswith("_args") else ""
            found |= {
                f"{field} of {kind}: {name}{f' {v}' if isinstance(v, (str, bool)) else ''}"
                for name, v in value.items()
            }
        elif isinstance(value, list):
            found |= {f"{field} {one}" for one in value}
        else:
            found.add(f"{field} {value}" if isinstance(value, (str, bool)) else field)
    return found


@pytest.mark.xdist_group("planned")  # the studies' cells are run once a process
def test_every_kind_of_trial_of_the_laptop_preset_has_a_canary():
    """What the published records rest on is watched: a study that adds a kind adds a canary."""
    import planned  # lies beside conftest.py, where this file as a script does not look

    watched = set().union(*map(kinds, CANARIES.values()))
    trained = set().union(*map(kinds, planned.scaled("laptop")))

    assert len(trained) > 40
    assert sorted(trained - watched) == []


@pytest.mark.parametrize(
    ("field", "known"),
    [
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
        ("loss", LOSSES),
        ("activation", ACTIVATIONS),
        ("model", MODELS),
        ("split", SPLITS),
        ("stop", STOPS),
        ("seeding", SEEDINGS),
    ],
)
def test_every_name_has_a_canary(field, known):
    assert {getattr(trial, field) for trial in CANARIES.values()} == set(known)


@pytest.mark.parametrize(("field", "known"), [("measure", MEASURES), ("augment", AUGMENTATIONS)])
def test_every_measure_and_augmentation_has_a_canary(field, known):
    assert {name for t in CANARIES.values() for name in getattr(t, field)} == set(known)


MUTANTS = {  # each is a mistake somebody has made; a canary must notice it
    "momentum is ignored": ("momentum", {"optimizer_args": {}}),
    "decay inside the gradient": ("adamw", {"optimizer": "adam"}),
    "another momentum in Adam": ("adam", {"optimizer_args": {"beta1": 0.8}}),
    "the last batch kept": ("adagrad", {"drop_last": False}),
    "the same order every epoch": ("sgd", {"shuffle": False}),
    "another split": ("luck", {"split_args": {}}),
    "one seed for all": ("luck", {"seeds": {}}),
    "another fold": ("kfold", {"fold": 1}),
    "another normalization": ("holdout", {"normalize": "standard"}),
    "a constant rate": ("range", {"schedule": "constant"}),
    "no augmentation": ("augmented", {"augment": {}}),
    "Sigmoid in every block": ("mobilenet", {"model_args": {"width": 0.0625}}),
    "a rate that moves within an epoch": ("mobilenet", {"schedule_args": {}}),
    "weights of another range": ("matched", {"model_args": {"hidden": [16] * 8}}),
    "no batch normalization": ("normed", {"model_args": {"hidden": [16] * 8}}),
    "no dropout": ("dropout", {"model_args": CNN["model_args"]}),
    "another loss": ("mean of all", {"loss": "kl_div"}),
    "a stop that comes later": ("stopped", {"stop_args": {"tau": 0.01, "times": 3}}),
    "common weights": ("as in report 002", {"seeding": "common"}),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_canary_notices(mutant):
    name, change = MUTANTS[mutant]
    written = json.loads(FILE.read_text())["curves"][name]
    moved = measured(CANARIES[name].replace(**change))

    assert moved["train_loss"] != pytest.approx(written["train_loss"], rel=10 * RTOL)


def built_so(change):
    """Have each optimizer changed as it is built."""

    def mutate(patch):
        build = optim.build

        def changed(groups, **options):
            optimizer = build(groups, **options)
            change(optimizer)
            return optimizer

        patch.setattr(optim, "build", changed)

    return mutate


def turned_momentum(optimizer):
    for group in optimizer.param_groups:
        group["momentum"] *= -1


def coupled_decay(optimizer):
    for group in optimizer.param_groups:
        group["decoupled_weight_decay"] = False


def no_bias_correction(optimizer):
    for group in optimizer.param_groups:
        for p in group["params"]:
            moments = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[p] = {"step": torch.tensor(1e6), **moments}


def gradients_add_up(optimizer):
    optimizer.zero_grad = lambda set_to_none: None


def never_in_eval_mode(patch):
    patch.setattr(lanes.Single, "train", lambda self, mode: self.module.train(True))


def all_decay(patch):
    every = {"params": None, "weight_decay": None}
    patch.setattr(
        optim, "_decayed", lambda t, p: [every | {"params": p, "weight_decay": t.weight_decay}]
    )


def a_step_late(patch):
    lr_at = schedules.lr_at
    late = lambda trial, step, **options: lr_at(trial, max(0, step - 1), **options)  # noqa: E731
    patch.setattr(schedules, "lr_at", late)


def masks_are_not_scaled(patch):
    forward = dropout.LaneDropout.forward
    patch.setattr(
        dropout.LaneDropout,
        "forward",
        lambda self, x: forward(self, x) * (1 - self.p if self.training else 1),
    )


CODE_MUTANTS = {  # the same in the code that trains
    "momentum has the other sign": ("momentum", built_so(turned_momentum)),
    "decay inside the gradient": ("adamw", built_so(coupled_decay)),
    "no bias correction": ("adam", built_so(no_bias_correction)),
    "gradients of all batches add up": ("sgd", built_so(gradients_add_up)),
    "measured in training mode": ("normed", never_in_eval_mode),
    "biases decay though they are spared": ("spared", all_decay),
    "the rate of the step before": ("augmented", a_step_late),
    "dropout does not make up for what it drops": ("dropout", masks_are_not_scaled),
}


@pytest.mark.parametrize("mutant", CODE_MUTANTS)
def test_a_canary_notices_other_code(monkeypatch, mutant):
    name, mutate = CODE_MUTANTS[mutant]
    mutate(monkeypatch)

    assert far_off(measured(CANARIES[name]), json.loads(FILE.read_text())["curves"][name])


if __name__ == "__main__":
    torch.set_num_threads(1)
    curves = {name: measured(trial) for name, trial in CANARIES.items()}
    FILE.write_text(json.dumps({"task_version": TASK_VERSION, "curves": curves}, indent=1) + "\n")
    print(f"wrote {FILE.name}")
