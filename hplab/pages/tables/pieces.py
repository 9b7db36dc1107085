"""The pieces that teach: small things to play with, made of records or of the embedded digits.

Each is an element with what a reader without scripts sees, and its data as JSON; the scripts are
in `book/_static`. What they show is recorded; only "network" trains, in the page, on the digits.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from hplab.analysis.judge.judge import judge
from hplab.pages import labels, plots
from hplab.pages.figures import cells
from hplab.pages.figures.explorer_data import cut, dumps
from hplab.pages.figures.figure import NOTHING
from hplab.pages.notebooks import headlines
from hplab.pages.tables import markdown
from hplab.sweeps import runner, series
from hplab.sweeps import store as stores
from hplab.training import datasets
from hplab.trial import Trial, grid

SCRIPTS = ("pieces", "rates", "units", "network")  # files of book/_static, the shared one first
SEEDS = range(20)
# Study 1: ten learning rates, of which preset "laptop" trains each on the digits.
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 5e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
CNN = Trial(data="mnist", model="cnn", optimizer="adam", batch_size=64, epochs=5)
# Study 6: the report's network, and one thing changed at a time.
DINOSAURS = Trial(
    data="dinosaurs",
    model="cnn",
    model_args={"channels": [16, 32, 64], "batch_norm": True},
    normalize="imagenet",
    augment={"flip": 0.5, "rotate": 15},
    split="kfold",
    drop_last=True,
    lr=1e-3,
    batch_size=16,
    epochs=2,
    measure=("diagnostics", "probes", "confusion"),
)
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "Nothing changed": {},
    "Learning rate 1e-4": {"lr": 1e-4},
    "Warm-up over one epoch": {
        "schedule": "warmup_stable_decay",
        "schedule_args": {"warmup": 1.0, "decay": 0.0},
    },
    "Adam's eps at 1e-3": {"optimizer_args.eps": 1e-3},
    "Global average pooling": {"model_args.global_pool": True},
    "Batch normalization": {"model_args.hidden_batch_norm": True},
    "Leaky ReLU": {"activation": "leaky_relu"},
}


def piece(name: str, data: Mapping[str, Any], still: str) -> str:
    """Return the markup of a piece.

    Args:
        name: Of its element, after "hp-".
        data: What its script reads.
        still: Markup for who has no scripts.
    """
    return (
        f'<div class="hp-piece" id="hp-{name}">{still}</div>'
        f'<script type="application/json" id="hp-{name}-data">{dumps(data)}</script>'
    )


def scripts() -> str:
    """Return what loads the scripts of all pieces, once a page."""
    return "".join(f'<script defer src="_static/{name}.js"></script>' for name in SCRIPTS)


def none(why: str) -> str:
    """Return what stands in place of a piece without records."""
    return f'<p class="hp-note">{NOTHING}: {why}.</p>'


# ---------------------------------------------------------------------------------- recorded runs


def _recorded(trials: Sequence[Trial], preset: str, store: stores.Store | None) -> pd.DataFrame:
    """Return what is recorded; which seeds are not is said in the study, and not once more here."""
    with contextlib.redirect_stdout(io.StringIO()):
        return runner.recorded(trials, preset=preset, store=store)


def tuning(store: stores.Store | None = None) -> str:
    """Return the figure of ten learning rates on MNIST, for the page on how to tune."""
    runs = _recorded(grid(CNN, lr=RATES, seed=SEEDS), "paper", store)
    if runs.empty:
        return none("no run of study 1 on MNIST is recorded")
    return plots.axis(runs, x="lr", y="val_acc").html


def tuning_read(store: stores.Store | None = None) -> str:
    """Return what that figure shows, as a list in Markdown, with the numbers of its records."""
    runs = _recorded(grid(CNN, lr=RATES, seed=SEEDS), "paper", store)
    wide = headlines.side_by_side(runs, "lr", "val_acc")
    if len(wide) < headlines.MIN_SEEDS:
        return "Too few seeds are recorded to say what it shows."
    return "\n".join(f"- {line}" for line in _read_off(wide))


def _read_off(wide: pd.DataFrame) -> list[str]:
    """What accuracies by seed and learning rate show: the way up, the top, beyond it."""
    tried, means = list(wide), wide.mean()
    first, tops = headlines.top(wide, "val_acc")
    lost = headlines.failed(wide, "val_acc")

    def mean(lr: float) -> str:
        return f"{labels.number('val_acc', means[lr])} at {labels.setting(lr)}"

    def gap(lr: float, other: float) -> str:
        text = headlines.apart(wide, lr, other, "val_acc")
        return f"{labels.setting(lr)} minus {labels.setting(other)} is {text}"

    up = f"**The way up is long.** From {mean(tried[0])} the mean rises to {mean(first)}, over a "
    up += f"factor of {first / tried[0]:.0f} in the rate."
    who = labels.listed([labels.setting(lr) for lr in tops])
    flat = f"**The top is flat.** {who} cannot be told apart: "
    flat += f"{labels.listed([gap(lr, first) for lr in tops if lr != first])}. "
    if len(tops) == 1:
        flat = f"**The top.** {who} is ahead of all others. "
    beside = [(tried[i], end) for end in (tops[0], tops[-1]) for i in _next(tried, end, tops)]
    told = [gap(lr, end) for lr, end in beside if lr not in lost]
    flat += f"One step outside: {labels.listed(told)}." if told else ""
    lines = [up, flat]
    if lost:
        cliff = min(lost)
        seeds = [labels.number("val_acc", v, with_unit=False) for v in wide[cliff]]
        some = ", and at its edge a rate works for one seed and fails for the next"
        line = f"**Beyond it is a cliff{some if lost[cliff] < len(wide) else ''}.** At "
        line += f"{labels.setting(cliff)} the {len(wide)} seeds end at "
        lines.append(f"{line}{labels.listed(seeds, len(seeds))} %.")
    return lines


def _next(tried: list[float], end: float, tops: list[float]) -> list[int]:
    """Where the neighbour of an end of the top stands, on its other side."""
    at = tried.index(end)
    steps = {at - 1} if end == tops[0] else set()
    steps |= {at + 1} if end == tops[-1] else set()
    return [i for i in sorted(steps) if 0 <= i < len(tried)]


def example(store: stores.Store | None = None) -> dict[str, Callable[[], str]]:
    """Return figure and verdict of the page on one's own study, on recorded runs of study 1."""

    def of(make: Callable[[pd.DataFrame], str]) -> str:
        runs, _ = rates(store)
        runs = runs[runs["lr"].isin([1e-4, 1e-3, 1e-2])] if len(runs) else runs
        return none("no run of study 1 on the digits is recorded") if runs.empty else make(runs)

    claim = "val_acc at lr=0.01 beats lr=0.001 by 0.2 pp"  # as that page has it
    return {
        "own-axis": lambda: of(lambda runs: plots.axis(runs, x="lr", y="val_acc").html),
        "own-verdict": lambda: of(lambda runs: judge(runs, claim, planned=20)._repr_html_()),
    }


def rates(store: stores.Store | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs of study 1 on the digits that ended well, and their curves."""
    runs = _recorded(grid(CNN, lr=RATES, seed=SEEDS), "laptop", store)
    runs = runs[runs["status"] == "ok"] if len(runs) else runs
    return runs, series.curves(runs, store=store) if len(runs) else runs


def rate_data(curves: pd.DataFrame) -> dict[str, Any]:
    """Return for each learning rate the accuracy by epoch: every seed, mean and interval."""
    found = []
    for lr, part in cells.parts(curves, "lr"):
        seeds = part.pivot(index="seed", columns="epoch", values="val_acc")
        means = [cells.mean_of(seeds[epoch], "val_acc") for epoch in seeds]
        has_band = len(seeds) > 1
        found.append(
            {
                "rate": lr,
                "text": labels.setting(lr),
                "mean": [cut(one.estimate, 5) for one in means],
                "low": [cut(one.low, 5) for one in means] if has_band else None,
                "high": [cut(one.high, 5) for one in means] if has_band else None,
                "seeds": [[cut(value, 5) for value in row] for row in seeds.to_numpy()],
            }
        )
    return {"rates": found, "seeds": labels.span(len(one["seeds"]) for one in found)}


def drag_rate(store: stores.Store | None = None) -> str:
    """Drag the learning rate and watch the recorded runs of study 1."""
    runs, curves = rates(store)
    if runs.empty:
        return none("no run of study 1 on the digits is recorded")
    still = plots.learning_curves(curves, y="val_acc", by="lr").html
    return piece("drag-rate", rate_data(curves), still)


def dice(store: stores.Store | None = None) -> str:
    """Draw one recorded run each of two learning rates: who wins, and how often."""
    runs, curves = rates(store)
    if runs.empty:
        return none("no run of study 1 on the digits is recorded")
    data = rate_data(curves)
    best = sorted(range(len(data["rates"])), key=lambda i: -data["rates"][i]["mean"][-1])[:2]
    still = (
        '<p class="hp-note">Without scripts nothing can be drawn here. The figure above shows '
        "every run of every learning rate.</p>"
    )
    return piece("seed-dice", data | {"start": sorted(best)}, still)


def predict(store: stores.Store | None = None) -> str:
    """Draw accuracy against learning rate before the recorded curve is shown."""
    runs, curves = rates(store)
    if runs.empty:
        return none("no run of study 1 on the digits is recorded")
    still = (
        f"<details><summary>Show it</summary>{plots.axis(runs, x='lr', y='val_acc').html}</details>"
    )
    return piece("predict", rate_data(curves), still)


def units(store: stores.Store | None = None) -> str:
    """Watch the units of study 6 die, and what keeps them alive."""
    found, tables = [], []
    for name, change in CHANGES.items():
        trials = grid(DINOSAURS.replace(**change), seed=SEEDS)
        runs = _recorded(trials, "paper", store)
        if runs.empty:
            continue
        probes = series.probes(runs, store=store).assign(change=name)
        counts = probes.pivot(index="seed", columns="probe_step", values="probe_live_units")
        counts = counts.dropna().astype(int)
        found.append({"name": name, "steps": list(counts), "counts": counts.to_numpy().tolist()})
        tables.append(probes)
    if not found:
        return none("no run of study 6 on the photos is recorded")
    steps = [int(step) for step in found[0]["steps"]]
    same = [one for one in found if [int(step) for step in one["steps"]] == steps]
    data = {
        "units": 128,  # of the hidden layer
        "steps": steps,
        "changes": [{"name": one["name"], "counts": one["counts"]} for one in same],
    }
    whole = pd.concat(tables, ignore_index=True)
    kept = ["change", "seed", "status", "probe_step", "probe_live_units"]
    figure = plots.axis(
        whole[kept], x="probe_step", y="probe_live_units", by="change", log=True, seeds=False
    )
    return piece("units", data, figure.html)


# ------------------------------------------------------------------------------------ the network


def digits() -> dict[str, Any]:
    """Return the embedded digits as the script reads them: a letter a pixel, a digit a label."""
    dataset = datasets.load("digits")
    split = datasets.split(dataset, split="official", split_args={}, fold=1)
    levels = torch.unique(dataset.images).tolist()
    letter = {level: chr(ord("A") + i) for i, level in enumerate(levels)}

    def letters(images: torch.Tensor) -> str:
        return "".join(letter[value] for value in images.flatten().tolist())

    def names(found: torch.Tensor) -> str:
        return "".join(map(str, found.tolist()))

    return {
        "levels": levels,
        "pixels": dataset.images[0].numel(),
        "mean": float(dataset.mean[0]),
        "std": float(dataset.std[0]),
        "train": letters(split.train_images),
        "train_labels": names(split.train_labels),
        "val": letters(split.val_images),
        "val_labels": names(split.val_labels),
    }


def network() -> str:
    """Train a small network in the page."""
    still = (
        '<p class="hp-note">Without scripts nothing can be trained here. Study 1 shows the same '
        "for recorded runs at ten learning rates.</p>"
    )
    return piece("network", digits(), still)


def tables(store: Any = None) -> dict[str, Callable[[], str]]:
    """Return the pieces by the names that pages ask for."""
    made: dict[str, Callable[[], str]] = {
        "piece-network": network,
        "piece-drag-rate": functools.partial(drag_rate, store),
        "piece-units": functools.partial(units, store),
        "piece-seed-dice": functools.partial(dice, store),
        "piece-predict": functools.partial(predict, store),
        "piece-scripts": scripts,
        "tune-rate": functools.partial(tuning, store),
        **example(store),
    }
    raw = {name: functools.partial(_raw, make) for name, make in made.items()}
    return {**raw, "tune-read": functools.partial(tuning_read, store)}


def _raw(make: Callable[[], str]) -> str:
    return markdown.raw(make())
