"""The confusion matrix of the validation images."""

from __future__ import annotations

from hplab.training.evaluation import Watch
from hplab.training.measures.protocol import Numbers, Run, Series, View


class Confusion:
    """Keeps the confusion matrix of the last epoch."""

    def __init__(self) -> None:
        self.matrices: dict[int, list[int]] = {}

    def on_eval(self, run: Run, on_train: Watch, on_val: Watch) -> None:
        matrices = on_val.matrix()
        self.matrices |= {lane.index: matrices[lane.index] for lane in run.going}

    def at_end(self, view: View) -> tuple[Numbers, Series]:
        return {}, {"confusion": self.matrices[view.lane.index]}
