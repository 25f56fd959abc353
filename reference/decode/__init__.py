"""Decoders: the same text law, with one target call per token or per round.

>>> from reference import decode
>>> from reference.models.table import TableModel
>>> coin = TableModel(lambda prefix: [0.5, 0.5], 2)
>>> options = decode.Options(max_tokens=8, seed=1)
>>> [len(one.emitted) for one in decode.chain(coin, coin, [0], draft_length=3, options=options).rounds]
[4, 4]
"""

from reference.decode.autoregressive import autoregressive, autoregressive_rounds
from reference.decode.chain import chain, chain_rounds
from reference.decode.coupled import coupled, coupled_rounds
from reference.decode.options import Options
from reference.decode.paths import paths, paths_rounds
from reference.decode.trace import Decoded, Round, StopReason, collect

__all__ = [
    "Decoded",
    "Options",
    "Round",
    "StopReason",
    "autoregressive",
    "autoregressive_rounds",
    "chain",
    "chain_rounds",
    "collect",
    "coupled",
    "coupled_rounds",
    "paths",
    "paths_rounds",
]
