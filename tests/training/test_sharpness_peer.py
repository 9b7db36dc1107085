"""The Hessian by an independent implementation, where one is installed (pip install --no-deps)."""

import pytest
import torch
from torch import nn

from hplab.training import sharpness as sh

curvlinops = pytest.importorskip("curvlinops", reason="curvlinops-for-pytorch is not installed")


@pytest.fixture
def both():
    """A small network as an objective of ours and as a linear operator of theirs."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5)).double()
    x, y = torch.randn(40, 6).double(), torch.arange(40) % 5
    ours = sh.Objective(model, x, y, batch_norm="running", chunk=16)
    theirs = curvlinops.HessianLinearOperator(
        model, nn.CrossEntropyLoss(reduction="mean"), list(model.parameters()), [(x, y)]
    )
    return ours, theirs


def test_products_trace_and_eigenvalues_agree_with_curvlinops(both):
    ours, theirs = both
    dense = theirs @ torch.eye(ours.dim).double()
    v = torch.randn(ours.dim, generator=torch.Generator().manual_seed(1)).double()

    assert torch.allclose(sh.hessian_vector_product(ours, v), theirs @ v, rtol=1e-8, atol=1e-12)
    trace = sh.hessian_trace(ours, n_probes=200)
    assert abs(trace.value - float(dense.trace())) < 4 * trace.se
    exact = torch.linalg.eigvalsh(dense.detach()).flip(0)[:3].numpy()
    assert sh.top_eigenvalues(ours, k=3, n_steps=60).values == pytest.approx(exact, rel=1e-7)
