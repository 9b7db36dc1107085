"""The explorer in a real browser: numbers, keyboard, links, CSV, text that is no markup."""

import json

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import make_runs

from hplab.pages.figures import cells
from hplab.pages.figures import explorer_data as ed

pytestmark = pytest.mark.xdist_group("explorer")
FALLBACK = '<figure class="hp-figure"><p id="still">a figure</p></figure>'
EVIL = '<img src=x onerror="window.hurt=1">'


@pytest.fixture(scope="module")
def data():
    parts = [make_runs((1e-4, 1e-3, 1e-2), 3, batch_size=size) for size in (32, 64)]
    runs = pd.concat(parts, ignore_index=True)
    curves = [{"val_acc": [0.5, 0.5 + 0.01 * i, 0.9]} for i in range(len(runs))]
    return ed.of_table(runs, curves=curves, confusion={0: [3, 1, 0, 4], 1: [4, 0, 2, 2]})


@pytest.fixture(scope="module")
def site(data, tmp_path_factory):
    """The address of a page with an explorer, on disk."""
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    path.write_text(whole(ed.embedded(data, "runs", FALLBACK)), encoding="utf-8")
    return path.as_uri()


def whole(markup, theme="light"):
    head = f'<!DOCTYPE html><html lang="en" style="color-scheme: {theme}"><head><title>x</title>'
    return ed.with_script(f"{head}</head><body><main>{markup}</main></body></html>")


def note(page):
    return page.locator(".hp-x-note").inner_text()


def run_module(page, then):
    """Run the module in an empty page; return what `then` gives."""
    page.set_content("<main id=place></main>")
    names = "{ meanOf, tQuantile, short, mount, host: explorer }"
    script = ed.SCRIPT.read_text(encoding="utf-8").replace("export default {", "const explorer = {")
    page.add_script_tag(type="module", content=f"{script}\nwindow.hp = {names};")
    page.wait_for_function("window.hp")
    return page.evaluate(then)


def test_the_script_is_small_and_can_stand_in_a_page():
    script = ed.SCRIPT.read_text(encoding="utf-8")
    assert len(script.encode()) <= 50 * 1024
    assert "</script" not in script.lower()
    assert not any(word in script for word in ("innerHTML", "outerHTML", "insertAdjacentHTML"))
    assert not any(word in script for word in ("fetch(", "import ", "import(", "eval("))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([0.9, 0.91, 0.95], "val_acc"),
        ([0.99, 0.999, 0.9999, 0.92], "val_acc"),  # the t interval would pass 100 %
        ([0.001, 0.002, 0.5], "val_loss"),  # and this one 0
        ([-0.1, 0.4, 0.3], "val_loss"),
        ([0.5], "val_acc"),
        (list(np.linspace(0.2, 0.8, 40)), "val_acc"),
    ],
)
def test_an_interval_is_that_of_the_figures(page, values, name):
    low, high = (0, 1) if name == "val_acc" else (0, None)
    bounds = f"{low}, {'Infinity' if high is None else high}"
    found = run_module(page, f"() => hp.meanOf({json.dumps(values)}, {bounds})")
    expected = cells.mean_of(values, name)
    got = [found["mean"], found["low"], found["high"]]
    np.testing.assert_allclose(got, [expected.estimate, expected.low, expected.high], rtol=3e-5)


def test_quantiles_of_student_are_right(page):
    from scipy import stats

    found = run_module(page, "() => Array.from({ length: 300 }, (_, i) => hp.tQuantile(i + 1))")
    np.testing.assert_allclose(found, stats.t.ppf(0.975, np.arange(1, 301)), rtol=4e-5)


def test_a_page_from_disk_shows_the_explorer_in_place_of_the_figure(page, site):
    page.goto(site)
    page.locator(".hp-x").wait_for()
    assert page.complaints == []
    assert not page.locator("#still").is_visible()
    assert note(page).startswith("18 of 18 runs in 6 settings")


def test_without_scripts_the_figure_stays(chromium, site):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(site)
    assert page.locator("#still").is_visible()
    assert page.locator(".hp-x").count() == 0
    page.close()


@pytest.mark.parametrize("view", ["points", "parallel", "curves", "isolation", "confusion"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_view_draws_within_the_screen(page, site, view, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{site}#runs?view={view}")
    page.locator(".hp-x-chart svg").wait_for()
    assert page.locator(f"input[value={view}]").is_checked()
    assert page.locator(".hp-x-chart svg :is(path, circle, rect)").count() > 4
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "NaN" not in page.locator(".hp-x-chart").inner_html()
    assert page.complaints == []


def test_a_link_leads_back_to_the_view(page, site):
    page.goto(site)
    page.get_by_label("Isolation").check()
    page.get_by_role("combobox", name="across", exact=True).select_option("batch_size")
    page.get_by_label("every seed").uncheck()
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("1e-4", exact=True).uncheck()
    first, link = note(page), page.evaluate("location.href")
    assert "not.lr=1e-4" in link
    drawn = page.locator(".hp-x-chart").inner_html()
    page.goto("about:blank")
    page.goto(link)
    assert note(page) == first
    assert page.get_by_label("Isolation").is_checked()
    across = page.get_by_role("combobox", name="across", exact=True)
    assert across.input_value() == "batch_size"
    assert not page.get_by_label("every seed").is_checked()
    assert page.locator(".hp-x-chart").inner_html() == drawn


def test_a_link_to_what_is_gone_shows_what_is_there(page, site):
    page.goto(f"{site}#runs?view=spiral&x=gone&y=gone&by=gone&not.lr=7|1e-3&axes=gone")
    assert note(page).startswith("12 of 18 runs")
    assert page.complaints == []


def test_the_keyboard_reaches_everything_and_reads_every_mark(page, site):
    page.goto(site)
    seen = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        here = "document.activeElement"
        seen.add(page.evaluate(f"{here}.className || {here}.type || {here}.tagName"))
        if page.evaluate(f"{here}.className") == "hp-x-chart":
            break
    assert {"radio", "select-one", "checkbox", "SUMMARY", "hp-x-chart"} <= seen
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    read = []
    for key in ("Home", "ArrowRight", "End", "ArrowLeft"):
        page.keyboard.press(key)
        read.append(page.locator(".hp-x-read").inner_text())
    assert len(set(read)) == 4
    assert all("learning rate" in text and "batch size" in text for text in read)


def test_a_filter_in_use_is_named_and_one_that_lets_nothing_through_can_be_cleared(page, site):
    page.goto(f"{site}#runs?not.lr=1e-4%7C1e-3%7C0.01")
    assert note(page).startswith("0 runs with these filters:")
    assert page.locator(".hp-x-chart svg text").count() == 0  # no frame of nothing
    summary = page.locator(".hp-x details:has(fieldset) > summary").first
    assert summary.inner_text() == "Filter in use: learning rate none"
    page.get_by_role("button", name="clear them").click()
    assert note(page).startswith("18 of 18 runs")
    assert summary.inner_text() == "Filter"


def test_what_a_reader_chooses_goes_before_a_filter_that_leaves_nothing_to_compare(page, site):
    page.goto(f"{site}#runs?not.batch_size=64")
    assert note(page).startswith("9 of 18 runs")
    page.get_by_role("combobox", name="across", exact=True).select_option("batch_size")
    assert note(page).startswith("Filters cleared")
    assert "18 of 18 runs" in note(page)


def test_runs_of_a_number_stand_nearer_to_it_than_to_the_next(page, site):
    page.goto(f"{site}#runs?x=batch_size")
    chart = page.locator(".hp-x-chart")
    ticks = [chart.get_by_text(size, exact=True).bounding_box() for size in ("32", "64")]
    middle = [box["x"] + box["width"] / 2 for box in ticks]
    dots = [dot.bounding_box() for dot in page.locator(".hp-x-chart circle[r='2.4']").all()]
    far = [min(abs(dot["x"] + 2.4 - at) for at in middle) for dot in dots]
    assert max(far) < 0.2 * (middle[1] - middle[0])


def test_choosing_by_keyboard_keeps_the_focus(page, site):
    page.goto(site)
    page.get_by_role("combobox", name="up", exact=True).focus()
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("combobox", name="up", exact=True).input_value() == "val_loss"
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    page.get_by_label("log up").focus()
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.parentNode.textContent") == "log up"


def test_the_csv_has_the_runs_that_the_filter_lets_through(page, site, data, tmp_path):
    page.goto(f"{site}#runs?not.batch_size=32")
    with page.expect_download() as download:
        page.get_by_text("Download CSV").click()
    download.value.save_as(tmp_path / "runs.csv")
    rows = pd.read_csv(tmp_path / "runs.csv")
    assert len(rows) == 9
    assert set(rows["batch_size"]) == {64}
    expected = next(one for one in data["columns"] if one["name"] == "val_acc")["numbers"][9:]
    np.testing.assert_array_equal(rows["val_acc"], np.array(expected, float))
    assert list(rows["status"]).count("diverged") == sum(row >= 9 for row in data["diverged"])


def test_runs_that_did_not_finish_are_told_and_in_no_mean(page):
    """A setting of which a run was stopped has no mean; one that lost a run to a crash has."""
    runs = make_runs((1e-4, 1e-3, 1e-2), 3, n_diverged=1)
    runs.loc[[0, 3], ["status", "val_acc"]] = [["stopped", np.nan], ["crashed", np.nan]]
    page.set_content(whole(ed.embedded(ed.of_table(runs), "runs", FALLBACK)))
    page.locator(".hp-x-chart svg").wait_for()
    assert "1 stopped early, 1 crashed, 1 diverged" in note(page)
    assert page.locator(".hp-x-chart text", has_text="\u25bf").count() == 2
    page.get_by_text("Show data").click()
    rows = page.locator(".hp-x tbody tr").all_inner_texts()
    assert "1 stopped early\tmean none (n = 0" in rows[0]
    mean = 100 * runs["val_acc"][4:6].mean()
    assert f"1 crashed\tmean {mean:.2f} %" in rows[1]
    page.get_by_label("Parallel coordinates").check()
    assert "NaN" not in page.locator(".hp-x-chart").inner_html()
    assert page.complaints == []


def shown_by(page, data, view):
    """Show a view of data; return the marks that the arrow keys read, in their order."""
    page.set_content(
        whole(ed.embedded({**data, "start": {"view": view, **VIEW}}, "runs", FALLBACK))
    )
    page.locator(".hp-x-chart svg").wait_for()
    page.locator(".hp-x-chart").focus()
    read = []
    while len(read) < 100:
        page.keyboard.press("ArrowRight")
        read.append(page.locator(".hp-x-read").inner_text())
        if len(read) > 1 and read[-1] == read[-2]:
            return read[:-1]
    return read


VIEW = {"seeds": "0", "y": "val_acc", "axes": "lr|batch_size|val_acc"}


def test_curves_of_stopped_runs_are_lines_of_their_own_and_in_no_mean(page):
    """One setting finished, one was stopped in part, one wholly."""
    runs = make_runs((1e-4, 1e-3, 1e-2), 3, n_diverged=0)
    runs.loc[[3, 6, 7, 8], "status"] = "stopped"
    runs.loc[[3, 6, 7, 8], "val_acc"] = np.nan
    is_cut = (runs["status"] == "stopped").tolist()
    curves = [
        {"val_acc": [0.5, 0.6] if cut else [0.5, 0.6, 0.7 + i / 100]}
        for i, cut in enumerate(is_cut)
    ]
    read = shown_by(page, ed.of_table(runs, curves=curves), "curves")
    chart = page.locator(".hp-x-chart")
    assert chart.locator("path[stroke-dasharray]").count() == 4
    assert chart.locator("text", has_text="\u25bf").count() == 4
    assert chart.locator("path[stroke-width='2']").count() == 1  # the one mean
    means = [text for text in read if "mean 7" in text]
    assert [text.partition(":")[0] for text in means] == ["epoch 3"]
    assert "mean 71.00 %" in means[0]
    assert sum(text.startswith("stopped early at epoch 2") for text in read) == 4
    assert sum(text.startswith("one run, no mean") for text in read) == 2
    assert "4 stopped early" in note(page)
    assert "2 settings without a mean" in note(page)
    assert page.complaints == []


def ticks(page, texts):
    """Return how high the ticks of these texts stand in parallel coordinates."""
    found = page.locator(".hp-x-chart text").evaluate_all(
        "(all) => all.map((one) => [one.textContent, Number(one.getAttribute('y'))])"
    )
    return [dict(found)[text] for text in texts]


def test_numbers_of_a_few_settings_stand_where_their_value_is(page):
    """On a logarithmic axis 1e-4, 2e-4 and 0.01; on a linear one 0.1, 0.2 and 0.5."""
    pairs = ((1e-4, 0.1), (2e-4, 0.2), (0.01, 0.5))
    parts = [make_runs((lr,), 2, n_diverged=0, dropout=dropout) for lr, dropout in pairs]
    data = ed.of_table(pd.concat(parts, ignore_index=True))
    data["start"] |= {"view": "parallel", "axes": "lr|dropout|val_acc"}
    page.set_content(whole(ed.embedded(data, "runs", FALLBACK)))
    page.locator(".hp-x-chart svg").wait_for()
    low, middle, high = ticks(page, ["1e-4", "2e-4", "0.01"])
    assert (middle - low) / (high - low) == pytest.approx(np.log10(2) / 2, abs=0.005)
    low, middle, high = ticks(page, ["0.1", "0.2", "0.5"])
    assert (middle - low) / (high - low) == pytest.approx(1 / 4, abs=0.005)


def drag(page, axis, start, end):
    """Drag along an axis, from and to shares of its height, 0 at the top."""
    box = page.locator(f"[data-axis='{axis}']").bounding_box()
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + start * box["height"])
    page.mouse.down()
    page.mouse.move(x, box["y"] + end * box["height"], steps=3)
    page.mouse.up()


def test_a_range_is_dragged_along_an_axis_and_the_rest_turns_grey(page, site, tmp_path):
    page.goto(f"{site}#runs?view=parallel&seeds=0&axes=lr|batch_size|val_acc")
    page.locator(".hp-x-chart svg").wait_for()
    grey = page.locator(".hp-x-chart path[stroke='var(--x-grid)']")
    reset = page.get_by_role("button", name="Reset ranges")
    assert not reset.is_visible()
    drag(page, 0, 0.99, 0.4)  # the lower half: 1e-4 and 1e-3
    assert "4 of 6 lines in the ranges" in note(page)
    assert grey.count() == 2
    drag(page, 1, 0.02, 0.45)  # the upper of two: 64
    assert "2 of 6 lines in the ranges" in note(page)
    with page.expect_download() as download:
        page.get_by_text("Download CSV").click()
    download.value.save_as(tmp_path / "runs.csv")
    rows = pd.read_csv(tmp_path / "runs.csv")
    assert set(rows["lr"]) == {1e-4, 1e-3}
    assert set(rows["batch_size"]) == {64}
    link = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(link)
    assert "2 of 6 lines in the ranges" in note(page)
    drag(page, 1, 0.5, 0.5)  # a click takes a range away
    assert "4 of 6 lines in the ranges" in note(page)
    reset.click()
    assert "in the ranges" not in note(page)
    assert grey.count() == 0
    assert not reset.is_visible()
    assert page.complaints == []


def test_ranges_are_set_and_reset_by_keyboard(page, site):
    page.goto(f"{site}#runs?view=parallel&seeds=0&axes=lr|batch_size|val_acc")
    page.get_by_text("Ranges", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_label("learning rate, from").focus()
    page.keyboard.type("0.0005")
    page.keyboard.press("Tab")
    assert "4 of 6 lines in the ranges" in note(page)
    page.get_by_label("learning rate, to").focus()
    page.keyboard.type("0.0001")  # below the other end: both are this
    page.keyboard.press("Tab")
    assert "2 of 6 lines in the ranges" in note(page)
    page.get_by_role("button", name="Reset ranges").focus()
    page.keyboard.press("Enter")
    assert "in the ranges" not in note(page)


def test_names_have_ranges_too(page):
    runs = pd.concat(
        [make_runs((1e-3,), 2, n_diverged=0, optimizer=o) for o in ("sgd", "adam", "lion")]
    )
    data = ed.of_table(runs.reset_index(drop=True))
    data["start"] |= {"view": "parallel", "seeds": "0", "axes": "optimizer|val_acc"}
    page.set_content(whole(ed.embedded(data, "runs", FALLBACK)))
    page.get_by_text("Ranges", exact=True).click()
    page.get_by_label("optimizer, from").select_option("adam")
    assert "2 of 3 lines in the ranges" in note(page)
    drag(page, 0, 0.02, 0.3)  # the last
    assert "1 of 3 lines in the ranges" in note(page)
    assert page.get_by_label("optimizer, from").input_value() == "2"


def test_text_from_data_is_never_markup(page):
    runs = make_runs((1e-4, 1e-3), 2, n_diverged=0).assign(variant=[EVIL, "b", "b", "</script>"])
    data = ed.of_table(runs, title=EVIL, class_names=[EVIL, "b"], confusion={0: [1, 2, 3, 4]})
    for view in ("points", "confusion", "parallel"):
        page.set_content(whole(ed.embedded({**data, "start": {"view": view}}, "runs", FALLBACK)))
        page.locator(".hp-x-chart svg").wait_for()
        page.get_by_text("Show data").click()
        assert page.locator("img").count() == 0
        assert page.evaluate("window.hurt") is None
    assert EVIL in page.locator(".hp-x table").inner_text()


def test_dark_follows_the_page(page, data):
    colours = []
    for theme in ("light", "dark"):
        page.set_content(whole(ed.embedded(data, "runs", FALLBACK), theme))
        text = page.locator(".hp-x")
        colours.append(text.evaluate("(node) => getComputedStyle(node).color"))
    assert colours == ["rgb(28, 34, 38)", "rgb(221, 227, 230)"]


def test_a_host_like_anywidget_draws_and_clears(page, data):
    shown = run_module(
        page,
        """() => {
          const el = document.getElementById("place");
          const model = { get: (name) => ({ data: DATA })[name] };
          const clear = hp.host.render({ model, el });
          const marks = el.querySelectorAll("circle").length;
          clear();
          return [marks, el.childElementCount, location.hash];
        }""".replace("DATA", ed.dumps(data)),
    )
    assert shown[0] > 10
    assert shown[1:] == [0, ""]


def test_data_of_another_version_leave_the_figure(page, data):
    page.set_content(whole(ed.embedded({**data, "version": 2}, "runs", FALLBACK)))
    assert page.locator("#still").is_visible()
    assert page.complaints == ["runs stays a figure: data of version 2, not 1"]
