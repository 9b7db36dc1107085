"""Fixtures that many tests use: a data set with a known answer, a store, a browser of one's own.

The only file of this name: pytest collects two of them as one module, and says so as an error.
"""

import shutil

import pytest
import torch

from hplab.sweeps.store import Store
from hplab.training import datasets
from hplab.training.datasets.dataset import Dataset

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


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


@pytest.fixture(scope="module")
def chromium():
    """A browser for the tests of a module."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: no chromium on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page that refuses the network and remembers what the browser complained about."""
    page = chromium.new_page(viewport={"width": 900, "height": 900})
    page.set_default_timeout(10_000)
    page.complaints = []
    page.on("console", lambda said: page.complaints.append(said.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.route("http*://**", lambda route: route.abort())
    yield page
    page.close()
