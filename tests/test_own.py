"""Components of the reader's own: trained as hplab's are, every version told from others."""

import collections
import dataclasses
import functools
import json
import linecache
import math
import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import hplab as hp
from hplab import catalogue, own
from hplab.sweeps import driver, runner
from hplab.sweeps.store import Store
from hplab.training import datasets, loop, losses
from hplab.training.datasets.dataset import Dataset
from hplab.training.sharpness import factored
from hplab.training.sharpness.objective import Objective

SMALL = {"data": "digits", "n_train": 240, "epochs": 2, "batch_size": 32}
MLP = {"model": "mlp", "model_args": {"hidden": [16]}}


@pytest.fixture(autouse=True)
def _as_it_was():
    """Forget what a test registered."""
    before = {kind: dict(catalogue.table(kind)) for kind in catalogue.OPEN}
    yield
    for kind, rows in before.items():
        catalogue.table(kind).clear()
        catalogue.table(kind).update(rows)


def curves(**fields):
    return loop.train(hp.Trial(**{**SMALL, **MLP, **fields})).curves


def cell(text, name="made", **names):
    """Return what a cell of a notebook defines, its source kept as IPython keeps it."""
    text, file = textwrap.dedent(text), f"<cell {len(linecache.cache)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = {"__name__": "__main__", "hp": hp, "torch": torch, "nn": nn, **names}
    exec(compile(text, file, "exec"), space)
    return space[name]


# --------------------------------------------------------------- the same as hplab's own


def tiny(in_shape, n_classes, hidden=64, activation=nn.ReLU):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(in_shape), hidden),
        activation(),
        nn.Linear(hidden, n_classes),
    )


def plain(logits, labels):
    return functional.cross_entropy(logits, labels, reduction="none")


class Descent(torch.optim.SGD):
    def __init__(self, params, lr, momentum=0.0, **options):
        super().__init__(params, lr, momentum, fused=True, **options)


class Rectifier(nn.Module):
    def forward(self, x):
        return functional.relu(x)


def fading(share, power=1.0):
    return (1 - share) ** power


def test_a_model_equal_to_hplabs_trains_the_same_run():
    hp.register("model", tiny, hidden=16)

    for activation in ("relu", "tanh"):
        ours = curves(activation=activation)
        assert curves(model="tiny", model_args={}, activation=activation) == ours


def test_a_loss_equal_to_hplabs_trains_the_same_run():
    hp.register("loss", "mine", plain)

    assert curves(loss="mine") == curves()


@pytest.mark.parametrize("decayed", ["all", "weights"])
def test_an_optimizer_equal_to_hplabs_trains_the_same_run(decayed):
    hp.register("optimizer", "descent", Descent)
    more = {"optimizer_args": {"momentum": 0.9}, "lr": 0.02, "weight_decay": 0.01}
    more |= {"decayed": decayed, "schedule": "cosine"}

    assert curves(optimizer="descent", **more) == curves(optimizer="sgd", **more)


def stepper():
    class Stepper(torch.optim.Optimizer):
        """Plain gradient descent, written out."""

        def __init__(self, params, lr, **options):
            super().__init__(params, {"lr": lr, **options})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad, alpha=-group["lr"])

    return Stepper


def heir():
    class Heir(torch.optim.SGD):
        """Has no step of its own until torch hangs one on its class."""

        def __init__(self, params, lr, **options):
            super().__init__(params, lr, **options)

    return Heir


@pytest.mark.parametrize("define", [stepper, heir])
def test_what_torch_hangs_on_an_optimizers_class_is_no_change_of_its_code(define):
    """The first instance of a class gets its `step` wrapped, for hooks and profiles."""
    made = define()
    hp.register("optimizer", "mine", made)
    before = hp.Trial(optimizer="mine", **SMALL).key("d")
    made([torch.nn.Parameter(torch.zeros(1))], 0.1)

    assert vars(made)["step"].hooked
    assert hp.Trial(optimizer="mine", **SMALL).key("d") == before


def test_an_optimizer_with_a_step_of_its_own_trains_every_seed(store):
    hp.register("optimizer", "stepper", stepper())
    trials = hp.grid(hp.Trial(optimizer="stepper", lr=0.01, **SMALL), seed=range(3))

    runs = hp.run(trials, store=store, jobs=1)
    assert runs["status"].tolist() == ["ok"] * 3
    again = hp.grid(hp.Trial(optimizer="sgd", lr=0.01, **SMALL), seed=range(3))
    assert runs["val_loss"].tolist() == pytest.approx(
        hp.run(again, store=store, jobs=1)["val_loss"].tolist(), rel=1e-6
    )


def test_an_activation_equal_to_hplabs_trains_the_same_run():
    hp.register("activation", "rectifier", Rectifier)

    assert curves(activation="rectifier") == curves(activation="relu")


def test_a_schedule_gives_the_factor_on_the_rate():
    hp.register("schedule", fading)
    found = curves(schedule="fading", schedule_args={"power": 2.0}, lr=0.01, measure=["steps"])

    n = len(found["step_lr"])
    assert found["step_lr"] == [0.01 * (1 - step / n) ** 2 for step in range(n)]


def test_a_schedule_that_gives_no_number_is_refused():
    hp.register("schedule", "broken", lambda share: float("nan"))

    with pytest.raises(hp.HplabError, match="factor of schedule 'broken' must be finite, got nan"):
        curves(schedule="broken")


def test_a_loss_that_averages_is_refused():
    hp.register("loss", "mean", lambda logits, labels: plain(logits, labels).mean())

    with pytest.raises(hp.HplabError, match=r"one value an example, \(32,\), got \(\)"):
        curves(loss="mean")


def test_a_model_without_an_activation_does_not_pretend_to_have_one():
    hp.register("model", "line", lambda in_shape, n: nn.Sequential(nn.Flatten(), nn.Linear(64, n)))

    assert curves(model="line", model_args={})
    with pytest.raises(hp.HplabError, match="no argument activation, so 'tanh' would change noth"):
        curves(model="line", model_args={}, activation="tanh")


def test_an_optimizer_without_decay_does_not_pretend_to_have_it():
    @hp.register("optimizer", "bare")
    def bare(params, lr):
        return torch.optim.SGD(params, lr)

    assert curves(optimizer="bare") != curves(optimizer="bare", lr=0.5)
    with pytest.raises(hp.HplabError, match="optimizer 'bare' takes no weight_decay"):
        curves(optimizer="bare", weight_decay=0.1)


def test_what_is_drawn_while_training_is_the_trials_own():
    @hp.register("model", "dropping")
    def dropping(in_shape, n_classes, p=0.5):
        return nn.Sequential(nn.Flatten(), nn.Dropout(p), nn.Linear(64, n_classes))

    once = curves(model="dropping", model_args={})
    torch.rand(7)
    state = torch.get_rng_state()

    assert curves(model="dropping", model_args={}) == once
    assert torch.equal(torch.get_rng_state(), state)
    assert curves(model="dropping", model_args={}, seeds={"dropout": 5}) != once


# ------------------------------------------------------------------------------ data


def blobs(n=60):
    labels = np.arange(n) % 3
    images = np.full((n, 8, 8), 40, np.uint8)
    images[:, 0, 0] = 80 * labels
    return images, labels


def test_arrays_are_a_data_set_with_the_digest_of_their_content():
    hp.register("data", "blobs", lambda: (*blobs(), *blobs(30)))
    found = datasets.load("blobs")

    assert found.images.shape == (60, 1, 8, 8)
    assert (found.name, found.class_names) == ("blobs", ("0", "1", "2"))
    assert len(found.test_labels) == 30
    assert datasets.available("blobs") == "registered"
    assert not datasets.is_official(found)
    hp.register("data", "fewer", lambda: (*blobs(57), *blobs(30)))
    assert datasets.load("fewer").digest != found.digest


def test_a_data_set_may_come_as_one():
    digits = datasets.load("digits")
    hp.register("data", "again", lambda: digits)

    assert isinstance(datasets.load("again"), Dataset)
    assert datasets.load("again").digest == digits.digest
    assert curves(data="again") == curves()


def pictures(n=40):
    """Bytes with a known answer, as torch's and torchvision's data sets hold them."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 8, 8, 3), np.uint8), np.arange(n) % 2


class Items(torch.utils.data.Dataset):
    """Any data set of torch: a list of examples."""

    def __init__(self, images, labels, classes=("no", "yes")):
        self.examples, self.classes = list(zip(images, labels, strict=True)), classes

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, i):
        return self.examples[i]


def as_tensors(images):
    return [torch.from_numpy(image.transpose(2, 0, 1)) for image in images]


@pytest.mark.parametrize("how", ["pillow", "tensors", "ToTensor", "arrays", "floats", "subset"])
def test_a_data_set_of_torch_is_the_same_as_its_bytes(how):
    from PIL import Image

    images, labels = pictures()
    channels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    made = {
        "pillow": lambda: Items(map(Image.fromarray, images), labels),
        "tensors": lambda: Items(as_tensors(images), torch.from_numpy(labels)),
        "ToTensor": lambda: Items([t.float() / 255 for t in as_tensors(images)], labels),
        "arrays": lambda: (channels.numpy(), labels),
        "floats": lambda: (channels / 255, torch.from_numpy(labels)),
        "subset": lambda: torch.utils.data.Subset(Items(as_tensors(images), labels), range(40)),
    }
    hp.register("data", "mine", made[how])

    found = datasets.load("mine")

    assert torch.equal(found.images, channels)
    assert found.labels.tolist() == labels.tolist()
    named = ("0", "1") if how in ("arrays", "floats") else ("no", "yes")
    assert found.class_names == named


def test_training_and_test_may_come_apart():
    images, labels = pictures()
    train = torch.utils.data.TensorDataset(
        torch.stack(as_tensors(images[:30])), torch.from_numpy(labels[:30])
    )
    hp.register("data", "mine", lambda: (train, Items(as_tensors(images[30:]), labels[30:])))

    found = datasets.load("mine")

    assert (len(found.labels), len(found.test_labels)) == (30, 10)
    assert torch.equal(found.test_images[0], as_tensors(images)[30])


def test_an_image_folder_trains(tmp_path, store):
    from PIL import Image
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    for kind, shade in (("dark", 40), ("light", 200)):
        (tmp_path / "flowers" / kind).mkdir(parents=True)
        for i in range(30):
            noise = np.random.default_rng(i).integers(-30, 30, (10 + i % 3, 12, 3))
            photo = Image.fromarray((shade + noise).astype(np.uint8))
            photo.save(tmp_path / "flowers" / kind / f"{i}.png")
    folder = str(tmp_path / "flowers")
    hp.register("data", "flowers", lambda: ImageFolder(folder, transform=v2.Resize((8, 8))))
    trials = hp.grid(hp.Trial(data="flowers", split="holdout", epochs=3, **MLP), seed=range(2))

    runs = runner.run(trials, preset="laptop", device="cpu", jobs=1, store=store)

    assert datasets.load("flowers").class_names == ("dark", "light")
    assert runs["val_acc"].tolist() == [1.0, 1.0]


def drawn():
    images, labels = pictures()
    made = Items(as_tensors(images), labels)
    made.examples = Noisy(made.examples)
    return made


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


class Noisy(list):
    def __getitem__(self, i):
        image, label = super().__getitem__(i)
        return torch.roll(image, int(torch.randint(1, 8, ())), -1), label


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (drawn, "is another one each time: leave random transforms out"),
        (
            lambda: Items([torch.zeros(1, 8, 8), torch.zeros(1, 9, 8)], [0, 1]),
            "image 1 is (1, 9, 8) and image 0 (1, 8, 8): give them one size, with transform=Resize",
        ),
        (
            lambda: Items([torch.full((1, 8, 8), -0.42)] * 2, [0, 1]),
            "goes from -0.42 to -0.42, and floats go from 0 to 1. Leave Normalize out",
        ),
        (
            lambda: Items([torch.full((13,), 0.3)] * 2, [0, 1]),
            "image 0 is float32 (13,), expected uint8 from 0 to 255, (C, H, W) or (H, W): it holds "
            "0.3, and no byte over 255 gives that",
        ),
        (lambda: Items([torch.zeros(1, 8, 8)], ["cat"]), "example 0 is no image with its label"),
        (lambda: torch.utils.data.DataLoader(Items([1], [1])), "is a DataLoader: give the data"),
        (lambda: (Items([], []),) * 3, "has 3 data sets"),
        (Endless, "without a length cannot be read whole"),
    ],
)
def test_a_data_set_of_torch_that_cannot_be_kept_as_bytes_is_refused(make, said):
    hp.register("data", "bad", lambda: make())

    with pytest.raises(hp.HplabError) as caught:
        datasets.load("bad")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (3, "must give a data set or train_images, train_labels, test_images, test_labels, got 3"),
        (
            (np.full((4, 8, 8), 0.3), np.zeros(4, int)),  # no byte over 255 gives 0.3
            "it holds 0.3, and no byte over 255 gives that: images are kept as bytes",
        ),
        (
            (np.full((4, 13), 0.3), np.zeros(4, int)),
            "(255 * x).round().astype('uint8')); and (4, 13) is no shape of images; for a table of "
            "features use hp.sweep",
        ),
        (
            (np.zeros((4, 13), int), np.zeros(4, int)),
            "train_images is int64 (4, 13), expected uint8 from 0 to 255, (N, C, H, W) or (N, H, W)"
            ": its type is int64; and (4, 13) is no shape of images",
        ),
        ((np.zeros((4, 8, 8), np.uint8), np.zeros(3, int)), "expected integers (4,)"),
        ((np.zeros((4, 8, 8), np.uint8), np.full(4, -1)), "labels run from -1 to -1"),
        ((*blobs(), np.zeros((3, 9, 9), np.uint8), np.zeros(3, int)), "images of one shape"),
    ],
)
def test_what_is_no_data_set_is_refused(made, said):
    hp.register("data", "bad", lambda: made)

    with pytest.raises(hp.HplabError) as caught:
        datasets.load("bad")
    assert said in str(caught.value)


def test_the_way_out_of_floats_that_are_no_bytes_works():
    x = np.random.default_rng(0).random((40, 8, 8))
    hp.register("data", "rounded", lambda: ((255 * x).round().astype("uint8"), np.arange(40) % 2))

    found = datasets.load("rounded").images[:, 0].numpy()

    assert np.abs(found / 255 - x).max() <= 0.5 / 255 + 1e-12


def test_the_example_of_a_data_set_trains(tmp_path, monkeypatch, store):
    found = re.search(r"( +@hp.register\(.data.\).*?) +hp.Trial", hp.register.__doc__, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    images, labels = blobs(50)
    np.savez("stars.npz", images=images, labels=labels)

    cell(found[1], "stars", np=np)
    trial = hp.Trial(data="stars", split="holdout", epochs=2, **MLP)
    runs = runner.run([trial], preset="laptop", device="cpu", jobs=1, store=store)

    assert runs["data"].tolist() == ["stars"]
    assert runs["status"].tolist() == ["ok"]


def test_a_preset_leaves_data_of_ones_own_alone(store):
    hp.register("data", "blobs", lambda: (*blobs(), *blobs(30)))
    hp.register("model", tiny)
    trial = hp.Trial(data="blobs", model="tiny", epochs=2, batch_size=20)
    runs = hp.run([trial], preset="laptop", device="cpu", store=store)

    assert runs[["data", "model", "hidden", "epochs"]].values.tolist() == [["blobs", "tiny", 64, 2]]
    assert len(hp.recorded([trial], preset="laptop", store=store)) == 1


# ---------------------------------------------------------------------- keys and records


NET = """
    def made(in_shape, n_classes, hidden=8):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.Linear(hidden, n_classes))
"""


def of_net(name="net", **fields):
    return hp.Trial(data="digits", model=name, **fields)


def test_the_key_follows_the_source_and_the_record_says_which():
    hp.register("model", "net", cell(NET))
    first = of_net()
    hp.register("model", "net", cell(NET.replace("hidden)", "hidden, bias=False)")), replace=True)
    second = of_net()

    assert first.config()["code"].keys() == {"model:net"}
    assert first.config()["code"] != second.config()["code"]
    assert first.key("x") != second.key("x")
    assert "code" in first.flat()


def test_a_cell_that_is_run_again_changes_nothing():
    hp.register("model", "net", cell(NET))
    first = of_net()
    hp.register("model", "net", cell("# a line above\n\n\n" + textwrap.dedent(NET)))

    assert of_net() == first


def test_a_decorator_is_the_same_as_a_call():
    decorated = '@hp.register("model", "net")\n' + textwrap.dedent(NET).lstrip()
    cell(decorated)
    first = of_net()

    hp.register("model", "net", cell(NET))
    assert of_net() == first
    again = decorated.replace('"net"', '"net", replace=True')
    cell(again)
    assert of_net() == first


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("WIDTH = 3", "WIDTH = 4"),
        ("def block(n):\n    return n", "def block(n):\n    return n + 1"),
        (
            "class Base(nn.Module):\n    def f(self): pass",
            "class Base(nn.Module):\n    def f(self): 1",
        ),
    ],
)
def test_what_a_component_uses_of_its_own_cell_counts(before, after):
    uses = """
class made(BASE):
    def __init__(self, in_shape, n_classes):
        super().__init__()
        self.net = nn.Linear(USED, n_classes)
"""
    name = before.split()[1 if before[0] in "dc" else 0].partition("(")[0]
    uses = uses.replace("BASE", name if name == "Base" else "nn.Module")
    uses = uses.replace("USED", {"WIDTH": "WIDTH", "block": "block(1)"}.get(name, "3"))
    found = []
    for text in (before, after):
        hp.register("model", "net", cell(f"{text}\n{uses}"), replace=True)
        found.append(of_net().key("x"))

    assert found[0] != found[1]


def test_a_variable_of_the_notebook_that_shares_a_name_does_not_count():
    found = []
    for n_classes in (1, 2):
        hp.register("model", "net", cell(NET, n_classes=n_classes, bias=n_classes))
        found.append(of_net())

    assert found[0] == found[1]


def test_arguments_are_checked_and_spelled_out():
    hp.register("model", "net", cell(NET))

    assert of_net().config()["model_args"] == {"hidden": 8}
    assert of_net(model_args={"hidden": 9}).argument("model", "hidden") == 9
    for args, said in (
        ({"hiden": 3}, "did you mean 'hidden'"),
        ({"hidden": 1.5}, "model_args.hidden must be an integer, got 1.5"),
    ):
        with pytest.raises(hp.HplabError, match=said):
            of_net(model_args=args)


def test_bounds_may_be_given():
    hp.register("schedule", fading, power=catalogue.Arg(1.0, high=3))

    with pytest.raises(hp.HplabError, match="power must be at most 3, got 4"):
        hp.Trial(data="digits", schedule="fading", schedule_args={"power": 4})


def test_arguments_of_a_loss_are_part_of_its_digest():
    def scaled(logits, labels, by):
        return by * plain(logits, labels)

    found = []
    for by in (1.0, 2.0):
        hp.register("loss", "scaled", scaled, by=by, replace=True)
        found.append(hp.Trial(data="digits", loss="scaled"))

    assert found[0].key("x") != found[1].key("x")
    logits, labels = torch.zeros(3, 4), torch.tensor([0, 1, 2])
    assert torch.equal(losses.named("scaled")(logits, labels), 2.0 * plain(logits, labels))


def test_a_name_that_is_taken_is_kept():
    hp.register("model", "net", cell(NET))
    first = of_net()

    with pytest.raises(hp.HplabError, match=r"registered with another source.*replace=True"):
        hp.register("model", "net", tiny)
    with pytest.raises(hp.HplabError, match=r"other defaults.*replace=True"):
        hp.register("model", "net", cell(NET), hidden=9)
    with pytest.raises(hp.HplabError, match="model 'cnn' is hplab's own; choose another name"):
        hp.register("model", "cnn", tiny, replace=True)
    assert of_net() == first


def test_a_trial_of_a_replaced_source_is_not_trained():
    hp.register("model", "net", cell(NET))
    trial = of_net(**{k: v for k, v in SMALL.items() if k != "data"})
    hp.register("model", "net", tiny, replace=True)

    with pytest.raises(
        hp.HplabError, match="made with model 'net' of source .*make the trial anew"
    ):
        loop.train(trial.replace(lr=0.1))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: hp.register("modle", "x", tiny), "did you mean 'model'"),
        (lambda: hp.register("model", "a b", tiny), "needs a name of letters"),
        (lambda: hp.register("model", "x", 3), "must be a function or a class, got 3"),
        (lambda: hp.register("model", "x", lambda n: n), r"cannot be called with \(in_shape, n_cl"),
        (lambda: hp.register("model", "x", tiny, hiden=3), "unexpected keyword argument 'hiden'"),
        (lambda: hp.register("model", "x", tiny, hidden=None), "hidden of model 'x' needs a def"),
        (lambda: hp.register("optimizer", "x", tiny), r"cannot be called with \(params, lr=\.\.\."),
    ],
)
def test_a_component_that_cannot_work_is_refused_at_once(call, said):
    with pytest.raises(hp.HplabError, match=said):
        call()


def test_without_a_source_a_version_has_to_be_stated():
    space = {}
    exec("def typed(share): return 1 - share", space)
    typed = space["typed"]
    with pytest.raises(hp.HplabError, match=r"source of schedule 'typed' .*read .*version="):
        hp.register("schedule", typed)
    hp.register("schedule", typed, version="1")
    first = hp.Trial(data="digits", schedule="typed")
    hp.register("schedule", typed, version="2", replace=True)

    assert hp.Trial(data="digits", schedule="typed").key("x") != first.key("x")


HELD = {  # what a loss uses, with a value that may differ
    "default": "K = VALUE\ndef made(logits, labels, k=K): return k * logits[:, 0]",
    "default of a helper": """
K = VALUE
def helper(x, *, k=K): return k * x
def made(logits, labels): return helper(logits[:, 0])""",
    "class attribute": """
K = VALUE
class Made:
    width = int(8 * K)
def made(logits, labels): return logits[:, 0] * Made.width""",
    "wrapper's closure": """
def scaled(k):
    def of(function):
        @functools.wraps(function)
        def wrapper(logits, labels): return k * function(logits, labels)
        return wrapper
    return of
@scaled(VALUE)
def made(logits, labels): return logits[:, 0]""",
    "wrapper's source": """
def scaled(function):
    @functools.wraps(function)
    def wrapper(logits, labels): return VALUE * function(logits, labels)
    return wrapper
@scaled
def made(logits, labels): return logits[:, 0]""",
    "wrapper of a package": """
K = VALUE
@torch.no_grad()
def helper(x): return x * K
def made(logits, labels): return helper(logits[:, 0])""",
    "cached helper": """
@functools.cache
def helper(): return VALUE
def made(logits, labels): return helper() * logits[:, 0]""",
    "property": """
K = VALUE
class Made:
    @property
    def k(self): return K
one = Made()
def made(logits, labels): return one.k * logits[:, 0]""",
    "partial": """
def helper(x, k): return x * k
by = functools.partial(helper, k=VALUE)
def made(logits, labels): return by(logits[:, 0])""",
    "functions in a list": """
def one(x): return x * VALUE
ALL = [one]
def made(logits, labels): return ALL[0](logits[:, 0])""",
    "class within": """
K = VALUE
def made(logits, labels):
    class Within:
        k = K
    return logits[:, 0] * Within.k""",
    "data class": """
@dataclasses.dataclass
class Made:
    k: float
one = Made(VALUE)
def made(logits, labels): return one.k * logits[:, 0]""",
    **{
        what: f"C = {what}\ndef made(logits, labels): return use(C) * logits[:, 0]"
        for what in (
            *(
                "{'k': (1, [VALUE])}",
                "frozenset({'a', 'b', VALUE})",
                "torch.tensor([VALUE])",
                "slice(0, VALUE)",
            ),
            *(
                "np.array([VALUE])",
                "np.float32(VALUE)",
                "np.random.default_rng(int(8 * VALUE))",
                "b'VALUE'",
            ),
            *(
                "collections.deque([VALUE])",
                "nn.Parameter(torch.tensor(VALUE))",
                "type('T', (), {'k': VALUE})",
            ),
        )
    },
}
NAMES = {"functools": functools, "np": np, "dataclasses": dataclasses, "collections": collections}


@pytest.mark.parametrize("what", HELD)
def test_a_value_that_a_component_uses_counts(what):
    found = []
    for value in ("1.5", "2.5", "1.5"):
        made = cell(HELD[what].replace("VALUE", value), use=str, **NAMES)
        hp.register("loss", "held", made, replace=True)
        found.append(hp.Trial(data="digits", loss="held").code)

    assert found[0] != found[1]
    assert found[0] == found[2]


def test_a_digest_is_the_same_in_every_process(tmp_path):
    lines = ["import collections, dataclasses, functools", "import numpy as np, torch"]
    lines += ["from torch import nn", "import hplab as hp", "use = str"]
    for i, text in enumerate(HELD.values()):
        lines += [text.replace("VALUE", "1.5"), f"hp.register('loss', 'l{i}', made)"]
        lines += [f"print(hp.Trial(data='digits', loss='l{i}').code)"]
    script = tmp_path / "script.py"
    script.write_text("\n".join(lines))
    said = {
        subprocess.run(
            [sys.executable, script], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip

    assert len(said) == 1
    assert said.pop().count("loss:l") == len(HELD)


def test_a_value_that_changes_after_registering_changes_the_key():
    made = cell("K = [1.5]\ndef made(logits, labels): return K[0] * logits[:, 0]")
    hp.register("loss", "held", made)
    first = hp.Trial(**SMALL, **MLP, loss="held")
    made.__globals__["K"][0] = 2.5

    assert hp.Trial(**SMALL, **MLP, loss="held").key("x") != first.key("x")
    with pytest.raises(hp.HplabError, match="a value that it uses, has changed; make the trial"):
        loop.train(first)


def test_a_decorated_function_may_use_what_stands_below_it():
    cell("""
@hp.register("loss", "early")
def made(logits, labels):
    return helper(logits, labels) if labels is not None else made(logits, labels)
def helper(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")
""")
    assert curves(loss="early") == curves()


def test_a_value_that_cannot_be_read_is_said_once_unless_a_version_stands_for_it(recwarn):
    made = cell("import _thread\nC = [_thread.allocate_lock()]\n"
                "def made(logits, labels): return logits[:, 0] if C else 0")  # fmt: skip
    with pytest.warns(UserWarning, match=r"loss 'held' uses C \(lock\): the value cannot be read"):
        hp.register("loss", "held", made)
    recwarn.clear()
    first = hp.Trial(data="digits", loss="held")
    hp.register("loss", "held", made, version="1", replace=True)

    assert hp.Trial(data="digits", loss="held").key("x") != first.key("x")
    assert not recwarn.list


def test_a_record_is_read_where_its_component_is_not_known(store):
    hp.register("model", "net", cell(NET))
    trial = of_net(**{k: v for k, v in SMALL.items() if k != "data"}, model_args={"hidden": 9})
    hp.run([trial], preset="paper", device="cpu", store=store)
    (record,) = store.records()
    known = {kind: dict(catalogue.table(kind)) for kind in catalogue.OPEN}
    for rows in ({}, {"net": catalogue.Row(tiny, {"width": catalogue.Arg(1)}, "0" * 16)}):
        catalogue.table("model").pop("net", None)
        catalogue.table("model").update(rows)
        back = hp.Trial.from_config(json.loads(json.dumps(record["config"])), record["seed"])

        assert back == trial
        assert back.key(record["data"]) == record["key"]
        assert hp.recorded([back], preset="paper", store=store)["hidden"].tolist() == [9]
        with pytest.raises(hp.HplabError, match="is not known in this process|make the trial anew"):
            loop.train(back)
    catalogue.table("model").update(known["model"])


def test_the_reports_records_are_without_a_readers_own(store, capsys):
    hp.register("model", "net", cell(NET))
    trials = [hp.Trial(data="mnist", model=name) for name in ("net", "mlp")]
    assert len(hp.run(trials, preset="smoke", device="cpu", store=store)) == 2

    found = runner.everything("smoke", stands_for="mnist", store=store)
    assert found["model"].tolist() == ["mlp"]
    assert "left out: 1 records of trials with a reader's own" in capsys.readouterr().err


# ---------------------------------------------------------------------- lanes and workers


def test_only_what_cannot_mix_is_stacked():
    hp.register("model", tiny)
    hp.register("optimizer", "descent", Descent)
    hp.register("loss", "mine", plain)
    hp.register("activation", "rectifier", Rectifier)
    hp.register("schedule", fading)

    def stacks(**fields):
        trial = hp.Trial(**{**SMALL, **MLP, **fields})
        return loop.can_stack(trial, driver.stacking.models.build(trial, (1, 8, 8), 10))

    assert stacks(model="tiny", model_args={})
    assert stacks(schedule="fading")
    assert not stacks(optimizer="descent")
    assert not stacks(loss="mine")
    assert not stacks(activation="rectifier")


def normed(in_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.LayerNorm(math.prod(in_shape)), nn.Linear(64, n_classes))


class Plain(nn.Module):
    def __init__(self, in_shape, n_classes):
        super().__init__()
        self.out = nn.Linear(math.prod(in_shape), n_classes)

    def forward(self, x):
        return self.out(x.flatten(1))


@pytest.mark.parametrize(
    ("kind", "name", "make", "said"),
    [
        ("model", "tiny", tiny, "4 of 4 trials train side by side\n"),
        ("model", "normed", normed, "0 of 4 .* one by one: LayerNorm has no stacked form"),
        ("model", "plain", Plain, "0 of 4 .*: a Plain is not a plain nn.Sequential"),
        ("loss", "mine", plain, "0 of 4 .*: loss 'mine' might mix what stands side by side"),
        ("optimizer", "own", Descent, "0 of 4 .*: optimizer 'own' might mix"),
        ("schedule", "fading", lambda share: 1 - share, "4 of 4 trials train side by side"),
    ],
)
def test_what_trains_side_by_side_is_said_and_why_the_rest_does_not(
    store, capsys, kind, name, make, said
):
    hp.register(kind, name, make)
    fields = {kind: name} if kind == "model" else {**MLP, kind: name}
    base = hp.Trial(**{**SMALL, "epochs": 1, **fields})

    runner.run(hp.grid(base, seed=range(4)), device="cpu", jobs=1, store=store)

    assert re.search(f"{kind} '{name}': {said}", capsys.readouterr().out)


class Backwards(nn.Sequential):
    def forward(self, x):
        return super().forward(x.flip(-1))


def shared():
    layer = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer, nn.Linear(64, 10))


def frozen():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    net[1].requires_grad_(False)
    return net


def hooked():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    net[1].register_forward_hook(lambda module, given, z: 2 * z)
    return net


def test_sharpness_takes_no_short_cut_through_a_network_that_only_looks_like_a_chain():
    images, labels = torch.zeros(4, 1, 8, 8), torch.arange(4)
    chain = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    for net, is_chain in ((chain, True), (Backwards(*chain), False)):
        objective = Objective(net, images, labels, batch_norm="running")
        assert factored.applies(objective) == is_chain


@pytest.mark.parametrize(
    "make",
    [
        lambda: Backwards(nn.Flatten(), nn.Linear(64, 10)),
        shared,
        frozen,
        hooked,
    ],
)
def test_a_network_that_a_stack_would_compute_otherwise_trains_alone(make):
    hp.register("model", "odd", lambda in_shape, n_classes: make())

    trial = hp.Trial(**SMALL, model="odd")
    assert not loop.can_stack(trial, driver.stacking.models.build(trial, (1, 8, 8), 10))


SCRIPT = """
    import sys
    from pathlib import Path
    import torch
    from torch import nn
    import hplab as hp
    from hplab.sweeps import driver, executors, store

    WIDTH = 12

    @hp.register("model")
    def net(in_shape, n_classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, n_classes))

    def main():
        hp.register("schedule", "falling", lambda share, to=0.5: 1 - share * (1 - to))
        driver.POOL_FROM_S = 0
        here = store.Store(Path(sys.argv[1]) / "results", Path(sys.argv[1]) / "pending")
        trial = hp.Trial(data="digits", n_train=240, epochs=2, model="net", schedule="falling")
        opened = []
        pool = executors.open_pool
        executors.open_pool = lambda n: opened.append(n) or pool(n)
        hp.run(hp.grid(trial, batch_size=[30, 40, 60, 80]), preset="paper", device="cpu",
               jobs=int(sys.argv[2]), store=here)
        print(opened, here.status()["failures"])

    if __name__ == "__main__":
        main()
"""


@pytest.mark.timeout(300)
def test_two_workers_train_what_one_process_does(tmp_path):
    """From a script: one component at its top, and one that workers cannot find by importing."""
    script = tmp_path / "sweep.py"
    script.write_text(textwrap.dedent(SCRIPT))
    found = []
    for jobs, said in (("2", "[2] 0"), ("1", "[] 0")):
        done = subprocess.run(
            [sys.executable, script, tmp_path / jobs, jobs], capture_output=True, text=True
        )
        assert done.stdout.strip().endswith(said), done.stdout + done.stderr
        there = Store(tmp_path / jobs / "results", tmp_path / jobs / "pending")
        found.append({r["key"]: (r["config"]["code"], r["curves"]) for r in there.records()})

    assert len(found[0]) == 4
    assert found[0] == found[1]


@pytest.mark.timeout(300)
def test_a_function_of_a_notebook_reaches_the_workers(store, monkeypatch):
    """Its module `__main__` is another one there: it goes along as code."""
    monkeypatch.setattr(driver, "POOL_FROM_S", 0)
    hp.register("model", "net", cell(NET))
    trial = of_net(n_train=240, epochs=2)
    hp.run(
        hp.grid(trial, batch_size=[30, 40, 60]), preset="paper", device="cpu", jobs=2, store=store
    )

    assert store.status()["failures"] == 0
    for record in store.records():
        alone = loop.train(hp.Trial.from_config(record["config"], record["seed"]))
        assert record["curves"]["val_loss"] == pytest.approx(alone.curves["val_loss"], rel=1e-6)


def test_what_cannot_be_sent_is_trained_here(store, monkeypatch, capsys):
    monkeypatch.setattr(driver, "POOL_FROM_S", 0)
    held = cell("import threading\nlock = threading.Lock()\n" + textwrap.dedent(NET).replace(
        "    return", "    lock.acquire(False)\n    return"))  # fmt: skip
    hp.register("model", "held", held, version="1")
    assert own.to_send()[1].keys() == {"model:held"}
    trials = hp.grid(of_net("held", n_train=240, epochs=1), batch_size=[40, 60])
    hp.run(trials, preset="paper", device="cpu", jobs=2, store=store)

    assert "one process trains: model:held cannot be sent to others" in capsys.readouterr().out
    assert store.status()["records"] == 2


# ------------------------------------------------------------------- what cannot work


def refused(said, **fields):
    with pytest.raises(hp.HplabError) as caught:
        loop.train(hp.Trial(**{**SMALL, **fields}))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda n: nn.Linear(63, n), "RuntimeError"),
        (
            lambda n: nn.Sequential(
                nn.BatchNorm1d(64, track_running_stats=False), nn.Linear(64, n)
            ),
            "ValueError: Expected more than 1 value per channel",
        ),
        (lambda n: nn.Linear(64, n).double(), "float32 images (2, 1, 8, 8)"),
        (lambda n: nn.Linear(64, n + 1), "to logits (2, 10), got (2, 11)"),
        (lambda n: nn.Linear(64, n - 1), "to logits (2, 10), got (2, 9)"),
    ],
)
def test_a_model_that_gives_no_logits_is_refused(make, said):
    hp.register("model", "odd", lambda in_shape, n: nn.Sequential(nn.Flatten(), make(n)))
    refused(said, model="odd")


def closing(params, lr):
    return torch.optim.LBFGS(params[0]["params"])


@pytest.mark.parametrize("make", [lambda params, lr: 3, closing])
def test_what_is_no_optimizer_is_refused(make):
    hp.register("optimizer", "odd", make)
    refused("optimizer 'odd' must give a torch.optim.Optimizer", **MLP, optimizer="odd")


def detached(logits, labels):
    return plain(logits, labels).detach()


@pytest.mark.parametrize("make", [lambda logits, labels: logits.argmax(1) == labels, detached])
def test_a_loss_without_a_gradient_is_refused(make):
    hp.register("loss", "odd", make)
    refused("loss 'odd' must give floating-point numbers that depend on", **MLP, loss="odd")


def failing():
    raise OSError("no disk")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (failing, "OSError: no disk"),
        (lambda: (blobs()[0], np.array(list("abc") * 20)), "train_labels is <U1 (60,), expected"),
        (lambda: (blobs()[0][:0], blobs()[1][:0]), "train_images is empty"),
    ],
)
def test_data_that_cannot_be_had_are_refused_in_one_line(make, said):
    hp.register("data", "odd", lambda: make())
    refused(said, **MLP, data="odd")


def test_a_layer_that_two_networks_share_is_refused():
    layer = nn.Linear(64, 10)
    hp.register("model", "odd", lambda in_shape, n_classes: nn.Sequential(nn.Flatten(), layer))
    with pytest.raises(hp.HplabError, match="model 'odd' gave two trials the same layer"):
        loop.train_lanes([hp.Trial(**SMALL, model="odd", seed=seed) for seed in (0, 1)])


def test_a_stack_is_tried_before_a_model_of_ones_own_trains_in_it(monkeypatch):
    hp.register("model", tiny)
    trial = hp.Trial(**SMALL, model="tiny")
    network = driver.stacking.models.build(trial, (1, 8, 8), 10)
    assert loop.can_stack(trial, network)
    monkeypatch.setattr(loop.lanes, "_linear", lambda x, w: 1.01 * torch.baddbmm(
        w[1].unsqueeze(1), x, w[0].transpose(1, 2)))  # fmt: skip
    assert not loop.can_stack(trial, network)


def test_a_row_that_names_an_optimizer_of_torch_alone_works(monkeypatch):
    row = catalogue.Optimizer("torch.optim:NAdam")
    monkeypatch.setitem(catalogue.OPTIMIZERS, "nadam", row)
    assert curves(optimizer="nadam") != curves(optimizer="adam")
