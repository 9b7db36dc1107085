"""Tables of runs that look like the real ones, for tests of pages: no training, no store."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pandas as pd

LRS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def accuracy(lr: float, best_lr: float = 1e-3) -> float:
    """A share with its optimum at `best_lr`, falling by the square of the distance in decades."""
    return 0.987 - 0.02 * np.log10(lr / best_lr) ** 2 - 0.02 * max(0, np.log10(lr / best_lr)) ** 3


def make_runs(
    lrs=LRS,
    n_seeds: int = 5,
    *,
    n_diverged: int = 3,
    best_lr: float = 1e-3,
    epochs: int = 5,
    **columns: object,
) -> pd.DataFrame:
    """One row a trial; the first `n_diverged` seeds of the largest learning rate diverged."""
    rng = np.random.default_rng(0)
    rows = []
    for lr, seed in itertools.product(lrs, range(n_seeds)):
        ok = not (lr == max(lrs) and seed < n_diverged)
        setting = {"data": "digits", "model": "cnn", "optimizer": "adam", "lr": lr}
        setting |= {"batch_size": 64, "epochs": epochs, "loss": "cross_entropy", "hidden": 128}
        drawn = accuracy(lr, best_lr) + rng.normal(0, 0.0015) if ok else np.nan
        acc = float(np.clip(drawn, 0.1, 1))
        loss = 0.02 + 2.2 * (1 - acc) + abs(rng.normal(0, 0.002))
        key = hashlib.sha256(f"{lr} {seed} {sorted(columns.items())}".encode()).hexdigest()[:32]
        found = _measured(acc, loss)
        kept = {"key": key, "prov": "0123456789ab", "device": "cpu", "train_s": 1.5 + 0.1 * seed}
        status = "ok" if ok else "diverged"
        rows.append({**setting, **columns, "seed": seed, "status": status, **found, **kept})
    runs = pd.DataFrame(rows)
    runs.attrs = {"preset": "laptop", "data": "digits", "device": "cpu", "n_missing": 0, "n_new": 7}
    return runs


def _measured(acc: float, loss: float) -> dict[str, float]:
    """What a run measures at its end, of its validation accuracy (NaN if diverged) and loss."""
    return {
        "val_acc": acc,
        "val_loss": loss,
        "train_acc": acc + 0.004,
        "train_loss": loss * 0.7,
        "acc_gap": 0.004 + 0 * acc,
        "loss_gap": loss * 0.3,
    }


def make_curves(runs: pd.DataFrame, epochs: int = 5) -> pd.DataFrame:
    """Curves that end at the runs' final values; diverged ones stop after two epochs."""
    rng = np.random.default_rng(1)
    rows = []
    for run in runs.to_dict("records"):
        for epoch in range(1, epochs + 1):
            share = 1 - np.exp(-1.6 * epoch * (1 + np.log10(run["lr"] / 1e-5) / 2) ** 1.2 / 3)
            gone = run["status"] == "diverged"
            wobble = rng.normal(0, 0.004 / epoch)
            acc = 0.35 if gone else 0.1 + (run["val_acc"] - 0.1) * share + wobble
            loss = 4.0 * epoch if gone else run["val_loss"] + 2.2 * (1 - share) + wobble
            values = {"train_loss": loss * 0.7, "train_acc": acc, "val_loss": loss, "val_acc": acc}
            if gone and epoch > 2:
                values = dict.fromkeys(values, np.nan)
            head = {k: v for k, v in run.items() if k not in values and not k.endswith("_gap")}
            rows.append({**head, "epoch": epoch, **values})
    table = pd.DataFrame(rows)
    table.attrs = dict(runs.attrs)
    return table


def make_range_test() -> dict[str, object]:
    """A range test over 1e-7..1 with a fall around 1e-3 and a blow-up beyond 1e-1."""
    rng = np.random.default_rng(2)
    lr = np.logspace(-7, 0, 200)
    smooth = 2.3 - 1.9 / (1 + np.exp(-3 * (np.log10(lr) + 3.2)))
    smooth = smooth + 3.0 * np.clip(np.log10(lr) + 1.2, 0, None) ** 2
    picks = {"steepest": float(lr[np.gradient(smooth, np.log(lr)).argmin()])}
    picks |= {"minimum / 10": float(lr[smooth.argmin()] / 10), "valley": 1.3e-3}
    raw = smooth + rng.normal(0, 0.08, 200)
    return {
        "lr": lr,
        "loss": raw,
        "smoothed_loss": smooth,
        "suggestions": picks,
        "diverged_at": 0.9,
    }
