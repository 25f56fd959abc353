"""Rounds of `reference.decode.fixed` as CUDA graphs: the host asks for one thing, whatever it consists of."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Replay(Protocol):
    """One round with so many slots looked at, in whatever way."""

    def round(self, end: int) -> None: ...


class Rounds(Replay, Protocol):
    """What is captured: see `reference.decode.fixed.FixedRounds`."""

    tokens: Tensor

    def saved(self) -> dict[str, Tensor]: ...

    def restore(self, saved: dict[str, Tensor]) -> None: ...


class Captured:
    """`FixedRounds.round` as one CUDA graph for each ``end``; all graphs share one pool of memory.

    A round leaves nothing in the pool that a later one reads, so the graphs may be replayed in any order. Raises
    ValueError where there is no CUDA device under the models.
    """

    def __init__(self, rounds: Rounds) -> None:
        if not rounds.tokens.is_cuda:
            raise ValueError("graphs: there is no CUDA device under these models; allowed is False")
        self._rounds = rounds
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    @property
    def ends(self) -> list[int]:
        """Those that were captured."""
        return list(self._graphs)

    def round(self, end: int) -> None:
        """Replay the round, captured at the first call with this ``end``."""
        if end not in self._graphs:
            self._graphs[end] = self._capture(end)
        self._graphs[end].replay()

    def _capture(self, end: int) -> torch.cuda.CUDAGraph:
        rounds, device = self._rounds, self._rounds.tokens.device
        saved = rounds.saved()
        with torch.cuda.device(device):
            # A first pass outside of the graph lets libraries load kernels and make their workspaces.
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                rounds.round(end)
            torch.cuda.current_stream().wait_stream(stream)
            rounds.restore(saved)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                rounds.round(end)
        return graph
