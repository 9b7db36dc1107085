"""The pieces that teach, in a real browser; the network in the page computes what hplab's does."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hplab.pages.tables import pieces
from hplab.sweeps.store import Store
from hplab.training import datasets, loop, schedules
from hplab.training.networks import models
from hplab.trial import Trial

pytestmark = pytest.mark.xdist_group("pieces")
STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
NAMES = ("piece-predict", "piece-drag-rate", "piece-units", "piece-network")
STYLE = '<link rel="stylesheet" href="_static/hplab.css">'
TRIAL = Trial(
    data="digits",
    model="mlp",
    model_args={"hidden": [32]},
    optimizer="sgd",
    batch_size=64,
    epochs=3,
    lr=0.2,
    seed=3,
    measure=("steps",),
)
RUN = """
({ data, weights, biases, orders, schedule, rate }) => {
  const { decode, gather, step, evaluate, SCHEDULES } = hplabNetwork;
  const train = decode(data, data.train, data.train_labels);
  const held = decode(data, data.val, data.val_labels);
  const net = weights.map((weight, i) => ({
    inputs: weight[0].length, outputs: weight.length,
    weight: Float64Array.from(weight.flat()), bias: Float64Array.from(biases[i]),
  }));
  const losses = orders.map((rows, at) =>
    step(net, ...gather(train, rows), SCHEDULES[schedule](rate, at, orders.length)));
  return {
    losses,
    weight: [...net[0].weight],
    train: evaluate(net, train.images, train.labels),
    val: evaluate(net, held.images, held.labels),
  };
}
"""


def in_page(page, code, *arguments):
    page.set_content("<main></main>")
    page.add_script_tag(content=(STATIC / "network.js").read_text(encoding="utf-8"))
    return page.evaluate(code, *arguments)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "step"])
def test_the_network_in_the_page_computes_what_hplabs_does(page, schedule):
    trial = TRIAL.replace(schedule=schedule)
    dataset = datasets.load("digits")
    outcome = loop.train(trial, dataset)
    layers = [layer for layer in models.build(trial, (1, 8, 8), 10) if hasattr(layer, "weight")]
    generator = torch.Generator().manual_seed(trial.stream("order"))
    epochs = [torch.randperm(1437, generator=generator) for _ in range(trial.epochs)]
    orders = [rows.tolist() for order in epochs for rows in order.split(trial.batch_size)]

    found = in_page(
        page,
        RUN,
        {
            "data": pieces.digits(),
            "weights": [layer.weight.tolist() for layer in layers],
            "biases": [layer.bias.tolist() for layer in layers],
            "orders": orders,
            "schedule": schedule,
            "rate": trial.lr,
        },
    )

    np.testing.assert_allclose(found["losses"], outcome.curves["step_loss"], atol=1e-4)
    weight = outcome.model[1].weight.detach().flatten()
    np.testing.assert_allclose(found["weight"], weight, atol=1e-4)
    for part in ("train", "val"):
        assert found[part]["loss"] == pytest.approx(outcome.curves[f"{part}_loss"][-1], abs=1e-4)
        assert found[part]["accuracy"] == pytest.approx(outcome.curves[f"{part}_acc"][-1], abs=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "step"])
def test_schedules_in_the_page_are_hplabs_at_every_step(page, schedule):
    trial = TRIAL.replace(schedule=schedule, epochs=5)
    code = f"() => Array.from({{ length: 115 }}, (_, at) => hplabNetwork.SCHEDULES.{schedule}"
    found = in_page(page, code + "(0.2, at, 115))")
    expected = [schedules.lr_at(trial, step, n_steps=115) for step in range(115)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_the_page_draws_weights_as_pytorch_does_and_the_same_for_the_same_seed(page):
    code = """() => [1, 1, 2].map((seed) => {
      const [layer] = hplabNetwork.init([64, 2000], hplabNetwork.random(seed));
      return [...layer.weight.slice(0, 20000), ...layer.bias];
    })"""
    one, same, other = map(np.array, in_page(page, code))
    assert (one == same).all()
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    bound = 1 / 8  # 1 / sqrt(64)
    assert 0.99 * bound < abs(one).max() < bound
    assert one.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)


def test_an_epoch_uses_each_image_once(page):
    order = in_page(page, "() => hplabNetwork.shuffled(1437, hplabNetwork.random(5))")
    assert sorted(order) == list(range(1437))
    assert order != sorted(order)


# ------------------------------------------------------------------------------------ on the page


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a page with all pieces, made from the committed records."""
    folder = tmp_path_factory.mktemp("pieces")
    committed = STATIC.parent / "results"
    made = pieces.tables(Store(committed, folder / "pending"))
    inner = "\n".join(made[name]() for name in (*NAMES, "piece-seed-dice", "piece-scripts"))
    inner = re.sub("^```.*$", "", inner, flags=re.MULTILINE)
    (folder / "_static").symlink_to(STATIC)
    text = f'<!DOCTYPE html><html lang="en"><head><title>x</title>{STYLE}</head>'
    path = folder / "play.html"
    path.write_text(f'{text}<body><main class="hp-text">{inner}</main></body></html>')
    return path.as_uri()


def says(page, name):
    return page.locator(f"#hp-{name} .hp-piece-says")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_pieces_open_without_a_complaint_within_the_screen(page, site, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(site)
    assert page.locator(".hp-piece-chart svg").count() == len(NAMES)
    assert page.locator(".hp-figure").first.is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.complaints == []


def test_without_scripts_there_are_figures(chromium, site):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(site)
    assert page.locator(".hp-figure svg").count() == 3
    assert page.locator(".hp-piece-chart").count() == 0
    page.close()


def test_dragging_the_rate_by_keyboard_shows_each_recorded_rate(page, site):
    page.goto(site)
    page.locator("#hp-drag-rate input").focus()
    page.keyboard.press("Home")
    assert says(page, "drag-rate").inner_text().startswith("Learning rate 1e-5: 12.2 %")
    page.keyboard.press("End")
    assert says(page, "drag-rate").inner_text().startswith("Learning rate 0.1: 40.9 %")


def test_the_dice_draw_recorded_runs_and_count_who_wins(page, site):
    page.goto(site)
    found = data_of(page, "seed-dice")
    one, other = (found["rates"][i] for i in found["start"])
    ends = [[f"{100 * seed[-1]:.1f} %" for seed in rate["seeds"]] for rate in (one, other)]
    for _ in range(8):
        page.get_by_role("button", name="Roll").click()
        drawn = re.findall(r"\d+\.\d %", says(page, "seed-dice").inner_text())
        assert drawn[0] in ends[0]
        assert drawn[1] in ends[1]
    page.get_by_role("button", name="Show all pairs").click()
    pairs = [a[-1] > b[-1] for a in one["seeds"] for b in other["seeds"]]
    text = says(page, "seed-dice").inner_text()
    assert f"Of all {len(pairs)} pairs of one run each {one['text']} wins {sum(pairs)}," in text


def test_old_runs_of_the_network_stay_in_a_list_with_their_numbers(page, site):
    page.goto(site)
    for n in (1, 2):
        page.get_by_role("button", name="Train", exact=True).click()
        page.wait_for_function(f"document.querySelectorAll('#hp-network li').length === {n}")
        page.get_by_role("button", name="Stop").first.click()
    last = page.locator("#hp-network li").last.inner_text().strip()
    assert re.fullmatch(r"[\d.]+ % after \d+ epochs: learning rate 0.1, batch size 64, .*", last)


def test_a_prediction_is_drawn_by_keyboard_and_then_judged(page, site):
    page.goto(site)
    reveal = page.get_by_role("button", name="Show what was recorded")
    assert reveal.is_disabled()
    page.locator("#hp-predict .hp-piece-chart").focus()
    for _ in range(10):
        page.keyboard.press("PageUp")
        page.keyboard.press("ArrowRight")
    reveal.click()
    text = says(page, "predict").inner_text()
    recorded = np.array([one["mean"][-1] for one in data_of(page, "predict")["rates"]])
    guess = np.minimum(0.6 + 0.1 * np.arange(10), 1.0)  # each starts from the one before
    assert f"off by {100 * abs(guess - recorded).mean():.1f} percentage points" in text
    assert "recorded it is 0.01 " in text


def test_a_prediction_can_be_drawn_with_the_pointer(page, site):
    page.goto(site)
    chart = page.locator("#hp-predict .hp-piece-chart")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 55, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 60, steps=60)
    page.mouse.up()
    assert page.get_by_role("button", name="Show what was recorded").is_enabled()


def test_the_units_of_the_recorded_runs_die_and_a_change_keeps_them(page, site):
    page.goto(site)
    page.locator("#hp-units input").focus()
    page.keyboard.press("End")
    runs = data_of(page, "units")["changes"][0]["counts"]
    mean = np.mean([run[-1] for run in runs])
    assert f"{mean:.1f} of 128 units are live after" in says(page, "units").inner_text()
    assert mean < 10
    page.locator("#hp-units select").select_option("Leaky ReLU")
    assert says(page, "units").inner_text().startswith("Leaky ReLU: 128.0 of 128")


def test_the_network_learns_in_the_page_and_can_be_stopped(page, site):
    page.goto(site)
    page.get_by_role("button", name="Train").click()
    page.wait_for_function(
        "document.querySelector('#hp-network .hp-piece-says').textContent.startsWith('Epoch 4 of')"
    )
    page.get_by_role("button", name="Stop").first.click()
    text = says(page, "network").inner_text()
    assert float(re.search(r"accuracy ([\d.]+) %", text)[1]) > 70
    page.wait_for_timeout(200)
    assert says(page, "network").inner_text() == text


def data_of(page, name):
    return page.evaluate(f"JSON.parse(document.getElementById('hp-{name}-data').textContent)")


def test_a_store_without_records_says_so(tmp_path):
    made = pieces.tables(Store(tmp_path / "results", tmp_path / "pending"))
    assert all("is recorded" in made[name]() for name in NAMES[:3])
