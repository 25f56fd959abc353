"""What is measured about a decoder, derived from its round trace and from nothing else.

>>> from specmath import metrics
>>> trace = [{"drafted": [5, 7], "accepted": 1, "emitted": [5, 8], "target_calls": 1, "draft_calls": 2, "seconds": 0.5}]
>>> metrics.block_efficiency(trace), metrics.acceptance_rate(trace)
(2.0, 0.5)
>>> metrics.conditional_acceptance(trace), metrics.discard_rate(trace)
([1.0, 0.0], 0.5)
"""

from specmath.metrics import convert, engines
from specmath.metrics.convert import mbsu, request_mean, token_mean
from specmath.metrics.interval import Interval, cluster_bootstrap, wilson
from specmath.metrics.position import (
    PositionCounts,
    accepted_length,
    by_request,
    conditional_acceptance,
    discard_rate,
    position_counts,
    token_acceptance,
    truncated,
    truncated_rounds,
    unconditional_acceptance,
    verification_rate,
)
from specmath.metrics.trace import (
    acceptance_rate,
    accepted_tokens,
    block_efficiency,
    draft_calls,
    drafted_tokens,
    emitted_tokens,
    seconds,
    summary,
    target_calls,
)

__all__ = [
    "Interval",
    "PositionCounts",
    "acceptance_rate",
    "accepted_length",
    "accepted_tokens",
    "block_efficiency",
    "by_request",
    "cluster_bootstrap",
    "conditional_acceptance",
    "convert",
    "discard_rate",
    "draft_calls",
    "drafted_tokens",
    "emitted_tokens",
    "engines",
    "mbsu",
    "position_counts",
    "request_mean",
    "seconds",
    "summary",
    "target_calls",
    "token_acceptance",
    "token_mean",
    "truncated",
    "truncated_rounds",
    "unconditional_acceptance",
    "verification_rate",
    "wilson",
]
