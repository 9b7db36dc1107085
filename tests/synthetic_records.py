"""Finished trials as the store keeps them, without training."""

from hplab.trial import TASK, TASK_VERSION, Trial

DIGEST = "0" * 64
SGD_ON_PHOTOS = Trial(
    data="dinosaurs", model="cnn", optimizer="sgd", batch_size=16, epochs=100, split="kfold",
    drop_last=True, normalize="imagenet", augment={"flip": 0.5, "rotate": 15.0},
    model_args={"batch_norm": True, "channels": [16, 32, 64]},
)  # fmt: skip


def make_record(seed=0, *, val_acc=0.5, data=DIGEST, **changes):
    """A finished trial that differs by seed, with its result where `val_acc` says."""
    trial = Trial(data="digits", seed=seed, optimizer_args={"beta1": 0.8})
    record = {
        "v": 1,
        "key": trial.key(data),
        "task": TASK,
        "task_version": TASK_VERSION,
        "data": data,
        "config": trial.config(),
        "seed": seed,
        "status": "ok",
        "at": None,
        "final": {"val_acc": val_acc, "val_loss": 0.25},
        "curves": {"val_acc": [0.25, val_acc], "lr": [0.001, None]},
        "cost": {"train_s": 1.5, "lanes": 1},
        "prov": "0123456789ab",
    }
    return {**record, **changes}


def record(trial, error):
    """A finished record of a trial that ends at some validation error."""
    final = {
        "val_acc": 1 - error,
        "val_loss": 3 * error,
        "train_acc": 1 - error,
        "train_loss": error,
    }
    ends = {**final, "running_acc": 1 - error, "running_loss": error}
    return {
        "v": 1,
        "key": trial.key(DIGEST),
        "task": "classify",
        "task_version": 1,
        "data": DIGEST,
        "config": trial.config(),
        "seed": trial.seed,
        "prov": "0123456789ab",
        "status": "ok",
        "at": None,
        "final": final,
        "curves": {name: [value] * trial.epochs for name, value in ends.items()},
        "cost": {"train_s": 1.0, "lanes": 1, "device": "cpu", "threads": 1},
    }
