"""Chromium for tests of scripts; the machine's own, without a network."""

import shutil

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


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
