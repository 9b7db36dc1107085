"""Whether a trial can train on its data at all, told before anything is trained."""

from __future__ import annotations

import torch

from hplab.training import batches
from hplab.training.datasets import Dataset
from hplab.training.networks import models
from hplab.trial import HplabError, Trial


def check(trial: Trial, dataset: Dataset, n_images: int) -> None:
    """Refuse a trial whose epochs cannot be made of the images there are.

    Args:
        trial: What is to be trained.
        dataset: Its data.
        n_images: How many of its images the trial's split leaves to train on.

    Raises:
        HplabError: If there are fewer images than it keeps, dropping the last batch leaves none, or
            a batch holds one image and the network normalizes over a batch.
    """
    n_train = batches.n_kept(trial, n_images)
    batches.steps_per_epoch(trial, n_train)
    if trial.batch_size > 1 and (trial.drop_last or n_train % trial.batch_size != 1):
        return
    channels, height, width = dataset.images.shape[1:]
    network = models.build(trial, (channels, height, width), len(dataset.class_names)).train()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            network(torch.zeros(1, channels, height, width))
    except ValueError as error:
        remedy = "another batch_size" if trial.batch_size == 1 else "drop_last=True"
        raise HplabError(
            f"a batch of one image cannot be normalized ({n_train} training images, batch_size "
            f"{trial.batch_size}); use {remedy}, or a model without batch normalization"
        ) from error
