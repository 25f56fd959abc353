"""Decoders: the same text, with one target call per token or per round, alone or in a batch.

>>> from reference import decode
>>> from reference.models.table import TableModel
>>> coin = TableModel(lambda prefix: [0.5, 0.5], 2)
>>> options = decode.Options(max_tokens=8, seed=1)
>>> [len(one.emitted) for one in decode.chain(coin, coin, [0], draft_length=3, options=options).rounds]
[4, 4]
"""

from reference.decode.batched import Batch, Event, batched, batched_events
from reference.decode.loop import Stream
from reference.decode.options import Options
from reference.decode.request import Request, Saved
from reference.decode.single import autoregressive, chain, resume, stream, tree
from reference.decode.trace import Decoded, Failure, Round, StopReason, collect

__all__ = [
    "Batch",
    "Decoded",
    "Event",
    "Failure",
    "Options",
    "Request",
    "Round",
    "Saved",
    "StopReason",
    "Stream",
    "autoregressive",
    "batched",
    "batched_events",
    "chain",
    "collect",
    "resume",
    "stream",
    "tree",
]
