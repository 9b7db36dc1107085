"""What a network costs is counted before it is built as it is when it is there."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hplab.catalogue import MODELS
from hplab.training.networks import models, shapes
from hplab.trial import HplabError, Trial

NETWORKS = [
    ("mlp", {}),
    ("mlp", {"hidden": [7]}),
    ("mlp", {"hidden": [30, 20, 10], "batch_norm": True, "dropout": 0.3, "logit_norm": True}),
    ("mlp", {"hidden": [9, 9], "init": "matched"}),
    ("cnn", {}),
    ("cnn", {"channels": [5], "hidden": 3, "batch_norm": True}),
    ("cnn", {"channels": [4, 6, 8], "hidden_batch_norm": True, "dropout": 0.1}),
    ("cnn", {"channels": [4, 6], "global_pool": True}),
    ("mobilenet", {"width": 0.25}),
    ("mobilenet", {"width": 0.01, "blocks": [0, 12]}),
]


@pytest.mark.parametrize(("model", "model_args"), NETWORKS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 17, 28)])
def test_a_network_costs_what_torch_counts(model, model_args, shape):
    trial = Trial(data="digits", model=model, model_args=model_args, activation="gelu")
    network = models.build(trial, shape, 10).eval()
    with FlopCounterMode(display=False) as counted:
        network(torch.zeros(1, *shape))

    found = shapes.cost(trial, shape, 10)

    assert found.n_parameters == sum(p.numel() for p in network.parameters())
    assert found.flops == counted.get_total_flops()
    assert found.convolves == any(isinstance(layer, nn.Conv2d) for layer in network.modules())


def test_every_model_that_is_counted_is_counted_above():
    assert {model for model, _ in NETWORKS} == shapes._COUNTED.keys() <= set(MODELS)


@pytest.mark.parametrize(
    ("model", "model_args"),
    [("cnn", {"channels": [4, 4, 4, 4]}), ("mobilenet", {"blocks": [3, 13]})],
)
def test_a_network_that_cannot_be_built_is_not_counted(model, model_args):
    """Building it is what says why."""
    trial = Trial(data="digits", model=model, model_args=model_args)

    assert shapes.cost(trial, (1, 8, 8), 10) is None
    with pytest.raises(HplabError):
        models.build(trial, (1, 8, 8), 10)
