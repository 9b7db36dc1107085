"""Augmentation is torchvision's, on numbers that a seed alone decides."""

import pytest
import torch
from scipy import stats
from torchvision.transforms import functional as tv

from hplab.catalogue import AUGMENTATIONS
from hplab.training import augment, loop
from hplab.trial import HplabError, Trial

HOW = {"crop": 3, "flip": 0.3}
IMAGES = torch.randint(1, 256, (40, 3, 9, 11), generator=torch.Generator().manual_seed(0)).byte()


def draws(how=HOW, n=40, seeds=(0,)):
    trials = [Trial(data="mnist", augment=how, seed=seed) for seed in seeds]
    return augment.draw(how, n, augment.streams(trials))


def first_lane(drawn):
    return {name: values[0] for name, values in drawn.items()}


@pytest.mark.parametrize("how", [HOW, {"crop": 3}, {"flip": 0.3}, {}])
def test_images_are_those_torchvision_makes_from_the_same_draws(how):
    drawn = first_lane(draws(how)) if how else {}

    got = augment.apply(IMAGES, how, drawn)

    for i, image in enumerate(IMAGES):
        expected = image
        if "crop" in how:
            top, left = int(drawn["top"][i]), int(drawn["left"][i])
            expected = tv.crop(tv.pad(expected, [3] * 4), top, left, 9, 11)
        if "flip" in how and drawn["flip"][i]:
            expected = tv.hflip(expected)
        assert torch.equal(got[i], expected)


def test_turned_images_are_those_that_pillow_turns():
    """As torchvision turns photos; Pillow rounds its steps, so a few pixels may differ."""
    how = {"flip": 0.5, "rotate": 40.0}
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(1, 256, (20, 3, 32, 40), generator=generator).byte()
    drawn = first_lane(draws(how, n=20))

    got = augment.apply(images, how, drawn)

    for i, image in enumerate(images):
        flipped = tv.to_pil_image(tv.hflip(image) if drawn["flip"][i] else image)
        expected = tv.pil_to_tensor(tv.rotate(flipped, float(drawn["angle"][i])))
        assert (got[i] != expected).any(dim=0).double().mean() < 0.003
    assert (got == 0).any()


def test_a_quarter_turn_is_exact_and_no_turn_changes_nothing():
    square = IMAGES[:2, :, :, :9]
    got = augment.apply(square, {"rotate": 90.0}, {"angle": torch.tensor([90.0, 0.0])})

    assert torch.equal(got[0], square[0].rot90(1, (1, 2)))
    assert torch.equal(got[1], square[1])


def test_angles_are_uniform_between_the_limits():
    angles = first_lane(draws({"rotate": 15.0}, n=20_000))["angle"].numpy()

    assert stats.kstest(angles, stats.uniform(-15, 30).cdf).pvalue > 0.001


def test_every_corner_is_as_likely_as_any_other_and_the_flip_as_likely_as_asked():
    """torchvision's RandomCrop draws the corner uniformly from 0 to twice the padding."""
    n = 49 * 400
    drawn = first_lane(draws(n=n))

    corners = torch.bincount(drawn["top"] * 7 + drawn["left"], minlength=49)
    flips = int(drawn["flip"].sum())

    assert len(corners) == 49
    assert stats.chisquare(corners.numpy()).pvalue > 0.001
    assert stats.binomtest(flips, n, 0.3).pvalue > 0.001


def test_draws_are_independent_of_each_other_and_new_in_every_epoch():
    trial = Trial(data="mnist", augment=HOW)
    streams = augment.streams([trial])
    one, two = (first_lane(augment.draw(HOW, 20_000, streams)) for _ in range(2))
    numbers = torch.stack([*one.values(), *two.values()]).double()

    r = torch.corrcoef(numbers) - torch.eye(6)

    assert float(r.abs().max()) < 4 / 20_000**0.5


def test_a_lane_draws_what_it_would_draw_alone():
    both, alone = draws(seeds=(5, 6)), draws(seeds=(6,))

    for name, values in both.items():
        assert torch.equal(values[1], alone[name][0])
        assert not torch.equal(values[0], values[1])


def test_batches_of_another_size_see_the_same_images():
    """All random numbers of an epoch are drawn at once, then cut into batches."""
    drawn = first_lane(draws())
    whole = augment.apply(IMAGES, HOW, drawn)
    pieces = [
        augment.apply(IMAGES[a : a + 7], HOW, {k: v[a : a + 7] for k, v in drawn.items()})
        for a in range(0, 40, 7)
    ]

    assert torch.equal(torch.cat(pieces), whole)


SMALL = Trial(
    data="digits",
    model="mlp",
    model_args={"hidden": [8]},
    n_train=96,
    epochs=2,
    augment={"crop": 1},
    drop_last=True,
)


def test_training_sees_augmented_images_and_measuring_does_not():
    plain, changed = (loop.train(SMALL.replace(augment=how)) for how in ({}, {"crop": 1}))
    first = loop.train(SMALL.replace(augment={"crop": 1}, lr=1e-12))
    still = loop.train(SMALL.replace(augment={}, lr=1e-12))

    assert plain.curves["running_loss"] != changed.curves["running_loss"]
    assert first.curves["running_loss"] != still.curves["running_loss"]
    assert first.curves["train_loss"] == pytest.approx(still.curves["train_loss"], rel=1e-6)


def test_lanes_train_on_their_own_changes():
    lanes = [SMALL.replace(seed=seed) for seed in (1, 2, 3)]

    together = loop.train_lanes(lanes)

    for lane, outcome in zip(lanes, together, strict=True):
        alone = loop.train(lane)
        assert outcome.curves["train_loss"] == pytest.approx(alone.curves["train_loss"], rel=1e-5)


def test_names_alone_take_the_usual_strengths():
    named = Trial(data="mnist", augment=["flip", "crop", "rotate"])

    assert named == Trial(data="mnist", augment={"crop": 4, "flip": 0.5, "rotate": 15})
    assert named.augment == {name: arg.default for name, arg in AUGMENTATIONS.items()}
    assert named.flat()["augment"] == "crop 4, flip 0.5, rotate 15"
    assert Trial(data="mnist").flat()["augment"] == "none"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (["flipp"], "did you mean 'flip'"),
        ("flip", "must be a list of names or a mapping"),
        (3, "must be a list of names or a mapping"),
        ({"crop": 0}, "augment.crop must be positive"),
        ({"crop": 1.5}, "augment.crop must be an integer"),
        ({"rotate": 0}, "augment.rotate must be positive"),
        ({"flip": 1.5}, "augment.flip must be at most 1"),
        ([3, "flip"], "unknown augmentation 3"),
        ([{"crop": 4}], "unknown augmentation {'crop': 4}"),
    ],
)
def test_a_mistake_in_the_augmentation_is_one_line(how, said):
    with pytest.raises(HplabError, match=said):
        Trial(data="mnist", augment=how)
