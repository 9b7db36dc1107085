"""Live units after early steps: when do units die?"""

from __future__ import annotations

import torch

from hplab.training.evaluation import Watch
from hplab.training.measures.protocol import Run

PROBE_STEPS = (1, 2, 5, 10, 20, 50)  # early updates after which live units are counted
N_PROBE = 400  # training images, evenly spread, on which they are counted


class Probes:
    """Counts live units on some training images after early steps and the last of every epoch."""

    @torch.inference_mode()
    def on_step(self, run: Run, is_last: bool) -> None:
        if not is_last and run.step not in PROBE_STEPS:
            return
        n = len(run.labels)
        rows = torch.linspace(0, n - 1, min(n, N_PROBE)).long()
        watch = Watch(len(run.lanes))
        run.network.train(False)
        run.evaluate(run.images[rows], run.labels[rows], watch=watch)
        run.network.train(True)
        live = watch.live_units()
        for lane in run.going:
            lane.extend("probe_step", [run.step])
            lane.extend("probe_live_units", [live[lane.index]])
