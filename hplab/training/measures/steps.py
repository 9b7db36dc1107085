"""What every update did."""

from __future__ import annotations

from torch import Tensor

from hplab.training.measures.protocol import Run


class Steps:
    """Notes the loss and the learning rate of every update."""

    def after_updates(self, run: Run, losses: Tensor, rates: list[list[float]]) -> None:
        for lane in run.going:
            lane.extend("step_loss", losses[:, lane.index].tolist())
            lane.extend("step_lr", [row[lane.index] for row in rates])
