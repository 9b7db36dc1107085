"""The curvature of the loss at the end: trace and largest eigenvalue of the Hessian."""

from __future__ import annotations

from hplab.training.measures.protocol import Numbers, Series, View
from hplab.training.measures.sharpness import objective
from hplab.training.sharpness import PATH_EXAMPLES, hessian

N_PROBES, N_LANCZOS = 8, 12


class Curvature:
    """Measures the trace and the largest eigenvalue of the Hessian on some training images."""

    def at_end(self, view: View) -> tuple[Numbers, Series]:
        loss = objective(view, PATH_EXAMPLES)
        trace = hessian.hessian_trace(loss, n_probes=N_PROBES, seed=view.seed)
        top = hessian.top_eigenvalues(loss, n_steps=N_LANCZOS, seed=view.seed)
        return {
            "hessian_trace": trace.value,
            "hessian_trace_se": trace.se,
            "hessian_top": float(top.values[0]),
            "hessian_top_bound": float(top.bounds[0]),
        }, {}
