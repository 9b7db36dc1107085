"""Numbers that a page states in words and no record holds, counted again."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hplab.analysis.claims import ledger, rerun
from hplab.pages.tables import pieces
from hplab.sweeps import presets, runner
from hplab.training import datasets
from hplab.training.datasets import photos as folders
from hplab.training.networks import models
from hplab.trial import Trial, grid

BOOK = Path(__file__).parents[2] / "book"
DINOSAURS = Trial(
    data="dinosaurs",
    model="cnn",
    model_args={"channels": [16, 32, 64], "batch_norm": True},
    normalize="imagenet",
    split="kfold",
)


@pytest.mark.skipif(
    not (Path(os.environ.get("HPLAB_DATA") or "-") / "dinosaurs.npz").is_file(),
    reason="needs the photos of report 000",
)
def test_near_copies_of_the_photos_are_as_many_as_study_6_says():
    photos = datasets.load("dinosaurs")
    groups = photos.groups.numpy()
    split = datasets.split(photos, split="kfold", split_args={}, fold=1)
    shared = np.isin(groups[split.val_index], groups[split.train_index])
    found = in_a_group(folders.near_copies(photos.images.numpy()))
    text = " ".join((BOOK / "studies" / "06-kl-plateau.md").read_text().split())

    assert f"{in_a_group(groups)} of {len(groups):,} photos are marked as near copies" in text
    assert f"count as copies: {found} here" in text
    assert f"{shared.sum()} of the {len(shared)} validation photos have a near copy" in text


@pytest.mark.skipif(
    not (Path(os.environ.get("HPLAB_DATA") or "-") / "cifar100.npz").is_file(),
    reason="needs the images of report 001",
)
def test_the_pixels_of_report_001_are_scaled_as_ours():
    images = datasets.load("cifar100")
    facts = reference("001")["facts"]

    assert np.round(images.mean, 4).tolist() == facts["pixel_mean"]
    assert np.round(images.std, 4).tolist() == facts["pixel_std"]


def reference(report):
    return yaml.safe_load((BOOK / "reference" / f"{report}.yaml").read_text())


def test_what_study_3_says_of_the_first_epochs_is_in_the_reference():
    text = (BOOK / "studies" / "03-schedules.md").read_text()
    facts = reference("001")["facts"]
    constant, cosine = (facts["first_epoch"][name] for name in ("constant", "cosine"))
    second = facts["second_epoch"]["constant"]

    assert (
        f"{cosine['train_loss']:.2f} nats and {cosine['val_acc']:.1f} % after the first epoch, "
        f"against {constant['train_loss']:.2f} and {constant['val_acc']:.1f}"
    ) in " ".join(text.split())
    for number in (constant["train_loss"], second["train_loss"]):
        assert f"{number:.2f}" in text
    for share in (constant["val_acc"], second["val_acc"]):
        assert f"{share / 100:.3f}" in text


def test_about_a_third_of_the_claims_has_runs_as_the_first_page_says():
    """README and first page say so; when it is no longer so, both have to be changed."""
    known = json.loads((BOOK / "verdicts.json").read_text())
    share = sum(row["kind"] == "re-run" for row in known.values()) / len(ledger.load())

    assert "about a third" in " ".join((BOOK / "intro.md").read_text().split())
    assert "about a third" in " ".join((BOOK.parent / "README.md").read_text().split())
    assert 0.26 < share < 0.42


def test_what_two_pages_read_off_ten_learning_rates_is_in_the_records():
    """The page on tuning and study 1: flat around the top, and a cliff where seeds part."""
    trials = grid(pieces.CNN, lr=pieces.RATES, seed=pieces.SEEDS)
    runs = runner.recorded(trials, preset="paper", store=rerun.committed_store())
    accuracy = runs.groupby("lr")["val_acc"]
    means, least, most = accuracy.mean(), accuracy.min(), accuracy.max()

    assert len(means) == 10
    top = means[[3e-4, 5e-4, 1e-3]]
    assert means.idxmax() in top.index
    assert top.max() - top.min() < 0.001
    assert most[1e-5] < least[1e-3]  # too small
    assert least[1e-2] < 0.2 < 0.9 < most[1e-2]  # one seed learns and another does not
    assert most[1e-1] < 0.2  # none learns


def test_most_of_what_is_open_is_interim_as_the_first_page_says():
    known = json.loads((BOOK / "verdicts.json").read_text()).values()
    interim = [row["interim"] for row in known if row["outcome"] == "inconclusive"]

    assert "Most of what is open is interim" in (BOOK / "intro.md").read_text()
    assert sum(interim) > len(interim) / 2


def in_a_group(groups):
    """Return how many images share their group with another one."""
    sizes = np.unique(groups, return_counts=True)[1]
    return sizes[sizes > 1].sum()


def live_before_training(trial):
    """Return how many units of the last hidden layer answer to some digit, with new weights."""
    digits = datasets.load("digits")
    images = digits.images.float()
    network = models.build(trial, (1, 8, 8), 10)
    last = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    seen = []
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network((images - images.mean()) / images.std())
    return int((seen[0] > 0).any(0).sum())


def test_pooled_digits_leave_about_half_of_the_units_dead_before_the_first_step():
    pooled = DINOSAURS.replace(**{"model_args.global_pool": True})
    counts = {}
    for name, trial in (("plain", DINOSAURS), ("pooled", pooled)):
        small = presets.PRESETS["laptop"].scale(trial)
        counts[name] = [live_before_training(small.replace(seed=seed)) for seed in range(5)]

    assert min(counts["plain"]) >= 28
    assert 12 <= np.mean(counts["pooled"]) <= 20
