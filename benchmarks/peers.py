"""How a trial would be trained without hplab: a plain loop, Lightning, skorch and fastai.

Each function trains one trial from the same initial weights, on the same batches in the same order
and with the same optimizer as hplab, measures the loss and accuracy on all training and all
validation images in evaluation mode after every epoch, as hplab does, and returns the last training
loss. Data are ready as float tensors; nobody decodes or augments.

The network is hplab's, which pools before it activates, or has its layers in the order that a user
would write (`Task.pool_last`).
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler, TensorDataset

from hplab.training import datasets
from hplab.training.networks import models
from hplab.trial import Trial, stream_seed

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}
EVAL_BATCH = 500
POOL_LAST = ", pool last"


class Order(Sampler):
    """The same order of the images in every epoch as hplab takes for this trial."""

    def __init__(self, trial: Trial, n: int) -> None:
        self.n = n
        self.stream = torch.Generator().manual_seed(stream_seed(trial.seed, "order"))

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.n, generator=self.stream).tolist())

    def __len__(self) -> int:
        return self.n


class Task:
    """A trial with its data as a user would hold them: float images in `TensorDataset`s.

    Args:
        trial: What to train.
        dataset: Its data.
        pool_last: Whether pooling comes after the activation, which gives the same numbers.
    """

    def __init__(self, trial: Trial, dataset: datasets.Dataset, *, pool_last: bool = False) -> None:
        self.trial, self.pool_last = trial, pool_last
        split = datasets.split(dataset, split="official", split_args={}, fold=1)

        def normalised(images: Tensor) -> Tensor:
            return datasets.normalize(images, trial.normalize, dataset.mean, dataset.std)

        self.train = TensorDataset(normalised(split.train_images), split.train_labels)
        self.val = TensorDataset(normalised(split.val_images), split.val_labels)
        self.shape, self.n_classes = tuple(dataset.images.shape[1:]), len(dataset.class_names)

    def network(self) -> nn.Module:
        network = models.build(self.trial, self.shape, self.n_classes)
        return activated_first(network) if self.pool_last else network

    def batches(self) -> DataLoader:
        order = Order(self.trial, len(self.train))
        return DataLoader(self.train, batch_size=self.trial.batch_size, sampler=order)

    def whole(self) -> list[DataLoader]:
        """Loaders for measuring: all training images, all validation images."""
        return [DataLoader(part, batch_size=EVAL_BATCH) for part in (self.train, self.val)]

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return OPTIMIZERS[self.trial.optimizer](network.parameters(), lr=self.trial.lr)


def activated_first(network: nn.Module) -> nn.Sequential:
    """Return a sequence of the same layers in which every pooling comes after its ReLU."""
    layers = list(network)
    for i in range(len(layers) - 1):
        if isinstance(layers[i], nn.MaxPool2d) and isinstance(layers[i + 1], nn.ReLU):
            layers[i : i + 2] = layers[i + 1], layers[i]
    return nn.Sequential(*layers)


@torch.no_grad()
def measure(network: nn.Module, loaders: list[DataLoader]) -> list[float]:
    """Return loss and accuracy on each loader, in evaluation mode."""
    network.eval()
    found = []
    for loader in loaders:
        loss, correct = 0.0, 0
        for images, labels in loader:
            logits = network(images)
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += (logits.argmax(dim=1) == labels).sum().item()
        found += [loss / len(loader.dataset), correct / len(loader.dataset)]
    network.train()
    return found


def plain(task: Task) -> float:
    """The loop of most tutorials."""
    network, loaders = task.network(), task.whole()
    optimizer, batches = task.optimizer(network), task.batches()
    for _ in range(task.trial.epochs):
        running = 0.0
        for images, labels in batches:
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
        found = measure(network, loaders)
    return found[0]


def lightning(task: Task, *, lean: bool) -> float:
    """PyTorch Lightning: everything switched off, or as it comes with a logged loss."""
    import lightning as pl
    from lightning.pytorch.loggers import CSVLogger

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.sums = task.network(), {}

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            images, labels = batch
            loss = functional.cross_entropy(self.network(images), labels)
            if not lean:
                self.log("loss", loss)
            return loss

        def on_validation_epoch_start(self) -> None:
            self.sums = {0: [0.0, 0], 1: [0.0, 0]}

        def validation_step(self, batch: list[Tensor], _: int, dataloader_idx: int = 0) -> None:
            images, labels = batch
            logits = self.network(images)
            loss = functional.cross_entropy(logits, labels, reduction="sum")
            self.sums[dataloader_idx][0] += loss.item()
            self.sums[dataloader_idx][1] += (logits.argmax(dim=1) == labels).sum().item()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return task.optimizer(self.network)

    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with tempfile.TemporaryDirectory() as folder, quiet():
        ways = off if lean else {"logger": CSVLogger(folder), "default_root_dir": folder}
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=task.trial.epochs,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            **ways,
        )
        module = Module()
        trainer.fit(module, task.batches(), task.whole())
    return module.sums[0][0] / len(task.train)


def skorch(task: Task) -> float:
    """A skorch `NeuralNet` with a callback that measures."""
    from skorch import NeuralNet
    from skorch.callbacks import Callback

    found, loaders = [], task.whole()

    class Measure(Callback):
        def on_epoch_end(self, net: NeuralNet, **_: object) -> None:
            found[:] = measure(net.module_, loaders)

    net = NeuralNet(
        task.network(),
        criterion=nn.CrossEntropyLoss,
        optimizer=OPTIMIZERS[task.trial.optimizer],
        lr=task.trial.lr,
        batch_size=task.trial.batch_size,
        max_epochs=task.trial.epochs,
        iterator_train__sampler=Order(task.trial, len(task.train)),
        train_split=None,
        callbacks=[Measure()],
        verbose=0,
    )
    net.fit(task.train, y=None)
    return found[0]


def fastai(task: Task) -> float:
    """A fastai `Learner` with its recorder and progress bar, as it comes."""
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.metrics import accuracy
    from fastai.optimizer import OptimWrapper

    optimizer = functools.partial(OptimWrapper, opt=OPTIMIZERS[task.trial.optimizer])
    train_all, val_all = task.whole()
    found: list[float] = []
    with quiet():
        learner = Learner(
            DataLoaders(task.batches(), val_all),
            task.network(),
            loss_func=nn.CrossEntropyLoss(),
            opt_func=optimizer,
            metrics=accuracy,
        )
        learner.add_cb(_measuring(train_all, found))
        learner.fit(task.trial.epochs, lr=task.trial.lr)
    return found[0]


def _measuring(loader: DataLoader, found: list[float]) -> object:
    from fastai.callback.core import Callback

    class Measure(Callback):
        def after_epoch(self) -> None:
            found[:] = measure(self.learn.model, [loader])

    return Measure()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow progress bars and advice; drawing them is part of the time, reading them is not."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    out = io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


PEERS = {
    "plain loop": plain,
    "Lightning, lean": functools.partial(lightning, lean=True),
    "Lightning, default": functools.partial(lightning, lean=False),
    "skorch": skorch,
    "fastai": fastai,
}
