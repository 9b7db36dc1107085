"""Networks, built on the CPU from a trial's own random stream."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from hplab import catalogue, own
from hplab.training.networks import init, mobilenet, shapes
from hplab.training.networks.dropout import LaneDropout
from hplab.trial import HplabError, Trial

# For a rising function, max(f(x)) = f(max(x)): pooling first gives the same numbers from a quarter
# of the activations.
_RISING = ("relu", "leaky_relu", "sigmoid", "tanh")


def build(trial: Trial, in_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Return the trial's network with PyTorch's default initial weights.

    Args:
        trial: Names the model, its arguments, the activation and the seed.
        in_shape: Channels, height and width of one image.
        n_classes: Number of logits.

    Returns:
        A module from images `(N, C, H, W)` to logits `(N, n_classes)`, on the CPU.

    Raises:
        HplabError: If the images are too small for the model, or the trial was made with a
            component of the reader's own that this process does not have.
    """
    own.check_code(trial.code)
    row = catalogue.row("model", trial.model)
    make = row.implementation if row.digest == catalogue.OURS else functools.partial(_own, row.make)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_init_seed(trial))
        return make(trial, in_shape, n_classes)


def activation_of(trial: Trial) -> Callable[[], nn.Module]:
    """Return what makes the trial's activation."""
    row = catalogue.row("activation", trial.activation)
    return functools.partial(row.implementation, **row.defaults) if row.args else row.implementation


@contextlib.contextmanager
def own_randomness(trial: Trial, device: str) -> Iterator[None]:
    """Seed what a reader's own components draw from torch's global generator while they train.

    hplab's components draw from streams of their own and are left alone.
    """
    if not trial.code:
        yield
        return
    cards = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(trial.stream("dropout"))
        yield


def _own(make: Callable, trial: Trial, in_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Return a network of the reader's own."""
    arguments = trial.arguments("model")
    if own.takes(make, "activation"):
        arguments["activation"] = activation_of(trial)
    elif trial.activation != "relu":
        raise HplabError(
            f"model {trial.model!r} has no argument activation, so {trial.activation!r} would "
            "change nothing"
        )
    network = make(in_shape, n_classes, **arguments)
    if not isinstance(network, nn.Module):
        raise HplabError(f"model {trial.model!r} must give an nn.Module, got {network!r:.80}")
    _check_output(f"model {trial.model!r}", network, in_shape, n_classes)
    return network


def _check_output(what: str, network: nn.Module, in_shape: tuple[int, ...], n_classes: int) -> None:
    """Raise HplabError unless a network of the reader's own gives logits for two black images."""
    wanted = f"float32 images {(2, *in_shape)} to logits {(2, n_classes)}"
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *in_shape))  # the last batch may hold one
            out = network(torch.zeros(2, *in_shape))
    except Exception as error:  # whatever its layers raise
        why = " ".join(str(error).split())
        raise HplabError(f"{what} must take {wanted}: {type(error).__name__}: {why}") from error
    for module, mode in modes:
        module.training = mode
    if not isinstance(out, Tensor) or tuple(out.shape) != (2, n_classes):
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise HplabError(f"{what} must take {wanted}, got {got}")


class StandardizedLogits(nn.Module):
    """Logits with mean 0 and variance 1 over the examples of a batch, class by class.

    The same numbers as `nn.BatchNorm1d(n_classes, affine=False)` in training mode. Report 002 has
    it as its last layer and never leaves training mode, so the batch decides in evaluation too.

    Args:
        eps: Added to the variance, as in `nn.BatchNorm1d`.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, logits: Tensor) -> Tensor:
        """Standardise over the second-last dimension, which counts the examples."""
        centred = logits - logits.mean(dim=-2, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(dim=-2, keepdim=True) + self.eps)


def _init_seed(trial: Trial) -> int:
    """Return the seed of the initial weights.

    Report 002 hashes the name of the file in which it keeps a model, so that no two settings start
    from the same weights.
    """
    if trial.seeding == "common":
        return trial.stream("init")
    optimizer = {"sgd": "SGD", "adagrad": "AdaGrad"}.get(trial.optimizer, trial.optimizer)
    seed = trial.seeds.get("init", trial.seed)
    name = f"models/MLP_1_{trial.lr}_{trial.batch_size}_{optimizer}_{seed}.pt"
    return int(hashlib.sha1(name.encode()).hexdigest(), 16) % 2**32 + 42


def mlp(trial: Trial, in_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Return linear layers with an activation between each two."""
    activation = activation_of(trial)
    layers: list[nn.Module] = [nn.Flatten()]
    width = math.prod(in_shape)
    for hidden in trial.argument("model", "hidden"):
        norm = [nn.BatchNorm1d(hidden)] if trial.argument("model", "batch_norm") else []
        dropout = _dropout(trial, len(layers), hidden)
        layers += [nn.Linear(width, hidden), *norm, activation(), *dropout]
        width = hidden
    layers.append(nn.Linear(width, n_classes))
    if trial.argument("model", "init") == "matched":
        init.matched([x for x in layers if isinstance(x, nn.Linear)], activation())
    if trial.argument("model", "logit_norm"):
        layers.append(StandardizedLogits())
    return nn.Sequential(*layers)


def cnn(trial: Trial, in_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Return convolutions, each with an activation and a pooling, and two linear layers."""
    activation = activation_of(trial)
    channels, height, width = in_shape
    layers: list[nn.Module] = []
    for out_channels in trial.argument("model", "channels"):
        tail = [nn.MaxPool2d(2), activation()]
        if trial.activation not in _RISING:
            tail.reverse()
        norm = [nn.BatchNorm2d(out_channels)] if trial.argument("model", "batch_norm") else []
        layers += [nn.Conv2d(channels, out_channels, 3, padding=1), *norm, *tail]
        channels, height, width = out_channels, height // 2, width // 2
    if not height * width:
        raise HplabError(
            f"images of {in_shape[1]}x{in_shape[2]} are too small for a cnn with "
            f"{len(trial.argument('model', 'channels'))} pooling layers"
        )
    hidden = trial.argument("model", "hidden")
    if trial.argument("model", "global_pool"):
        layers.append(nn.AdaptiveAvgPool2d(1))
        height = width = 1
    layers += [nn.Flatten(), nn.Linear(channels * height * width, hidden)]
    if trial.argument("model", "hidden_batch_norm"):
        layers.append(nn.BatchNorm1d(hidden))
    layers.append(activation())
    layers += _dropout(trial, len(layers), hidden)
    return nn.Sequential(*layers, nn.Linear(hidden, n_classes))


def _dropout(trial: Trial, at: int, width: int) -> list[nn.Module]:
    """Return the trial's dropout layer for that place in the network, or nothing."""
    p = trial.argument("model", "dropout")
    return [LaneDropout(p, (width,), seed=trial.stream(f"dropout {at}"))] if p else []


def mobile(trial: Trial, in_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Return a MobileNet."""
    blocks = trial.argument("model", "blocks")
    wrong = [block for block in blocks if block >= len(shapes.BLOCKS)]
    if wrong:
        last = len(shapes.BLOCKS) - 1
        raise HplabError(f"model_args.blocks must be between 0 and {last}, got {wrong[0]}")
    return mobilenet.build(
        in_shape,
        n_classes,
        width=trial.argument("model", "width"),
        activation=activation_of(trial),
        blocks=blocks,
        mixed=trial.precision == "bf16",
    )


def last_linear(module: nn.Module) -> int:
    """Return the index of the last linear layer of a sequential network.

    Raises:
        HplabError: If the network is no plain sequence with one.
    """
    if isinstance(module, nn.Sequential):
        found = [i for i, layer in enumerate(module) if isinstance(layer, nn.Linear)]
        if found:
            return found[-1]
    raise HplabError("diagnostics need a network that is a sequence of layers with a linear one")
