"""Hostile and damaged files: nothing is executed, nothing is written, nothing wrong is accepted."""

import gzip
import io
import math
import os
import pickle
import random
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hplab.training.datasets import readers
from hplab.trial import HplabError

WANTED = {"set/train.bin": 6000, "set/test.bin": 3000}
BYTES = random.Random(2).randbytes(9000)
GOOD = {"set/train.bin": BYTES[:6000], "set/test.bin": BYTES[6000:]}


def write_tar(path, members, kind=None, of=None):
    """Write a tar.gz of (name, bytes); the member named `of` is of another kind."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name == of:
                info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info, io.BytesIO(content))
    return path


class Payload:
    """Makes a file when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


# ---------------------------------------------------------------------------------------------
# tar.gz


def test_wanted_members_are_read_and_all_others_ignored(tmp_path):
    others = [("../evil", b"x"), ("/abs/evil", b"x"), ("set/readme.html", b"x" * 5000)]
    path = write_tar(tmp_path / "a.tar.gz", [*others, *reversed(GOOD.items())])

    found = readers.tar_members(path, WANTED)

    assert list(found) == list(WANTED)
    assert {name: bytes(content) for name, content in found.items()} == GOOD
    assert [p.name for p in tmp_path.rglob("*")] == ["a.tar.gz"]
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
@pytest.mark.parametrize("name", list(WANTED))
def test_a_wanted_member_that_is_no_plain_file_is_refused(tmp_path, kind, name):
    path = write_tar(tmp_path / "a.tar.gz", list(GOOD.items()), kind=kind, of=name)

    with pytest.raises(HplabError, match=r"cannot read .*a\.tar\.gz: .*member 'set/"):
        readers.tar_members(path, WANTED)
    assert [p.name for p in tmp_path.rglob("*")] == ["a.tar.gz"]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([*GOOD.items(), ("set/test.bin", bytes(3000))], "appears twice"),
        ([("set/test.bin", BYTES[6000:])], "'set/train.bin' is missing"),
        ([("set/train.bin", BYTES[:5999]), ("set/test.bin", BYTES[6000:])], "has 5999 bytes"),
        ([], "is missing"),
        ([(f"junk{i}", b"") for i in range(200)] + list(GOOD.items()), "more than 100 members"),
        ([("../set/train.bin", BYTES[:6000])], "is missing"),
    ],
)
def test_an_archive_that_is_not_as_promised_is_refused(tmp_path, members, says):
    with pytest.raises(HplabError, match=says):
        readers.tar_members(write_tar(tmp_path / "a.tar.gz", members), WANTED)


def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_TAR_BYTES", 1 << 20)
    path = write_tar(tmp_path / "a.tar.gz", [("zeros", bytes(5 << 20)), *GOOD.items()])

    with pytest.raises(HplabError, match="holds more than the 1048576 bytes"):
        readers.tar_members(path, WANTED)
    with pytest.raises(HplabError, match="holds more than the 1000 bytes"):
        readers.gunzip(path, limit=1000)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("size", [-512, -1024, -1, -(2**60), 2**60])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_impossible_member_size_cannot_hold_the_reader_up(tmp_path, kind, size):
    info = tarfile.TarInfo("set/train.bin")
    info.size, info.type = size, kind
    header = info.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header + bytes(2048)))

    with pytest.raises(HplabError):
        readers.tar_members(tmp_path / "a.tar.gz", WANTED)


@pytest.mark.parametrize("content", [b"", b"not gzip", gzip.compress(BYTES)[:-9], pickle.dumps(1)])
def test_what_is_no_whole_gzip_file_is_refused(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    if content:  # an empty file decompresses to nothing, which no reader of the content accepts
        with pytest.raises(HplabError, match="cannot read"):
            readers.gunzip(tmp_path / "a.gz", limit=10_000)
    with pytest.raises(HplabError):
        readers.tar_members(tmp_path / "a.gz", WANTED)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HplabError, match=r"cannot read .*nothing\.gz: .*No such file"):
        readers.gunzip(tmp_path / "nothing.gz", limit=1)


# ---------------------------------------------------------------------------------------------
# idx and CIFAR records


@pytest.mark.parametrize("shape", [(5, 4, 3), (7,), (1, 1)])
def test_idx_gives_back_what_was_written(shape):
    array = np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)
    back = readers.parse_idx(readers.idx_bytes(array), n_dims=len(shape), where="x")

    assert np.array_equal(back, array)
    assert back.dtype == np.uint8


def test_idx_bytes_follow_the_published_format():
    array = np.array([[1, 2, 3]], np.uint8)

    assert readers.idx_bytes(array).hex(" ") == "00 00 08 02 00 00 00 01 00 00 00 03 01 02 03"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08\x01",
        readers.idx_bytes(np.zeros((2, 3), np.uint8)),
        readers.idx_bytes(np.zeros(3, np.uint8))[:-1],
        readers.idx_bytes(np.zeros(3, np.uint8)) + b"\0",
        b"\0\0\x0d\x01" + (1).to_bytes(4, "big") + b"\0",
        b"\0\0\x08\x01" + (0).to_bytes(4, "big"),
        b"\0\0\x08\x01" + (2**32 - 1).to_bytes(4, "big") + b"\0",
    ],
    ids=["empty", "header", "dims", "short", "long", "floats", "no values", "huge"],
)
def test_idx_that_does_not_keep_its_promise_is_refused(content):
    with pytest.raises(HplabError, match="labels-idx1"):
        readers.parse_idx(content, n_dims=1, where="labels-idx1")


def test_idx_dimensions_never_overflow():
    """65536 * 65536 * 2**32 is 0 in 64-bit arithmetic, and so is what follows this header."""
    content = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (2**16, 2**16, 2**31))
    with pytest.raises(HplabError, match="0 values after the header"):
        readers.parse_idx(content, n_dims=3, where="x")


def test_cifar_records_are_label_then_red_green_and_blue_planes():
    record = bytes([3, 9]) + bytes([10]) * 1024 + bytes([20]) * 1024 + bytes([30]) * 1024
    images, labels = readers.parse_cifar(record * 2, n_label_bytes=2, where="x")

    assert images.shape == (2, 3, 32, 32)
    assert images.mean((0, 2, 3)).tolist() == [10, 20, 30]
    assert labels.tolist() == [9, 9]  # the fine label


def test_cifar_gives_back_what_was_written():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (4, 3, 32, 32), np.uint8)
    labels = draw.integers(0, 10, 4, np.uint8)
    back = readers.parse_cifar(readers.cifar_bytes(images, labels), n_label_bytes=1, where="x")

    assert np.array_equal(back[0], images)
    assert np.array_equal(back[1], labels)


@pytest.mark.parametrize("n_bytes", [0, 1, 3072, 3074, 2 * 3073 - 1])
def test_a_cifar_file_of_another_length_is_refused(n_bytes):
    with pytest.raises(HplabError, match=f"data_batch_1: {n_bytes} bytes"):
        readers.parse_cifar(bytes(n_bytes), n_label_bytes=1, where="data_batch_1")


# ---------------------------------------------------------------------------------------------
# npz


def arrays():
    draw = np.random.default_rng(3)
    return {
        "images": draw.integers(0, 256, (6, 5, 4), np.uint8),
        "labels": draw.integers(0, 9, 6, np.int64),
        "names": np.array(["cat", "dog", "Ünicorn"]),
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_reads_as_numpy_reads_it(tmp_path, save):
    save(tmp_path / "a.npz", extra=np.zeros(3), **arrays())
    found = readers.read_npz(tmp_path / "a.npz", ("images", "labels"), ("names", "absent"))

    with np.load(tmp_path / "a.npz", allow_pickle=False) as expected:
        assert set(found) == {"images", "labels", "names"}
        for name, array in found.items():
            assert np.array_equal(array, expected[name])
            assert array.dtype == expected[name].dtype


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"labels": np.array([1, "a", None], object)}, "pickled Python objects"),
        ({"labels": np.zeros(3)}, "expected plain integers"),
        ({"labels": np.zeros(3, "datetime64[s]")}, "expected plain integers"),
        ({"labels": np.zeros(3, [("a", "u1")])}, "expected plain integers"),
        ({"labels": np.zeros(3, "S5")}, "expected plain integers"),
        ({"labels": np.zeros(0, np.uint8)}, "empty"),
        ({"labels": np.uint8(3)}, "shape"),
        ({"images": np.asfortranarray(np.zeros((3, 4), np.uint8))}, "row by row"),
        ({"labels": None}, "array 'labels' is missing"),
    ],
)
def test_an_array_of_the_wrong_kind_is_refused(tmp_path, changed, says):
    content = {name: array for name, array in {**arrays(), **changed}.items() if array is not None}
    np.savez(tmp_path / "a.npz", **content)

    with pytest.raises(HplabError, match=says) as caught:
        readers.read_npz(tmp_path / "a.npz", ("images", "labels"))
    assert "\n" not in str(caught.value)


def npy(descr, shape, body, fortran=False):
    """Return an npy file with any header at all."""
    header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    "member",
    [
        npy("|u1", (10**12,), b"abc"),
        npy("|u1", (2**40, 2**40), b""),
        npy("|u1", (-3, -1), b"abc"),
        npy("|u1", (3.0,), b"abc"),
        npy("|u1", [3], b"abc"),
        npy("|u1", (True,), b"a"),
        npy("<U999999", (1,), b"a"),
        npy([("a", "O")], (3,), b"abc"),
        npy("|O", (3,), pickle.dumps([1, 2, 3])),
        npy("|u1", (3,), b"ab"),
        npy("|u1", (3,), b"abcd"),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 0xFFFF,
        b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')",
        b"\x93NUMPY\x01\x00\x02\x00{}",
        b"\x93NUMPY\x03\x00\x02\x00{}",
        b"\x93NUMPY",
        b"",
        pickle.dumps([1, 2, 3]),
    ],
)
def test_a_forged_header_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("labels.npy", member)

    with pytest.raises(HplabError, match=r"a\.npz"):
        readers.read_npz(tmp_path / "a.npz", ("labels",))


def test_an_array_that_appears_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("labels.npy", npy("|u1", (1,), b"a"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("labels.npy", npy("|u1", (1,), b"b"))

    with pytest.raises(HplabError, match="twice"):
        readers.read_npz(tmp_path / "a.npz", ("labels",))


def test_a_zip_bomb_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_ARRAY_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros(2 << 20, np.uint8))

    with pytest.raises(HplabError, match="too large"):
        readers.read_npz(tmp_path / "a.npz", ("images",))


# ---------------------------------------------------------------------------------------------
# Payloads and mutations


def test_a_pickled_payload_is_executed_nowhere(tmp_path):
    marker = tmp_path / "marker"
    payload = pickle.dumps(Payload(marker))
    file = tmp_path / "file"
    np.savez(tmp_path / "object.npz", images=np.array([Payload(marker)], object))
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        archive.writestr("images.npy", payload)
    file.write_bytes(payload)

    for path in (tmp_path / "object.npz", tmp_path / "raw.npz", file):
        with pytest.raises(HplabError):
            readers.read_npz(path, ("images",))
    file.write_bytes(gzip.compress(payload))
    with pytest.raises(HplabError):
        readers.tar_members(file, WANTED)
    with pytest.raises(HplabError):
        readers.parse_idx(readers.gunzip(file, limit=9000), n_dims=1, where="x")
    assert not marker.exists()

    pickle.loads(payload)  # the test of the test: this payload does work
    assert marker.exists()


def mutants(content, n, seed):
    """Yield `n` damaged copies: bits flipped, cut, grown, spliced, blanked or repeated."""
    draw = random.Random(seed)
    for _ in range(n):
        bad = bytearray(content)
        for _ in range(draw.choice([1, 1, 2, 5])):
            at = draw.choice([draw.randrange(len(bad)), draw.randrange(min(len(bad), 200))])
            span = draw.choice([1, 4, 50, len(bad) // 3])
            kind = draw.randrange(6)
            if kind == 0:
                bad[at] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del bad[at : at + span]
            elif kind == 2:
                bad[at:at] = draw.randbytes(span)
            elif kind == 3:
                bad[at : at + 4] = draw.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])
            elif kind == 4:
                bad[at : at + span] = bad[-span:]
            else:
                bad += bad[at : at + span]
            bad = bad or bytearray(b"\0")
        if bad != content:
            yield bytes(bad)


def accepted(read, content, path):
    """Return what a reader makes of the bytes, or None if it refuses them properly."""
    path.write_bytes(content)
    try:
        return read(path)
    except HplabError as error:
        if "\n" in str(error):
            pytest.fail(f"more than one line: {error}")
        return None


def test_of_mutated_idx_and_cifar_files_none_is_read_in_a_wrong_shape(tmp_path):
    """They carry no checksum, so other pixels can pass here; the SHA-256 refuses those."""
    idx = readers.idx_bytes(np.random.default_rng(4).integers(0, 256, (9, 28, 28), np.uint8))
    refused = 0
    for bad in mutants(idx, 700, seed=5):
        array = accepted(
            lambda path: readers.parse_idx(path.read_bytes(), n_dims=3, where="x"),
            bad,
            tmp_path / "x",
        )
        refused += array is None
        assert array is None or (array.ndim == 3 and array.size == len(bad) - 16)
    assert refused > 350
    for bad in mutants(bytes(3073 * 3), 350, seed=6):
        read = accepted(
            lambda path: readers.parse_cifar(path.read_bytes(), n_label_bytes=1, where="x"),
            bad,
            tmp_path / "x",
        )
        assert read is None or read[0].shape == (len(bad) // 3073, 3, 32, 32)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_mutated_archives_are_refused_or_read_unchanged(tmp_path):
    np.savez(tmp_path / "plain.npz", **arrays())
    np.savez_compressed(tmp_path / "packed.npz", **arrays())
    names = ("images", "labels", "names")
    whole = {name: array.tobytes() for name, array in arrays().items()}
    counts = {}
    for kind in ("plain", "packed"):
        for bad in mutants((tmp_path / f"{kind}.npz").read_bytes(), 300, seed=7):
            read = accepted(lambda path: readers.read_npz(path, names), bad, tmp_path / "x")
            if read is not None:
                assert {name: array.tobytes() for name, array in read.items()} == whole
            counts[kind] = counts.get(kind, 0) + (read is None)
    tar = write_tar(tmp_path / "a.tar.gz", list(GOOD.items())).read_bytes()
    for bad in mutants(tar, 300, seed=8):
        read = accepted(lambda path: readers.tar_members(path, WANTED), bad, tmp_path / "x")
        if read is not None:
            assert {name: bytes(content) for name, content in read.items()} == GOOD
        counts["tar"] = counts.get("tar", 0) + (read is None)
    assert min(counts.values()) > 100, counts


def test_mutated_tar_headers_never_give_a_member_of_another_size(tmp_path):
    """The same inside a valid gzip stream, where no checksum stands before the tar reader."""
    tar = gzip.decompress(write_tar(tmp_path / "a.tar.gz", list(GOOD.items())).read_bytes())
    for bad in mutants(tar, 300, seed=9):
        read = accepted(
            lambda path: readers.tar_members(path, WANTED),
            gzip.compress(bad, 1),
            tmp_path / "x",
        )
        assert read is None or {n: len(c) for n, c in read.items()} == WANTED


def test_reading_leaves_nothing_behind(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", list(GOOD.items()))
    before = set(Path(tmp_path).rglob("*"))
    readers.tar_members(path, WANTED)

    assert set(Path(tmp_path).rglob("*")) == before
