"""What is measured about a decoder, derived from its round trace and from nothing else.

>>> from specmath import metrics
>>> trace = [{"drafted": [5, 7], "accepted": 1, "emitted": [5, 8], "target_calls": 1, "draft_calls": 2, "seconds": 0.5}]
>>> metrics.block_efficiency(trace), metrics.acceptance_rate(trace)
(2.0, 0.5)
"""

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
    "acceptance_rate",
    "accepted_tokens",
    "block_efficiency",
    "draft_calls",
    "drafted_tokens",
    "emitted_tokens",
    "seconds",
    "summary",
    "target_calls",
]
