"""An event-level simulator of a server: acceptance processes, policies, trees, requests, batches, overlap.

It leaves the decoder's round trace, so the same metrics and plans serve both.

>>> from specmath import metrics, simulate
>>> from specmath.stopping import Constant
>>> found = simulate.simulate(4, Constant(0.8), 0.05, simulate.poisson(20, 0.02), batch=4)
>>> len(found.requests), metrics.emitted_tokens(found.trace) == found.tokens == 4000
(20, True)
"""

from specmath.simulate.engine import simulate
from specmath.simulate.overlap import Dsi, Overlap, Overlapped, Pearl
from specmath.simulate.requests import Request, poisson
from specmath.simulate.result import Result, Served, Span, Step
from specmath.simulate.timing import Timing
from specmath.simulate.trace import DRAFT, OWN, STOP, Round

__all__ = [
    "DRAFT",
    "OWN",
    "STOP",
    "Dsi",
    "Overlap",
    "Overlapped",
    "Pearl",
    "Request",
    "Result",
    "Round",
    "Served",
    "Span",
    "Step",
    "Timing",
    "poisson",
    "simulate",
]
