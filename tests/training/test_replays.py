"""Replayed updates are the updates themselves: a CUDA graph, imitated on the CPU.

The imitation records the operators of one update with the very tensors they ran on, and a replay
runs them again, without a line of Python. What an update reads that is neither one of its inputs
nor a tensor that stays where it is keeps the value it had at the recording, as on a card.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hplab.catalogue import LOSSES, OPTIMIZERS
from hplab.training import graphs, loop, updates
from hplab.trial import Trial

BASE = Trial(
    data="digits", model="mlp", epochs=5, batch_size=24, optimizer="adagrad", lr=0.02
)  # 5 whole batches, one of 8: its fourth is recorded in the fourth epoch
CNN = {"model": "cnn", "model_args": {"channels": [3, 4], "hidden": 8}}
KINDS = {
    "mlp": {},
    "cnn": CNN,
    "batch norm": {"model": "cnn", "model_args": CNN["model_args"] | {"batch_norm": True}},
    "standardized logits": {"model_args": {"hidden": [12, 8], "logit_norm": True}},
    "dropout": {"model_args": {"hidden": [12, 8], "dropout": 0.3}},
    "augmented dropout": CNN
    | {"model_args": CNN["model_args"] | {"dropout": 0.5}}
    | {"augment": {"crop": 1, "flip": 0.5, "rotate": 10.0}},
    "momentum": {"optimizer": "sgd", "optimizer_args": {"momentum": 0.9}},
    "a schedule": {"schedule": "cosine"},
    "some images": {"n_train": 72},
    "bf16": {"precision": "bf16"},
    **{loss: {"loss": loss} for loss in LOSSES},
    **{
        name: {"optimizer": name, "schedule": "cosine", "weight_decay": 1e-2}
        for name in OPTIMIZERS
        if name != "rmsprop"  # only on a card does torch's keep all its numbers in tensors
    },
    "diagnostics": CNN | {"measure": ("diagnostics", "probes", "confusion", "steps")},
}
# What a card refuses to record: a number or a random number that comes from the CPU.
REFUSED = ("_local_scalar_dense", "lift_fresh", "nonzero", "rand", "randperm", "randint", "randn")


class Tape(TorchDispatchMode):
    """Records operators, and runs them again on the same tensors."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        options = options or {}
        if operation.overloadpacket.__name__ in REFUSED:
            raise RuntimeError(f"operation not permitted when stream is capturing: {operation}")
        made = operation(*arguments, **options)
        if not operation.is_view:
            self.calls.append((operation, arguments, options, made))
        return made

    @torch.no_grad()
    def replay(self):
        for operation, arguments, options, made in self.calls:
            anew = operation(*arguments, **options)
            several = isinstance(made, tuple | list)
            for old, new in zip(made, anew, strict=True) if several else [(made, anew)]:
                if isinstance(old, torch.Tensor) and old is not new:
                    old.copy_(new)


class Taped(graphs.Captured):
    """Records as `graphs.Captured` does, on a tape."""

    def _aside(self, inputs):
        return self.step(*inputs)

    def _record(self, shape, inputs):
        places, tape = [x.clone() for x in inputs], Tape()
        with tape:
            outputs = self.step(*places)
        self.graphs[shape] = tape, places, outputs
        return outputs  # unlike on a card, recording has made the step


@pytest.fixture
def recordings(monkeypatch):
    """Record every run on tapes, and note them."""
    made = []

    class Noted(Taped):
        def __init__(self, step):
            super().__init__(step)
            made.append(self)

    monkeypatch.setattr(graphs, "Captured", Noted)
    monkeypatch.setattr(graphs, "can_capture", lambda *_: True)
    return made


@pytest.mark.parametrize("n_lanes", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_update_is_replayed_bit_for_bit(
    stripes, recordings, monkeypatch, kind, n_lanes
):
    base = BASE.replace(**KINDS[kind])
    trials = [base.replace(seed=i, lr=base.lr * (1 + i)) for i in range(n_lanes)]

    replayed = loop.train_lanes(trials, stripes)
    monkeypatch.setattr(graphs.Captured, "__call__", lambda self, *inputs: self.step(*inputs))
    made = loop.train_lanes(trials, stripes)
    monkeypatch.setattr(graphs, "can_capture", lambda *_: False)
    plain = loop.train_lanes(trials, stripes)

    recording = recordings[0]
    assert recording.refusal is None
    assert len(recording.graphs) == (1 if base.n_train else 2)
    for one, other, usual in zip(replayed, made, plain, strict=True):
        assert one.curves == other.curves
        assert one.curves["running_loss"] == pytest.approx(usual.curves["running_loss"], rel=1e-3)
        pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
        assert all(torch.equal(p, q) for p, q in pairs)


def test_an_update_that_draws_on_the_processor_is_refused_and_made_all_the_same(
    stripes, recordings, monkeypatch, capsys
):
    """As dropout would if its masks were not drawn before."""
    base = BASE.replace(**KINDS["dropout"])
    plain = updates.Updates.update
    wanted = loop.train(base, stripes).curves

    def drawing(self, batch, *drawn):
        return plain(self, batch)

    monkeypatch.setattr(updates.Updates, "update", drawing)
    monkeypatch.setattr(loop.lanes.Single, "draw_masks", lambda self, n: [])
    found = loop.train(base, stripes)

    assert "not permitted" in found.eager
    assert "aten.rand" in found.eager
    assert capsys.readouterr().out.count("cannot be recorded") == 1
    assert found.curves == wanted
