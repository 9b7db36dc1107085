"""Many networks of one architecture as one: the same layers with a leading lane dimension.

A small network leaves a processor idle: a training step of it costs tens of microseconds of
arithmetic and hundreds of overhead. A `Stack` holds the weights of many such networks ("lanes") in
one buffer and computes all of them with one call a layer: a linear layer becomes a batched matrix
product, a convolution a grouped one. Lanes never mix, so each follows the path it would follow
alone, up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase

from hplab import catalogue
from hplab.training.networks.dropout import LaneDropout
from hplab.training.networks.models import StandardizedLogits, last_linear

_OURS = (row for row in catalogue.ACTIVATIONS.values() if row.digest == catalogue.OURS)
ELEMENTWISE = tuple(row.implementation for row in _OURS)
Layer = Callable[[Tensor, list[Tensor]], Tensor]
Look = Callable[[Tensor], None]


class Single:
    """One network behind the interface of a stack with one lane.

    Args:
        module: The network, on its device.
        layout: The memory format of its weights and images.
    """

    def __init__(
        self, module: nn.Module, layout: torch.memory_format = torch.channels_last
    ) -> None:
        module = module.to(memory_format=layout)
        self.module, self.modules, self.n_lanes = module, [module], 1
        self.layout = layout
        self.parameters = list(module.parameters())
        self.drops = [layer for layer in module.modules() if isinstance(layer, LaneDropout)]
        self.head = batch_head(module)

    def draw_masks(self, n: int) -> list[Tensor]:
        """Return the next mask of each dropout layer for `n` examples, bool `(1, n, ...)`."""
        return [layer.draw(n)[None] for layer in self.drops]

    def __call__(self, images: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        """Return logits `(1, B, n_classes)` for images `(1, B, C, H, W)`.

        Masks that `draw_masks` gave are used; without them each layer draws its own.
        """
        for layer, mask in zip(self.drops, masks, strict=bool(masks)):
            layer.mask = mask[0]
        return self.module(images[0].contiguous(memory_format=self.layout))[None]

    def body(self, images: Tensor, look: Look | None = None) -> Tensor:
        """Return what the head takes, or the logits where there is no head.

        On the way `look` is given what the last linear layer is given, `(1, B, H)`.
        """
        x = images[0].contiguous(memory_format=self.layout)
        body = self.module if self.head is None else cast(nn.Sequential, self.module)[:-1]
        if look is None:
            return body(x)[None]
        cut, layers = last_linear(body), cast(nn.Sequential, body)
        hidden = layers[:cut](x)
        look(hidden[None])
        return layers[cut:](hidden)[None]

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradient of each named parameter, `(1, ...)`."""
        return {n: cast(Tensor, p.grad)[None] for n, p in self.module.named_parameters()}

    def lane(self, i: int) -> nn.Module:
        """Return the network."""
        return self.module

    def rows(self, lanes: Sequence[int]) -> list[nn.Parameter]:
        """Return what an optimizer trains for these lanes: all parameters."""
        return self.parameters

    def zero_grad(self) -> None:
        """Nothing to do: the optimizer clears the parameters' own gradients."""

    def share_gradients(self) -> None:
        """Nothing to do: autograd writes to the parameters themselves."""

    def finite(self) -> Tensor:
        """Return for each lane whether all its weights are finite, shape `(1,)`."""
        return torch.stack([torch.isfinite(p.detach()).all() for p in self.parameters]).all()[None]

    def train(self, mode: bool) -> None:
        """Switch between training and evaluation mode."""
        self.module.train(mode)

    def state_dict(self) -> dict[str, Any]:
        """Return all that an update reads or changes, and the last gradients, for a checkpoint."""
        gradients = [p.grad for p in self.parameters]
        own = {"module": self.module.state_dict(), "gradients": gradients}
        return own | {"dropout": _dropout_states(self.modules)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave for a network of this architecture."""
        self.module.load_state_dict(state["module"])
        for p, gradient in zip(self.parameters, state["gradients"], strict=True):
            p.grad = gradient
        _set_dropout_states(self.modules, state["dropout"])


class Stack:
    """Networks of one architecture, trained side by side.

    Args:
        modules: `nn.Sequential`s with the same layers and shapes, on one device. They are copied.
        layout: The memory format of images.
        unfolds: Whether convolutions in training are matrix products over unfolded images instead
            of grouped convolutions. Measuring never is: it takes many more images at once.

    Raises:
        TypeError: If a layer has no batched form (see `stackable`).
    """

    def __init__(
        self,
        modules: Sequence[nn.Sequential],
        layout: torch.memory_format = torch.channels_last,
        *,
        unfolds: bool = False,
    ) -> None:
        self.modules, self.n_lanes, self.layout = list(modules), len(modules), layout
        self.shapes = [tuple(p.shape) for p in modules[0].parameters()]
        self.sizes = [p.numel() for p in modules[0].parameters()]
        vectors = [torch.cat([p.detach().flatten() for p in m.parameters()]) for m in modules]
        self.flat = torch.stack(vectors).requires_grad_()
        self.layers = [_batched(layers, unfolds) for layers in zip(*modules, strict=True)]
        self.drops = [layer for _, layer in self.layers if isinstance(layer, _Dropout)]
        self.slices: list[tuple[slice, nn.Parameter]] = []
        self.head = batch_head(modules[0])

    def draw_masks(self, n: int) -> list[Tensor]:
        """Return the next mask of each dropout layer for `n` examples, bool `(M, n, ...)`."""
        return [layer.draw(n) for layer in self.drops]

    def __call__(self, images: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        """Return logits `(M, B, n_classes)` for images `(M, B, C, H, W)`, one batch a lane.

        Masks that `draw_masks` gave are used; without them each layer draws its own.
        """
        for layer, mask in zip(self.drops, masks, strict=bool(masks)):
            layer.mask = mask
        x = self.body(images)
        return x if self.head is None else self.head(x)

    def body(self, images: Tensor, look: Look | None = None) -> Tensor:
        """Return what the head takes, or the logits where there is no head.

        On the way `look` is given what the last linear layer is given, `(M, B, H)`.
        """
        cut = None if look is None else last_linear(self.modules[0])
        pieces = self.flat.split(self.sizes, dim=1)
        weights = [p.view(self.n_lanes, *s) for p, s in zip(pieces, self.shapes, strict=True)]
        x = images.transpose(0, 1).flatten(1, 2).contiguous(memory_format=self.layout)
        for at, (n_weights, layer) in enumerate(self.layers[: -1 if self.head else None]):
            if look is not None and at == cut:
                look(x)
            x = layer(x, weights[:n_weights])
            weights = weights[n_weights:]
        return x

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradient of each named parameter, `(M, ...)`."""
        names = [name for name, _ in self.modules[0].named_parameters()]
        gradient = cast(Tensor, self.flat.grad)
        pieces = zip(gradient.split(self.sizes, dim=1), self.shapes, strict=True)
        views = [piece.reshape(self.n_lanes, *shape) for piece, shape in pieces]
        return dict(zip(names, views, strict=True))

    def lane(self, i: int) -> nn.Module:
        """Return network `i` with its present weights and running statistics."""
        module = self.modules[i]
        nn.utils.vector_to_parameters(self.flat.detach()[i].clone(), module.parameters())
        for at, (_, layer) in enumerate(self.layers):
            if isinstance(layer, _BatchNorm):
                layer.copy_to(module[at], i)
        return module

    def rows(self, lanes: Sequence[int]) -> list[nn.Parameter]:
        """Return what an optimizer trains for these lanes, which must be neighbours.

        The parameter is a view: an optimizer's step on it moves the stack's own weights.
        """
        part = slice(lanes[0], lanes[-1] + 1)
        parameter = nn.Parameter(self.flat.detach()[part])
        self.slices.append((part, parameter))
        return [parameter]

    def zero_grad(self) -> None:
        """Forget the gradient of the buffer."""
        self.flat.grad = None

    def share_gradients(self) -> None:
        """Hand each optimizer group its rows of the gradient, without a copy."""
        for part, parameter in self.slices:
            parameter.grad = cast(Tensor, self.flat.grad)[part]

    def finite(self) -> Tensor:
        """Return for each lane whether all its weights are finite, shape `(M,)`."""
        return torch.isfinite(self.flat.detach()).all(dim=1)

    def train(self, mode: bool) -> None:
        """Switch between training and evaluation mode."""
        for module in self.modules:
            module.train(mode)

    def state_dict(self) -> dict[str, Any]:
        """Return all that an update reads or changes, and the last gradients, for a checkpoint."""
        statistics = [norm.statistics for norm in self._norms]
        own = {"flat": self.flat.detach(), "gradient": self.flat.grad, "statistics": statistics}
        return own | {"dropout": _dropout_states(self.modules)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave for networks of this architecture."""
        self.flat.detach().copy_(state["flat"])
        self.flat.grad = state["gradient"]
        for norm, saved in zip(self._norms, state["statistics"], strict=True):
            for mine, value in zip(norm.statistics, saved, strict=True):
                mine.copy_(value)
        _set_dropout_states(self.modules, state["dropout"])

    @property
    def _norms(self) -> list[_BatchNorm]:
        return [layer for _, layer in self.layers if isinstance(layer, _BatchNorm)]


def _dropouts(modules: Sequence[nn.Module]) -> list[LaneDropout]:
    return [layer for net in modules for layer in net.modules() if isinstance(layer, LaneDropout)]


def _dropout_states(modules: Sequence[nn.Module]) -> list[Tensor]:
    return [layer.stream.get_state() for layer in _dropouts(modules)]


def _set_dropout_states(modules: Sequence[nn.Module], states: Sequence[Tensor]) -> None:
    for layer, state in zip(_dropouts(modules), states, strict=True):
        layer.stream.set_state(state)


def batch_head(module: nn.Module) -> StandardizedLogits | None:
    """Return the last layer if it mixes the examples of a batch: it has to see them all at once."""
    last = module[-1] if isinstance(module, nn.Sequential) and len(module) else None
    return last if isinstance(last, StandardizedLogits) else None


def stackable(module: nn.Module) -> TypeGuard[nn.Sequential]:
    """Return whether every layer of a network has a batched form.

    Layers that share weights, that others hook into, whose methods an instance has replaced, or
    whose weights stay as they are have none.
    """
    if type(module) is not nn.Sequential or not all(map(_has_batched_form, module)):
        return False
    weights = [p for layer in module for p in layer.parameters()]
    changed = any(_is_changed(m) for m in (module, *module)) or any(
        p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in weights
    )
    trained = all(p.requires_grad for p in weights)
    # A stack keeps the examples of a lane in the second dimension before the flattening.
    flattened = False
    for layer in module:
        if isinstance(layer, nn.LogSoftmax) and not flattened:
            return False
        flattened |= isinstance(layer, nn.Flatten)
    return trained and not changed and len(weights) == len(list(module.parameters()))


def obstacle(module: nn.Module) -> str:
    """Return why a network is not `stackable`, in words."""
    if type(module) is not nn.Sequential:
        return f"a {type(module).__name__} is not a plain nn.Sequential"
    without = [type(layer).__name__ for layer in module if not _has_batched_form(layer)]
    if without:
        return f"{without[0]} has no stacked form"
    return "its layers share weights, are hooked into, or do not all train"


def agree(one: nn.Sequential, other: nn.Module, images: Tensor) -> bool:
    """Return whether two networks compute the same in a stack as alone, and have equal gradients.

    Args:
        one: A network that is `stackable`.
        other: Another one of its model.
        images: uint8 `(N, C, H, W)`.
    """
    if not stackable(other) or str(one) != str(other):
        return False
    alone = [copy.deepcopy(net).cpu().double().train() for net in (one, other)]
    stack = Stack(copy.deepcopy(alone))
    x = images.cpu().double() / 255
    together = stack(x[None].expand(2, *x.shape))
    together.square().sum().backward()
    for i, net in enumerate(alone):
        logits = net(x)
        logits.square().sum().backward()
        gradient = torch.cat([cast(Tensor, p.grad).flatten() for p in net.parameters()])
        pairs = ((together[i], logits), (cast(Tensor, stack.flat.grad)[i], gradient))
        if not all(torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in pairs):
            return False
    return True


def _is_changed(module: nn.Module) -> bool:
    """Return whether hooks or replaced methods make a module compute something else."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    replaced = any(callable(getattr(type(module), name, None)) for name in vars(module))
    return replaced or any(vars(module).get(name) for name in hooks)


_PLAIN = (
    nn.Flatten,
    nn.Linear,
    nn.Conv2d,
    nn.MaxPool2d,
    nn.AdaptiveAvgPool2d,
    StandardizedLogits,
    *ELEMENTWISE,
)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def _has_batched_form(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        return False
    if isinstance(layer, nn.LogSoftmax):
        return layer.dim in (1, -1)
    if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) != (1, -1):
        return False
    return type(layer) in (*_PLAIN, *_NORMS, LaneDropout)


def _batched(layers: Sequence[nn.Module], unfolds: bool) -> tuple[int, Layer]:
    """Return how many weights a layer takes, and the layer of all networks at once.

    Before the flattening a value has shape `(B, M * C, H, W)`, after it `(M, B, F)`.
    """
    layer, n_lanes = layers[0], len(layers)
    if not _has_batched_form(layer):
        raise TypeError(f"no batched form for {type(layer).__name__}")
    n_weights = len(list(layer.parameters()))
    if isinstance(layer, nn.Conv2d):
        return n_weights, lambda x, w: _convolve(layer, x, w, n_lanes, unfolds)
    if isinstance(layer, nn.Flatten):
        return 0, lambda x, _: x.unflatten(1, (n_lanes, -1)).transpose(0, 1).flatten(2)
    if isinstance(layer, nn.Linear):
        return n_weights, _linear
    if isinstance(layer, _NORMS):
        return n_weights, _BatchNorm(cast(Sequence[_NormBase], layers))
    if isinstance(layer, LaneDropout):
        return 0, _Dropout(cast(Sequence[LaneDropout], layers))
    if isinstance(layer, nn.LogSoftmax):
        return 0, lambda x, _: functional.log_softmax(x, dim=2)
    return 0, lambda x, _: layer(x)


def _convolve(
    layer: nn.Conv2d, x: Tensor, weights: list[Tensor], n_lanes: int, unfolds: bool
) -> Tensor:
    weight, *bias = (w.flatten(0, 1) for w in weights)
    stride, padding, groups = layer.stride, layer.padding, n_lanes * layer.groups
    own = bias[0] if bias else None
    if unfolds and layer.training and not isinstance(padding, str):
        return _unfolded(layer, x, weight, own, groups)
    return functional.conv2d(x, weight, own, stride, padding, layer.dilation, groups)


def _unfolded(
    layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int
) -> Tensor:
    """Return a grouped convolution, computed as one matrix product a group."""
    size, dilation, stride = layer.kernel_size, layer.dilation, layer.stride
    padding = cast(tuple[int, int], layer.padding)
    patches = functional.unfold(x, size, dilation, padding, stride)  # (B, groups * K, L)
    n, n_places = len(x), patches.shape[2]
    patches = patches.view(n, groups, -1, n_places).permute(1, 2, 0, 3).flatten(2)
    weights = weight.flatten(1).unflatten(0, (groups, -1))
    if bias is None:
        made = weights @ patches  # (groups, channels, B * L)
    else:
        made = torch.baddbmm(bias.view(groups, -1, 1), weights, patches)
    made = made.view(len(weight), n, n_places).transpose(0, 1)
    height = (x.shape[2] + 2 * padding[0] - dilation[0] * (size[0] - 1) - 1) // stride[0] + 1
    return made.unflatten(2, (height, -1))


def _linear(x: Tensor, weights: list[Tensor]) -> Tensor:
    if len(weights) == 1:
        return x @ weights[0].transpose(1, 2)
    return torch.baddbmm(weights[1].unsqueeze(1), x, weights[0].transpose(1, 2))


class _Dropout:
    """Dropout of all lanes; `mask` holds those of the next pass, if they are drawn already."""

    def __init__(self, layers: Sequence[LaneDropout]) -> None:
        self.layers = layers
        self.mask: Tensor | None = None

    def draw(self, n: int) -> Tensor:
        """Return which values of each lane's next `n` examples are kept, bool `(M, n, ...)`."""
        return torch.stack([layer.draw(n) for layer in self.layers])

    def __call__(self, x: Tensor, weights: list[Tensor]) -> Tensor:
        if not self.layers[0].training:
            return x
        lanes_first = x.dim() == 3
        kept, self.mask = self.mask, None
        kept = self.draw(x.shape[1] if lanes_first else len(x)) if kept is None else kept
        return self.layers[0].drop(x, kept if lanes_first else kept.transpose(0, 1).flatten(1, 2))


class _BatchNorm:
    """Batch normalisation of all lanes: one of `M * C` channels, with everyone's own statistics."""

    def __init__(self, layers: Sequence[_NormBase]) -> None:
        self.layers = layers
        self.tracks = layers[0].track_running_stats
        self.mean: Tensor | None = None
        self.var: Tensor | None = None
        if self.tracks:
            self.mean = torch.cat([layer.get_buffer("running_mean") for layer in layers])
            self.var = torch.cat([layer.get_buffer("running_var") for layer in layers])
            self.n_batches = layers[0].get_buffer("num_batches_tracked").clone()

    def __call__(self, x: Tensor, weights: list[Tensor]) -> Tensor:
        layer = self.layers[0]
        batch_statistics = layer.training or not self.tracks
        momentum = layer.momentum
        if layer.training and self.tracks:
            self.n_batches += 1
            if momentum is None:  # a cumulative mean
                momentum = 1.0 / float(self.n_batches)
        scale, shift = (w.flatten() for w in weights) if weights else (None, None)
        lanes_first = x.dim() == 3
        flat = x.transpose(0, 1).flatten(1) if lanes_first else x
        y = functional.batch_norm(
            flat, self.mean, self.var, scale, shift, batch_statistics, momentum or 0.0, layer.eps
        )
        return y.unflatten(1, (len(self.layers), -1)).transpose(0, 1) if lanes_first else y

    @property
    def statistics(self) -> list[Tensor]:
        """The running statistics of all lanes, none where the layers keep none."""
        if self.mean is None or self.var is None:
            return []
        return [self.mean, self.var, self.n_batches]

    def copy_to(self, layer: nn.Module, lane: int) -> None:
        """Write one lane's running statistics into its own layer."""
        for name, values in (("running_mean", self.mean), ("running_var", self.var)):
            if values is not None:
                layer.get_buffer(name).copy_(values.view(len(self.layers), -1)[lane])
        if self.tracks:
            layer.get_buffer("num_batches_tracked").copy_(self.n_batches)
