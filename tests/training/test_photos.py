"""Photos in folders: every kind of file is either used as it should be or refused by name."""

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features

from hplab.training import datasets
from hplab.training.datasets import photofiles
from hplab.training.datasets import photos as folders
from hplab.trial import HplabError

REAL = Path(os.environ.get("HPLAB_DATA", "/nonexistent")) / "dinosaurs.npz"


def photo(seed=0, size=(40, 30), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def photos(tmp_path):
    """Two classes of two photos each."""
    root = tmp_path / "dinosaurs"
    for i, name in enumerate(["Apato", "Brachio"]):
        (root / name).mkdir(parents=True)
        for j in range(2):
            photo(2 * i + j).save(root / name / f"{j}.png")
    return root


def test_classes_labels_and_order(photos):
    images, labels, names = folders.read(photos, 16)

    assert names == ("Apato", "Brachio")
    assert labels.tolist() == [0, 0, 1, 1]
    assert images.shape == (4, 3, 16, 16)
    assert images.dtype == np.uint8


def test_a_photo_is_squeezed_as_torchvision_squeezes_it(photos):
    transforms = pytest.importorskip("torchvision.transforms")
    with Image.open(photos / "Apato" / "0.png") as image:
        expected = np.asarray(transforms.Resize((16, 16))(image.convert("RGB")))

    assert np.array_equal(folders.decode(photos / "Apato" / "0.png", 16), expected)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1", "LA"])
def test_other_colour_modes_become_rgb(tmp_path, mode):
    source = photo(size=(64, 64)).resize((8, 8)).resize((64, 64), Image.Resampling.NEAREST)
    ending = {"CMYK": "tif"}.get(mode, "png")
    source.convert(mode).save(tmp_path / f"a.{ending}")
    expected = np.asarray(source.convert(mode).convert("RGB").resize((16, 16), 2))

    assert np.array_equal(folders.decode(tmp_path / f"a.{ending}", 16), expected)


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    found = folders.decode(tmp_path / "a.png", 32)

    assert np.array_equal(found[..., 0], ramp >> 8)


def test_an_image_under_another_images_ending_is_used(photos):
    photo(9).save(photos / "Apato" / "z.png")
    (photos / "Apato" / "z.png").rename(photos / "Apato" / "z.JPG")

    assert len(folders.read(photos, 16)[1]) == 5


def test_litter_is_passed_over(photos):
    for name in (".DS_Store", "Thumbs.db", "THUMBS.DB", "Desktop.ini", "._0.png"):
        (photos / "Apato" / name).write_bytes(b"x")
    for name in ("__MACOSX", "@eaDir", "$RECYCLE.BIN", ".git", "Apato/@eaDir"):
        (photos / name).mkdir()
    (photos / "README.txt").write_text("beside the classes")
    (photos / "labels.CSV").write_text("beside the classes")

    found = photofiles.checked(photos)

    assert len(folders.read(photos, 16)[1]) == 4
    assert sum(map(len, found.photos.values())) == 4
    assert len(found.litter) == 12


def loose_photo(root):
    photo(7).save(root / "loose.png")


def link_to_a_class_that_is_gone(root):
    (root / "Coelo").symlink_to(root / "gone")


def link_to_a_photo_that_is_gone(root):
    (root / "Apato" / "2.png").symlink_to(root / "gone.png")


def name_in_latin_1(root):
    os.rename(root / "Apato" / "0.png", os.fsencode(root / "Apato") + b"/caf\xe9.png")


def class_in_latin_1(root):
    os.mkdir(os.fsencode(root) + b"/Apat\xe9")


def name_of_two_lines(root):
    (root / "Apato" / "0.png").rename(root / "Apato" / "0\n1.png")


def one_folder_deeper(root):
    (root / "train" / "Apato").mkdir(parents=True)
    photo(7).save(root / "train" / "Apato" / "0.png")


def pipe(root):
    os.mkfifo(root / "Apato" / "2.png")


@pytest.mark.skipif(sys.platform == "win32", reason="no such names, links or pipes")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (loose_photo, "loose.png lies beside the class folders, in none"),
        (link_to_a_class_that_is_gone, "Coelo is a link to nothing"),
        (link_to_a_photo_that_is_gone, "2.png is a link to nothing"),
        (
            name_in_latin_1,
            r"Apato is not one line of UTF-8, b'caf\\xe9.png'; rename it",
        ),
        (class_in_latin_1, r"is not one line of UTF-8, b'Apat\\xe9'"),
        (name_of_two_lines, r"is not one line of UTF-8, b'0\\n1.png'"),
        (one_folder_deeper, r"train/Apato is a folder inside a class \(if train is no class, move"),
        (pipe, "2.png is neither a file nor a folder"),
    ],
)
def test_nothing_in_the_folder_vanishes_without_a_word(photos, make, said):
    make(photos)
    (photos / ".DS_Store").write_bytes(b"x")

    with pytest.raises(HplabError, match=f"{said}.*mend or remove them .* photos, 1 passed over"):
        folders.read(photos, 16)


def test_a_link_to_a_class_and_to_a_photo_are_used(photos, tmp_path):
    photos.rename(tmp_path / "elsewhere")
    photos.mkdir()
    for name in ("Apato", "Brachio"):
        (photos / name).symlink_to(tmp_path / "elsewhere" / name, target_is_directory=True)
    (photos / "Apato" / "2.png").symlink_to(photos / "Apato" / "0.png")

    assert list(folders.read(photos, 16)[1]) == [0, 0, 0, 1, 1]


# ------------------------------------------------------------------------- how one is decoded


def decoded(image, path, **options):
    image.save(path, **options)
    return folders.decode(path, image.height)


def test_orientation_is_not_applied_as_torchvision_does_not(tmp_path):
    image = photo(size=(32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter

    plain = decoded(image, tmp_path / "a.png")
    assert np.array_equal(decoded(image, tmp_path / "b.png", exif=exif), plain)


def test_colours_under_transparency_are_kept_and_a_mere_outline_is_refused(tmp_path):
    image = photo(size=(32, 32))
    faded = image.copy()
    faded.putalpha(Image.linear_gradient("L").resize((32, 32)))
    logo = Image.new("RGBA", (32, 32))
    logo.putalpha(Image.linear_gradient("L").resize((32, 32)))

    plain = decoded(image, tmp_path / "a.png")
    assert np.array_equal(decoded(faded, tmp_path / "b.png"), plain)
    with pytest.raises(HplabError, match=r"c\.png cannot be used: it is one colour without its tr"):
        decoded(logo, tmp_path / "c.png")
    logo.putalpha(255)
    assert not decoded(logo, tmp_path / "d.png").any()


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.full((8, 8), 0.5, np.float32), "floating-point numbers of no known scale"),
        (np.full((8, 8), 2**16, np.int32), "beyond 16 bits"),
        (np.full((8, 8), -1, np.int32), "beyond 16 bits"),
    ],
)
def test_pixels_of_no_known_scale_are_refused(tmp_path, pixels, said):
    with pytest.raises(HplabError, match=f"a.tif cannot be used: its pixels are {said}"):
        decoded(Image.fromarray(pixels), tmp_path / "a.tif")


def test_the_first_of_several_pictures_is_used(tmp_path):
    first, second = photo(1, (32, 32)), photo(2, (32, 32))
    plain = decoded(first, tmp_path / "a.tif")

    several = {"save_all": True, "append_images": [second]}
    assert np.array_equal(decoded(first, tmp_path / "b.tif", **several), plain)
    assert np.array_equal(decoded(first, tmp_path / "c.webp", lossless=True, **several), plain)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG"])
def test_other_endings_of_jpeg_are_photos(photos, suffix):
    photo(9).save(photos / "Apato" / f"z{suffix}", "JPEG")
    assert len(folders.read(photos, 16)[1]) == 5


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_where_pillow_reads_it(photos):
    photo(9).save(photos / "Apato" / "z.avif")
    assert len(folders.read(photos, 16)[1]) == 5


def jpeg_cut_short(path):
    photo(size=(200, 200)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:3000])


BAD = {
    "a.jpg is empty": ("a.jpg", lambda p: p.write_bytes(b"")),
    "a.jpg cannot be used: image file is truncated": ("a.jpg", jpeg_cut_short),
    "a.jpg is not an image, whatever its name says": ("a.jpg", lambda p: p.write_text("<html>")),
    "notes.txt is not an image by its name; known endings: .jpg": (
        "notes.txt",
        lambda p: p.write_text("x"),
    ),
    "deeper is a folder inside a class": ("deeper", Path.mkdir),
}


@pytest.mark.parametrize("message", BAD)
def test_a_file_that_cannot_be_used_is_named(photos, message):
    name, make = BAD[message]
    make(photos / "Brachio" / name)

    with pytest.raises(HplabError) as caught:
        folders.read(photos, 16)
    assert f"Brachio/{message}" in str(caught.value).replace(os.sep, "/")
    assert "\n" not in str(caught.value)


def test_a_huge_photo_is_refused_before_it_is_decoded(photos, monkeypatch):
    monkeypatch.setattr(folders, "MAX_PIXELS", 1000)

    with pytest.raises(HplabError, match="40 x 30 pixels, more than"):
        folders.decode(photos / "Apato" / "0.png", 16)


def test_many_bad_files_are_counted(photos):
    for i in range(9):
        (photos / "Apato" / f"{i + 10}.jpg").write_bytes(b"")

    with pytest.raises(HplabError, match=r"14\.jpg is empty; and 4 more: mend or remove them"):
        folders.read(photos, 16)


def test_an_empty_class_and_a_folder_without_classes_are_refused(photos, tmp_path):
    (photos / "Zanabazar").mkdir()
    with pytest.raises(HplabError, match="Zanabazar holds no photo"):
        folders.read(photos, 16)
    with pytest.raises(HplabError, match="at least two; it has only 'dinosaurs'"):
        folders.read(tmp_path, 16)


def test_the_cache_follows_the_content(photos, tmp_path):
    cache = tmp_path / "cache"
    first = folders.read(photos, 16, cache=cache)[0]
    (kept,) = cache.iterdir()
    again = folders.read(photos, 16, cache=cache)[0]
    photo(77).save(photos / "Apato" / "0.png")
    other = folders.read(photos, 16, cache=cache)[0]

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(list(cache.iterdir())) == 2
    assert kept.is_file()


def smooth(seed):
    """A blurred photo: photos are smooth, noise is not."""
    return np.asarray(photo(seed, (6, 6)).resize((64, 64), Image.Resampling.BICUBIC))


def test_near_copies_share_a_group():
    base = smooth(1)
    darker = (base * 0.8).astype(np.uint8)
    grainy = np.clip(base + np.random.default_rng(0).normal(0, 9, base.shape), 0, 255)
    images = np.stack([base, smooth(2), darker, base[:, ::-1], grainy.astype(np.uint8), smooth(3)])

    groups = folders.near_copies(images.transpose(0, 3, 1, 2))
    assert groups.tolist() == [0, 1, 0, 0, 0, 2]


@pytest.fixture
def offered(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("HPLAB_DATA", str(tmp_path))
    monkeypatch.setenv("HPLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_folder_is_a_data_set(offered):
    dataset = datasets.load("dinosaurs")

    assert datasets.available("dinosaurs") == "HPLAB_DATA"
    assert dataset.images.shape == (4, 3, 128, 128)
    assert dataset.class_names == ("Apato", "Brachio")
    assert len(dataset.test_labels) == 0
    assert dataset.groups.tolist() == [0, 1, 2, 3]
    assert not datasets.is_official(dataset)


def test_an_npz_is_the_same_data_set(offered):
    from_folder = datasets.load("dinosaurs")
    np.savez(
        offered / "dinosaurs.npz",
        images=from_folder.images.numpy().transpose(0, 2, 3, 1),
        labels=from_folder.labels.numpy(),
        class_names=np.array(from_folder.class_names),
    )

    assert datasets.load("dinosaurs").digest == from_folder.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((4, 64, 64, 3), np.uint8)}, r"expected uint8 \(N, 128, 128, 3\)"),
        ({"labels": np.array([0, 1, 2, 0])}, "labels run from 0 to 2, expected 0 to 1"),
        ({"labels": np.zeros((4, 1), np.int64)}, r"labels is int64 \(4, 1\), expected integers"),
        ({"class_names": np.array(["a", "a"])}, "two or more different names"),
        ({"group": np.zeros(3, np.int64)}, r"group is int64 \(3,\), expected integers \(4,\)"),
    ],
)
def test_an_npz_that_is_another_thing_is_refused(offered, change, message):
    arrays = {
        "images": np.zeros((4, 128, 128, 3), np.uint8),
        "labels": np.array([0, 0, 1, 1]),
        "class_names": np.array(["a", "b"]),
    }
    np.savez(offered / "dinosaurs.npz", **arrays | change)

    with pytest.raises(HplabError, match=message):
        datasets.load("dinosaurs")


def test_without_the_photos_the_message_says_what_to_put_where(monkeypatch):
    monkeypatch.delenv("HPLAB_DATA", raising=False)

    assert datasets.available("dinosaurs") is None
    with pytest.raises(HplabError, match="put a folder dinosaurs with one folder a class inside"):
        datasets.load("dinosaurs")


def grouped_set():
    """60 one-pixel images of two classes in 20 groups of three."""
    labels = torch.arange(60) // 3 % 2
    images = torch.arange(60, dtype=torch.uint8).view(-1, 1, 1, 1)
    none = (torch.zeros(0, 1, 1, 1, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    return datasets.Dataset(
        "toy", images, labels, *none, ("a", "b"), "0" * 64, (0.5,), (0.25,), torch.arange(60) // 3
    )


def test_grouped_folds_keep_near_copies_together():
    dataset = grouped_set()
    plain, grouped = (
        [
            datasets.split(dataset, split="kfold", split_args={"grouped": g}, fold=f).val_index
            for f in (1, 2, 3)
        ]
        for g in (False, True)
    )

    def divided(folds):
        return sum(len(set(f.tolist()) & {3 * i, 3 * i + 1, 3 * i + 2}) % 3 > 0
                   for f in folds for i in range(20))  # fmt: skip

    assert divided(grouped) == 0
    assert divided(plain) > 0
    assert sorted(torch.cat(grouped).tolist()) == list(range(60))


def test_near_copies_in_two_classes_are_counted():
    dataset = grouped_set()
    labels = dataset.labels.clone()
    labels[1] = 1 - labels[0]  # of the first three near copies one is said to be another class

    astride = folders.n_astride(dataclasses.replace(dataset, labels=torch.arange(60) // 3 % 2))
    assert astride == 0
    assert folders.n_astride(dataclasses.replace(dataset, labels=labels)) >= 1
    assert folders.n_astride(dataclasses.replace(dataset, groups=None)) == 0


def test_more_folds_than_groups_are_refused():
    three = dataclasses.replace(grouped_set(), groups=torch.arange(60) // 20)

    with pytest.raises(HplabError, match="n_folds is 5, but there are 3 groups of near copies"):
        datasets.split(three, split="kfold", split_args={"n_folds": 5, "grouped": True}, fold=1)


def test_grouped_folds_need_groups():
    with pytest.raises(HplabError, match="near copies in 'toy' are not known"):
        datasets.split(
            dataclasses.replace(grouped_set(), groups=None),
            split="kfold",
            split_args={"grouped": True},
            fold=1,
        )


@pytest.mark.skipif(not REAL.is_file(), reason="the photos are not on this machine")
def test_the_reports_first_fold_is_found_again(monkeypatch):
    """Row sums of the report's confusion matrix, where one Triceratops is missing."""
    monkeypatch.setenv("HPLAB_DATA", str(REAL.parent))
    dataset = datasets.load("dinosaurs")
    fold = datasets.split(dataset, split="kfold", split_args={}, fold=1)
    counts = dict(zip(dataset.class_names, torch.bincount(fold.val_labels).tolist(), strict=True))

    assert len(dataset.labels) == 2447
    assert counts["Dilophosaurus"] == 59
    assert sum(counts.values()) == 816
    own = folders.near_copies(dataset.images.numpy())
    assert abs(len(set(own.tolist())) - len(set(dataset.groups.tolist()))) < 10
