"""Fixtures that many tests use: a small data set with a known answer, and a store of one's own."""

import pytest
import torch

from hplab.sweeps.store import Store
from hplab.training import datasets
from hplab.training.datasets.dataset import Dataset


@pytest.fixture(autouse=True)
def _one_thread():
    """Compute with one thread: the last digits of a sum depend on the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(tmp_path / "results", tmp_path / "pending")


@pytest.fixture
def stripes():
    """192 images of 8x8: class 0 is bright on the left, class 1 on the right, with some noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(192) % 2
    images = torch.randint(0, 60, (192, 1, 8, 8), generator=generator, dtype=torch.uint8)
    images[labels == 0, :, :, :4] += 150
    images[labels == 1, :, :, 4:] += 150
    return Dataset(
        name="digits",
        images=images[:128],
        labels=labels[:128],
        test_images=images[128:],
        test_labels=labels[128:],
        class_names=("left", "right"),
        digest="0" * 64,
        mean=(0.4,),
        std=(0.3,),
    )


@pytest.fixture
def images_in_default_dtype(monkeypatch):
    """Let images follow the default dtype, so that whole runs can be compared in float64."""
    plain = datasets.normalizer

    def normalizer(*args):
        normalize = plain(*args)
        return lambda images: normalize(images).to(torch.get_default_dtype())

    monkeypatch.setattr(datasets, "normalizer", normalizer)
