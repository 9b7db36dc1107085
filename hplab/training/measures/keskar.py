"""The sharpness of Keskar and others at the end."""

from __future__ import annotations

from hplab.training.measures.protocol import Numbers, Series, View
from hplab.training.measures.sharpness import objective
from hplab.training.sharpness import PATH_EXAMPLES, worst


class Keskar:
    """Measures the largest relative rise of the loss in a small box, in percent, on some images.

    The box and the ten steps of L-BFGS-B are those of Keskar et al. (2017), who search the whole
    space as well.
    """

    def at_end(self, view: View) -> tuple[Numbers, Series]:
        found = worst.keskar(objective(view, PATH_EXAMPLES), seed=view.seed)
        return {"keskar": found.value}, {}
