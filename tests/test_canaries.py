"""Canary trials: when their numbers move, every recorded result is in question.

Each canary is a small trial on the embedded digits whose learning curves are written down below in
`canaries.json`. If a change of code moves one beyond what another build of torch may, results
recorded before and after that change must not be mixed: raise `TASK_VERSION` in `hplab/trial.py`,
write the new curves with `python tests/test_canaries.py`, and say why in the commit.
"""

import json
from pathlib import Path

import pytest
import torch

from hplab.training import data, loop
from hplab.trial import TASK_VERSION, Trial

FILE = Path(__file__).with_name("canaries.json")
SMALL = {"data": "digits", "n_train": 240, "epochs": 2, "batch_size": 32}
CNN = {"model": "cnn", "model_args": {"channels": [4, 8], "hidden": 16}}
MLP = {"model": "mlp", "model_args": {"hidden": [16]}}
CANARIES = {
    "sgd": Trial(**SMALL, **MLP, optimizer="sgd", lr=0.1),
    "momentum": Trial(**SMALL, **MLP, optimizer="sgd", optimizer_args={"momentum": 0.9}, lr=0.02),
    "adam": Trial(**SMALL, **CNN, optimizer="adam", lr=3e-3, seed=1),
    "adamw": Trial(**SMALL, **MLP, optimizer="adamw", lr=3e-3, weight_decay=0.1, seed=2),
    "rmsprop": Trial(**SMALL, **MLP, optimizer="rmsprop", lr=1e-3, weight_decay=0.01),
    "adagrad": Trial(**SMALL, **MLP, optimizer="adagrad", lr=0.01, drop_last=True, seed=3),
    "holdout": Trial(**SMALL, **CNN, split="holdout", activation="gelu", normalize="unit"),
    "kfold": Trial(**SMALL, **MLP, split="kfold", fold=2, shuffle=False),
    "range": Trial(**SMALL, **MLP, schedule="range_test", lr=1.0),
    "augmented": Trial(**SMALL, **CNN, schedule="cosine", augment={"crop": 1, "flip": 0.5}),
    "spared": Trial(**SMALL, **MLP, weight_decay=0.1, decayed="weights", schedule="one_cycle"),
}
NAMES = ("train_loss", "train_acc", "val_loss", "val_acc", "running_loss", "lr")
RTOL = 1e-4  # another build of torch moves the last digits; a change of method moves the first


def measured(trial):
    curves = loop.train(trial, data.load("digits")).curves
    return {name: curves[name] for name in NAMES}


@pytest.mark.parametrize("name", CANARIES)
def test_results_have_not_moved(name):
    written = json.loads(FILE.read_text())

    assert written["task_version"] == TASK_VERSION, "write the canaries of this version"
    for metric, values in measured(CANARIES[name]).items():
        assert values == pytest.approx(written["curves"][name][metric], rel=RTOL), (
            f"{metric} of canary {name!r} moved: if that is meant, raise TASK_VERSION to "
            f"{TASK_VERSION + 1} in hplab/trial.py and run python tests/test_canaries.py"
        )


def test_every_optimizer_has_a_canary():
    from hplab.trial import OPTIMIZERS

    assert {trial.optimizer for trial in CANARIES.values()} == set(OPTIMIZERS)


MUTANTS = {  # each is a mistake somebody has made; a canary must notice it
    "momentum is ignored": ("momentum", {"optimizer_args": {}}),
    "decay inside the gradient": ("adamw", {"optimizer": "adam"}),
    "another momentum in Adam": ("adam", {"optimizer_args": {"beta1": 0.8}}),
    "the last batch kept": ("adagrad", {"drop_last": False}),
    "the same order every epoch": ("sgd", {"shuffle": False}),
    "another fold": ("kfold", {"fold": 1}),
    "another normalization": ("holdout", {"normalize": "standard"}),
    "a constant rate": ("range", {"schedule": "constant"}),
    "no augmentation": ("augmented", {"augment": {}}),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_canary_notices(mutant):
    name, change = MUTANTS[mutant]
    written = json.loads(FILE.read_text())["curves"][name]
    moved = measured(CANARIES[name].replace(**change))

    assert moved["train_loss"] != pytest.approx(written["train_loss"], rel=10 * RTOL)


if __name__ == "__main__":
    torch.set_num_threads(1)
    curves = {name: measured(trial) for name, trial in CANARIES.items()}
    FILE.write_text(json.dumps({"task_version": TASK_VERSION, "curves": curves}, indent=1) + "\n")
    print(f"wrote {FILE.name}")
