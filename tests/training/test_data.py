"""Data sets, splits and normalization; the real arrays only where HPLAB_DATA has them."""

import dataclasses
import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from hplab.catalogue import DATA
from hplab.training import datasets
from hplab.training.datasets import archives, loading, photos, readers, sources, splits
from hplab.training.datasets import digits as embedded
from hplab.training.datasets.dataset import _channel_stats
from hplab.training.datasets.fetch import Remote
from hplab.trial import HplabError

REAL = Path(os.environ.get("HPLAB_DATA", "/nonexistent"))


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(autouse=True)
def no_internet(monkeypatch, tmp_path):
    """Nothing in this file may leave the machine, or find anything of its user's."""
    monkeypatch.setenv("HPLAB_OFFLINE", "1")
    monkeypatch.setenv("HPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HPLAB_DATA", raising=False)


def images_and_labels(name, n_train=40, n_test=20):
    """Return small arrays in the layout of the shared npz files."""
    draw = np.random.default_rng(0)
    channels, height, width = sources.SOURCES[name].shape
    shape = (height, width) if channels == 1 else (height, width, channels)
    arrays = {}
    for part, n in (("train", n_train), ("test", n_test)):
        arrays[f"{part}_images"] = draw.integers(0, 256, (n, *shape), np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % 10).astype(np.uint8)
    return arrays


def toy(labels, test_labels=(0,), class_names=("a", "b")):
    """Return a data set of one-pixel images whose pixel is their index."""
    labels, test_labels = torch.tensor(labels), torch.tensor(test_labels, dtype=torch.int64)
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    test_images = torch.zeros(len(test_labels), 1, 1, 1, dtype=torch.uint8)
    return datasets.Dataset(
        "toy", images, labels, test_images, test_labels, class_names, "0" * 64, (0.5,), (0.25,)
    )


def sha256(content):
    return hashlib.sha256(content).hexdigest()


# ---------------------------------------------------------------------------------------------
# The embedded digits


def test_digits_have_the_promised_layout(digits):
    assert digits.images.shape == (1437, 1, 8, 8)
    assert digits.test_images.shape == (360, 1, 8, 8)
    assert digits.images.dtype == digits.test_images.dtype == torch.uint8
    assert digits.labels.dtype == digits.test_labels.dtype == torch.int64
    assert digits.images.is_contiguous()
    assert digits.class_names == tuple("0123456789")


def test_digits_are_scikit_learns_each_exactly_once(digits):
    original = load_digits()
    ours = torch.cat([digits.images, digits.test_images]).squeeze(1).numpy()
    labels = torch.cat([digits.labels, digits.test_labels]).numpy()
    sixteenths = np.rint(ours / 255 * 16)

    def rows(images, targets):
        return sorted(
            (*image.ravel(), target) for image, target in zip(images, targets, strict=True)
        )

    assert rows(sixteenths, labels) == rows(original.images, original.target)
    assert (ours.min(), ours.max()) == (0, 255)


def test_every_digit_has_its_share_of_the_test_part(digits):
    counts = torch.bincount(digits.labels) + torch.bincount(digits.test_labels)
    expected = counts * 360 / 1797

    assert (torch.bincount(digits.test_labels) - expected).abs().max() < 1


def test_the_test_part_of_digits_is_what_scikit_learn_drew(digits):
    original = load_digits()
    _, test = splits.holdout(original.target, val=360, seed=0)
    test = np.sort(test)

    assert digits.test_labels.tolist() == original.target[test].tolist()
    sixteenths = np.rint(digits.test_images.squeeze(1).numpy() / 255 * 16)
    assert np.array_equal(sixteenths, original.images[test])


def test_digits_are_asked_of_scikit_learn_if_their_file_is_elsewhere(digits, monkeypatch):
    monkeypatch.setattr(embedded, "_file", lambda: None)

    assert datasets.load("digits").digest == digits.digest


def test_the_digest_of_digits_is_the_recorded_one(digits):
    """Recorded results are of these digits, so divided."""
    assert digits.digest == "2f777066b28f149b62081895aa495231727be2e3d142a9946cec9e94d1a78b99"
    assert datasets.is_official(digits)
    assert datasets.available("digits") == "embedded"


# ---------------------------------------------------------------------------------------------
# Names and places


def test_trials_and_loader_know_the_same_data_sets():
    assert set(DATA) == {"digits", *sources.SOURCES, *photos.PHOTOS}


@pytest.mark.parametrize("function", [datasets.load, datasets.available])
def test_an_unknown_data_set_is_refused_with_the_nearest_name(function):
    with pytest.raises(HplabError, match=r"unknown data set 'cifar-10'.*did you mean 'cifar10'"):
        function("cifar-10")


@pytest.mark.parametrize("name", list(sources.SOURCES))
def test_offline_the_error_says_what_to_put_where(name, tmp_path):
    with pytest.raises(HplabError) as caught:
        datasets.load(name)

    line = str(caught.value)
    assert datasets.available(name) is None
    assert "\n" not in line
    assert f"put {name}.npz into the folder that HPLAB_DATA names" in line
    assert str(tmp_path / "cache" / name) in line
    assert all(remote.name in line for remote in sources.SOURCES[name].files)


def test_download_false_is_said_to_be_the_reason(monkeypatch):
    monkeypatch.setenv("HPLAB_OFFLINE", "0")
    with pytest.raises(HplabError, match="downloading is switched off"):
        datasets.load("mnist", download=False)


def test_a_folder_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HPLAB_DATA", str(tmp_path / "typo"))
    with pytest.raises(HplabError, match=r"HPLAB_DATA names .*typo, which is not a folder"):
        datasets.load("mnist")


def test_where_a_data_set_would_come_from(small_mnist, monkeypatch, tmp_path):
    assert datasets.available("mnist") == "cache"
    np.savez(tmp_path / "mnist.npz", **images_and_labels("mnist"))
    monkeypatch.setenv("HPLAB_DATA", str(tmp_path))
    assert datasets.available("mnist") == "HPLAB_DATA"
    assert datasets.available("mnist", root=tmp_path / "cache") == "cache"


def test_the_users_folder_comes_before_the_cache(small_mnist, monkeypatch, tmp_path):
    np.savez(tmp_path / "mnist.npz", **images_and_labels("mnist", n_train=30))
    monkeypatch.setenv("HPLAB_DATA", str(tmp_path))

    assert len(datasets.load("mnist").labels) == 30
    assert len(datasets.load("mnist", root=tmp_path / "cache").labels) == 40


# ---------------------------------------------------------------------------------------------
# npz files


def test_rows_of_grey_images_become_one_channel(tmp_path):
    arrays = images_and_labels("mnist")
    np.savez(tmp_path / "mnist.npz", **arrays)
    dataset = datasets.load("mnist", root=tmp_path)

    assert torch.equal(dataset.images[:, 0], torch.from_numpy(arrays["train_images"]))
    assert dataset.test_labels.tolist() == arrays["test_labels"].tolist()
    assert dataset.class_names == tuple("0123456789")


def test_channels_come_first_and_lie_contiguous(tmp_path):
    arrays = images_and_labels("cifar10")
    np.savez(tmp_path / "cifar10.npz", **arrays)
    dataset = datasets.load("cifar10", root=tmp_path)

    assert dataset.images.shape == (40, 3, 32, 32)
    assert dataset.images.is_contiguous()
    for channel in range(3):
        expected = torch.from_numpy(arrays["train_images"][..., channel].copy())
        assert torch.equal(dataset.images[:, channel], expected)


def test_names_of_classes_are_taken_from_the_file(tmp_path):
    names = np.array([f"class {i}" for i in range(10)])
    np.savez(tmp_path / "mnist.npz", **images_and_labels("mnist"), class_names=names)

    assert datasets.load("mnist", root=tmp_path).class_names == tuple(names.tolist())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train_images": None}, "'train_images' is missing"),
        ({"train_images": np.zeros((40, 28, 28), np.int64)}, "train_images is int64"),
        ({"train_images": np.zeros((40, 28, 27), np.uint8)}, r"expected uint8 \(N, 28, 28\)"),
        ({"train_images": np.zeros((40, 28, 28, 3), np.uint8)}, r"expected uint8 \(N, 28, 28\)"),
        ({"train_images": np.zeros((40, 784), np.uint8)}, r"expected uint8 \(N, 28, 28\)"),
        ({"test_images": np.zeros((0, 28, 28), np.uint8)}, "'test_images' is empty"),
        ({"train_labels": np.zeros(39, np.uint8)}, r"expected integers \(40,\)"),
        ({"train_labels": np.zeros((40, 1), np.uint8)}, r"expected integers \(40,\)"),
        ({"train_labels": np.full(40, "cat")}, r"expected integers \(40,\)"),
        ({"test_labels": np.full(20, 10, np.uint8)}, "run from 10 to 10, expected 0 to 9"),
        ({"test_labels": np.full(20, -1, np.int8)}, "run from -1 to -1"),
        ({"test_labels": np.full(20, 2**63 + 1, np.uint64)}, "expected 0 to 9"),
        ({"class_names": np.array(["a"] * 10)}, "class_names must be 10 different names"),
        ({"class_names": np.arange(10)}, "class_names must be 10 different names"),
        ({"class_names": np.array(["a", "b"])}, "class_names must be 10 different names"),
    ],
)
def test_an_npz_that_is_no_such_data_set_is_refused(tmp_path, changes, says):
    arrays = {**images_and_labels("mnist"), **changes}
    np.savez(tmp_path / "mnist.npz", **{k: v for k, v in arrays.items() if v is not None})

    with pytest.raises(HplabError, match=says) as caught:
        datasets.load("mnist", root=tmp_path)
    assert str(tmp_path / "mnist.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_npz_is_refused_in_one_line(tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, **images_and_labels("mnist"))
    path.write_bytes(path.read_bytes()[:-1000])

    with pytest.raises(HplabError, match=r"cannot read .*mnist\.npz"):
        datasets.load("mnist", root=tmp_path)


# ---------------------------------------------------------------------------------------------
# Downloaded files, made small


@pytest.fixture
def small_mnist(monkeypatch, tmp_path):
    """Put a tiny MNIST in idx files into the cache, with its own digests."""
    arrays = images_and_labels("mnist")
    folder = tmp_path / "cache" / "mnist"
    folder.mkdir(parents=True)
    official = sources.SOURCES["mnist"]
    remotes, raw = [], {}
    for name, array in zip(official.raw, (arrays[key] for key in archives.ARRAYS), strict=True):
        content = readers.idx_bytes(array)
        raw[name] = (len(content), sha256(content))
        packed = gzip.compress(content, mtime=0)
        (folder / f"{name}.gz").write_bytes(packed)
        remotes.append(Remote(f"{name}.gz", len(packed), sha256(packed), ()))
    small = dataclasses.replace(official, files=tuple(remotes), raw=raw)
    monkeypatch.setitem(sources.SOURCES, "mnist", small)
    return folder


def cifar_source(name, folder, members):
    """Write members as the archive of a CIFAR data set; return its source, digests included."""
    folder.mkdir(parents=True)
    official = sources.SOURCES[name]
    path = folder / official.files[0].name
    with tarfile.open(path, "w:gz", compresslevel=0) as tar:
        for member, content in {"readme.html": b"<html>", **members}.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    packed = path.read_bytes()
    remote = Remote(path.name, len(packed), sha256(packed), ())
    raw = {member: (len(content), sha256(content)) for member, content in members.items()}
    return dataclasses.replace(official, files=(remote,), raw=raw)


def test_the_same_images_have_the_same_digest_from_any_file(small_mnist, tmp_path):
    np.savez(tmp_path / "mnist.npz", **images_and_labels("mnist"))
    from_idx, from_npz = datasets.load("mnist"), datasets.load("mnist", root=tmp_path)

    assert torch.equal(from_idx.images, from_npz.images)
    assert torch.equal(from_idx.labels, from_npz.labels)
    assert from_idx.digest == from_npz.digest


@pytest.mark.parametrize("array", archives.ARRAYS)
def test_the_digest_changes_with_any_one_value(tmp_path, array):
    arrays = images_and_labels("mnist")
    np.savez(tmp_path / "mnist.npz", **arrays)
    before = datasets.load("mnist", root=tmp_path).digest
    arrays[array].flat[3] ^= 1
    np.savez(tmp_path / "mnist.npz", **arrays)

    assert datasets.load("mnist", root=tmp_path).digest != before


def test_cifar_archives_are_read_in_memory(monkeypatch, tmp_path):
    arrays = images_and_labels("cifar100")
    folder = tmp_path / "cache" / "cifar100"
    coarse = np.full(40, 7, np.uint8)
    records = {
        f"cifar-100-binary/{part}.bin": np.hstack(
            [
                coarse[: len(arrays[f"{part}_labels"]), None],
                arrays[f"{part}_labels"][:, None],
                arrays[f"{part}_images"].transpose(0, 3, 1, 2).reshape(-1, 3072),
            ]
        ).tobytes()
        for part in ("train", "test")
    }
    monkeypatch.setitem(sources.SOURCES, "cifar100", cifar_source("cifar100", folder, records))
    dataset = datasets.load("cifar100")

    assert np.array_equal(dataset.images.permute(0, 2, 3, 1), arrays["train_images"])
    assert dataset.labels.tolist() == arrays["train_labels"].tolist()
    assert len(dataset.class_names) == 100
    assert [path.name for path in folder.iterdir()] == ["cifar-100-binary.tar.gz"]


def test_five_batches_of_cifar10_are_joined_in_order(monkeypatch, tmp_path):
    draw = np.random.default_rng(1)
    batches = [draw.integers(0, 256, (4, 3, 32, 32), np.uint8) for _ in range(6)]
    labels = np.arange(4, dtype=np.uint8)
    members = {
        name: readers.cifar_bytes(batch, labels + i)
        for i, (name, batch) in enumerate(zip(sources.SOURCES["cifar10"].raw, batches, strict=True))
    }
    source = cifar_source("cifar10", tmp_path / "cache" / "cifar10", members)
    monkeypatch.setitem(sources.SOURCES, "cifar10", source)
    monkeypatch.setattr(archives, "_CIFAR_PART", 4)
    dataset = datasets.load("cifar10")

    assert np.array_equal(dataset.images, np.concatenate(batches[:5]))
    assert np.array_equal(dataset.test_images, batches[5])
    assert dataset.labels.tolist() == [i + j for i in range(5) for j in range(4)]
    assert datasets.is_official(dataset)
    dataset.images[7, 0, 0, 0] ^= 1
    assert not datasets.is_official(dataset)


@pytest.mark.parametrize("shift", [0, 7])
def test_a_damaged_download_is_refused_when_it_is_read(small_mnist, shift):
    path = small_mnist / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1 << shift
    path.write_bytes(content)

    with pytest.raises(HplabError, match=r"train-images-idx3-ubyte\.gz has SHA-256 .*expected"):
        datasets.load("mnist")


def test_what_is_inside_is_verified_as_well(small_mnist, monkeypatch):
    source = sources.SOURCES["mnist"]
    raw = dict(source.raw)
    raw["t10k-labels-idx1-ubyte"] = (raw["t10k-labels-idx1-ubyte"][0], "0" * 64)
    monkeypatch.setitem(sources.SOURCES, "mnist", dataclasses.replace(source, raw=raw))

    with pytest.raises(HplabError, match="t10k-labels-idx1-ubyte has SHA-256"):
        datasets.load("mnist")


def test_what_is_missing_is_fetched_and_a_fault_says_what_else_to_do(
    small_mnist, monkeypatch, tmp_path
):
    monkeypatch.setenv("HPLAB_OFFLINE", "")
    path = small_mnist / "t10k-labels-idx1-ubyte.gz"
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(HplabError, match=r"cannot download t10k.*put it at .*, or put mnist\.npz"):
        datasets.load("mnist")

    monkeypatch.setattr(loading, "fetch", lambda remote, folder: path.write_bytes(content))
    assert len(datasets.load("mnist").labels) == 40


@pytest.mark.parametrize("name", list(sources.SOURCES))
def test_every_source_is_fully_described(name):
    source = sources.SOURCES[name]

    assert len(set(source.class_names)) == (100 if name == "cifar100" else 10)
    assert all(len(digest) == 64 for _, digest in source.raw.values())
    for remote in source.files:
        assert len(remote.sha256) == 64
        assert len(remote.urls) >= 2
        assert all(url.startswith("https://") and url.endswith(remote.name) for url in remote.urls)


def test_sizes_of_the_sources_follow_from_their_formats():
    """60,000 and 10,000 images with idx headers of 16 and 8 bytes; CIFAR's records."""
    for name in ("mnist", "fashion-mnist"):
        sizes = [size for size, _ in sources.SOURCES[name].raw.values()]
        assert sizes == [16 + 60_000 * 784, 8 + 60_000, 16 + 10_000 * 784, 8 + 10_000]
    sizes = {name: [s for s, _ in sources.SOURCES[name].raw.values()] for name in sources.SOURCES}
    assert sizes["cifar10"] == [10_000 * 3073] * 6
    assert sizes["cifar100"] == [50_000 * 3074, 10_000 * 3074]


# ---------------------------------------------------------------------------------------------
# Mean and standard deviation


def test_channel_statistics_have_closed_forms():
    """Half black and half white: 0.5 and 0.5; a constant: its value and 0; 0..255: uniform."""
    images = torch.zeros(256, 3, 2, 1, dtype=torch.uint8)
    images[:, 0, 0] = 255
    images[:, 1] = 51
    images[:, 2, :, 0] = torch.arange(256)[:, None]
    mean, std = _channel_stats(images)

    assert mean == pytest.approx((0.5, 0.2, 0.5), abs=1e-12)
    assert std == pytest.approx((0.5, 0.0, ((256**2 - 1) / 12) ** 0.5 / 255), abs=1e-12)


def test_statistics_do_not_depend_on_how_images_are_blocked():
    images = torch.randint(0, 256, (5000, 1, 4, 4), dtype=torch.uint8)
    mean, std = _channel_stats(images)
    values = images.double() / 255

    assert mean[0] == pytest.approx(values.mean().item(), abs=1e-12)
    assert std[0] == pytest.approx(values.std(correction=0).item(), abs=1e-12)


# ---------------------------------------------------------------------------------------------
# Normalization


def test_standardized_training_images_have_mean_zero_and_deviation_one(digits):
    x = datasets.normalize(digits.images, "standard", digits.mean, digits.std)

    assert x.dtype == torch.float32
    assert x.mean().item() == pytest.approx(0, abs=1e-4)
    assert x.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_unit_scale_is_division_by_255():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    x = datasets.normalize(images, "unit", (), ())

    assert x.flatten().tolist() == pytest.approx([0.0, 0.2, 1.0], abs=1e-7)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_the_symmetric_scale_runs_from_minus_one_to_one_whatever_the_images(n_channels):
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, n_channels, 1, 3)
    x = datasets.normalize(images, "symmetric", (0.1,) * n_channels, (9.0,) * n_channels)

    assert x.dtype == torch.float32
    assert x.unique().tolist() == pytest.approx([-1.0, -0.6, 1.0], abs=1e-6)


def test_imagenet_constants_map_their_mean_to_zero_and_white_as_published():
    images = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    x = datasets.normalize(images, "imagenet", (0.1,) * 3, (9.0,) * 3).flatten().tolist()

    assert x == pytest.approx([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225], rel=1e-6)


def test_each_channel_is_scaled_by_its_own_numbers():
    images = torch.full((2, 3, 4, 5), 255, dtype=torch.uint8)
    x = datasets.normalize(images, "standard", (0.0, 0.5, 1.0), (1.0, 0.25, 2.0))

    assert x.amin((0, 2, 3)).tolist() == x.amax((0, 2, 3)).tolist() == [1.0, 2.0, 0.0]


def test_normalizing_leaves_the_bytes_alone(digits):
    before = digits.images.clone()
    datasets.normalize(digits.images, "standard", digits.mean, digits.std)

    assert torch.equal(digits.images, before)


@pytest.mark.parametrize(
    ("how", "std", "says"),
    [
        ("standrad", (1.0,), "did you mean 'standard'"),
        ("imagenet", (1.0,), "3 channels, the images 1"),
        ("standard", (0.0,), "channels that vary"),
        ("standard", (1.0, 1.0), "channels"),
    ],
)
def test_a_normalization_that_does_not_fit_is_refused(how, std, says):
    with pytest.raises(HplabError, match=says):
        datasets.normalize(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), how, (0.0,) * len(std), std)


# ---------------------------------------------------------------------------------------------
# Splits


def divide(dataset, split="holdout", fold=1, **arguments):
    return datasets.split(dataset, split=split, split_args=arguments, fold=fold)


def test_the_official_split_copies_nothing(digits):
    parts = divide(digits, "official")

    assert parts.train_images is digits.images
    assert parts.train_labels is digits.labels
    assert parts.val_images is parts.test_images is digits.test_images
    assert parts.val_labels is parts.test_labels is digits.test_labels


def test_a_holdout_and_the_rest_make_up_the_training_part(digits):
    parts = divide(digits, val=0.25)
    together = torch.cat([parts.train_index, parts.val_index]).sort().values

    assert torch.equal(together, torch.arange(1437))
    assert torch.equal(parts.val_images, digits.images[parts.val_index])
    assert torch.equal(parts.train_labels, digits.labels[parts.train_index])
    assert len(parts.val_labels) == 360


def test_a_holdout_keeps_the_shares_of_the_classes(digits):
    parts = divide(digits, val=300)
    expected = torch.bincount(digits.labels) * 300 / 1437

    assert len(parts.val_labels) == 300
    assert (torch.bincount(parts.val_labels) - expected).abs().max() < 1


def test_a_holdout_depends_on_its_seed_alone(digits):
    first, again, other = (divide(digits, seed=seed).val_index for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_defaults_are_those_of_the_trial(digits):
    spelled_out = divide(digits, val=0.2, seed=42)

    assert torch.equal(divide(digits).val_index, spelled_out.val_index)


def test_each_image_validates_in_exactly_one_fold(digits):
    folds = [divide(digits, "kfold", fold=i, n_folds=4) for i in (1, 2, 3, 4)]
    together = torch.cat([parts.val_index for parts in folds])

    assert torch.equal(together.sort().values, torch.arange(1437))
    for parts in folds:
        assert not set(parts.train_index.tolist()) & set(parts.val_index.tolist())
        assert len(parts.train_index) + len(parts.val_index) == 1437
        counts = torch.bincount(parts.val_labels) - torch.bincount(digits.labels) / 4
        assert counts.abs().max() < 1


def test_splits_of_digits_are_the_recorded_ones(digits):
    """Keys of records name the split's seed, so what it draws must never change."""
    drawn = {
        "holdout": divide(digits).val_index,
        "fold 1": divide(digits, "kfold", fold=1).val_index,
        "fold 3": divide(digits, "kfold", fold=3).val_index,
    }
    got = {
        name: sha256(index.numpy().astype("<i8").tobytes())[:16] for name, index in drawn.items()
    }

    assert got == {
        "holdout": "f00452bdc38ad3d9",
        "fold 1": "4620aa73a50baeba",
        "fold 3": "73f9ffaf3af618b7",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"split": "kflod"}, "did you mean 'kfold'"),
        ({"split": "kfold", "n_fold": 3}, "did you mean 'n_folds'"),
        ({"split": "kfold", "fold": 4}, "between 1 and 3, got 4"),
        ({"split": "kfold", "fold": 0}, "between 1 and 3, got 0"),
        ({"split": "official", "fold": 2}, "between 1 and 1, got 2"),
        ({"split": "kfold", "n_folds": 4}, "n_folds must be between 2 and 3"),
        ({"split": "kfold", "n_folds": 1}, "n_folds must be between 2 and 3"),
        ({"val": 0}, "split_args.val"),
        ({"val": 8}, "split_args.val"),
        ({"val": 1}, "cannot hold out 1 of 8"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused(arguments, says):
    with pytest.raises(HplabError, match=says) as caught:
        divide(toy([0] * 5 + [1] * 3), **arguments)
    assert "\n" not in str(caught.value)


def test_a_class_missing_from_one_side_is_named():
    with pytest.raises(HplabError, match="class 'b' of 'toy' is missing from the validation side"):
        divide(toy([0] * 98 + [1] * 2), val=0.1)
    with pytest.raises(HplabError, match="class 'c' of 'toy' is missing from the training side"):
        divide(toy([0, 1] * 9, class_names=("a", "b", "c")), "kfold")


def test_without_a_test_part_the_official_split_is_refused():
    with pytest.raises(HplabError, match="'toy' has no test part"):
        divide(toy([0, 1], test_labels=()), "official")


# ---------------------------------------------------------------------------------------------
# The real arrays


def real(name):
    return pytest.mark.skipif(
        not (REAL / f"{name}.npz").is_file(), reason=f"needs {name}.npz in HPLAB_DATA"
    )


@pytest.mark.parametrize(
    ("name", "digest", "mean", "std"),
    [
        pytest.param(
            "mnist",
            "3ce129e09b0c3e7c682e2c8fa6a9c7cdc77cb628559db2c2ac0a556fa938db79",
            (0.1307,),
            (0.3081,),
            marks=real("mnist"),
        ),
        pytest.param(
            "cifar100",
            "d76437e11e29971f61bcc5d53d475880276e6932ced6343fe7773e741d2003a4",
            (0.5071, 0.4865, 0.4409),
            (0.2673, 0.2564, 0.2762),
            marks=real("cifar100"),
        ),
    ],
)
def test_the_real_arrays_are_the_published_ones(name, digest, mean, std):
    dataset = datasets.load(name, root=REAL)

    assert dataset.digest == digest
    assert datasets.is_official(dataset)
    assert dataset.mean == pytest.approx(mean, abs=5e-5)  # as commonly quoted, to 4 digits
    assert dataset.std == pytest.approx(std, abs=5e-5)


@real("mnist")
def test_mnist_written_as_idx_has_the_published_digests():
    """Joins the two proofs: the npz arrays against the digests of the files to download."""
    dataset = datasets.load("mnist", root=REAL)
    arrays = [dataset.images, dataset.labels, dataset.test_images, dataset.test_labels]

    assert archives.equal_published([a.numpy() for a in arrays], sources.SOURCES["mnist"])


@pytest.mark.slow
@real("cifar10")
def test_cifar10_that_is_not_bit_exact_is_used_and_said_to_differ():
    with np.load(REAL / "cifar10.npz", allow_pickle=False) as archive:
        exact = "lossy_train" not in archive.files
    dataset = datasets.load("cifar10", root=REAL)

    assert dataset.images.shape == (50_000, 3, 32, 32)
    assert dataset.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
    assert datasets.is_official(dataset) == exact


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL / "cifar-100-binary").is_dir(), reason="needs cifar-100-binary in HPLAB_DATA"
)
def test_cifar100_in_its_download_format_is_the_same_data_set(monkeypatch, tmp_path):
    """Only the compression differs from the published archive: all else is checked for real."""
    members = {name: (REAL / name).read_bytes() for name in sources.SOURCES["cifar100"].raw}
    source = cifar_source("cifar100", tmp_path / "cache" / "cifar100", members)
    assert source.raw == sources.SOURCES["cifar100"].raw
    monkeypatch.setitem(sources.SOURCES, "cifar100", source)

    assert datasets.is_official(datasets.load("cifar100"))
