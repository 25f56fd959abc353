"""A static tree as tensors: everything a round of fixed shapes needs that does not change from round to round.

Shapes: B rows, N nodes, D depth. In tensors with N + 1 entries the text's last token is entry 0, node i entry i + 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.drafters.shapes import Tree


class FixedTree:
    """N nodes in D levels; no tree (None) is the tree without nodes."""

    def __init__(self, tree: Tree | None, device: torch.device) -> None:
        self.parents = () if tree is None else tree.parents
        self.below = {-1: ()} if tree is None else tree.below
        depths = () if tree is None else tree.depths
        self.nodes, self.depth = len(self.parents), max(depths, default=0)
        self.levels = [[i for i, own in enumerate(depths) if own == d] for d in range(1, self.depth + 1)]
        self.inside = [[node for node in level if self.below[node]] for level in self.levels]  # those with children
        seen = torch.eye(self.nodes + 1, dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            seen[node + 1] |= seen[parent + 1]
        self.seen = seen.to(device)  # (N + 1, N + 1): ancestors and itself
        self.depths = torch.tensor((0, *depths), device=device)  # (N + 1,)
        self.steps = torch.arange(self.depth + 1, device=device)
        self._above = torch.tensor([parent + 1 for parent in self.parents], dtype=torch.int64, device=device)
        self._at = [torch.tensor(level, device=device) for level in self.levels]
        self._level = [neighbours(level, own) for level, own in zip(self.levels, self._at, strict=True)]
        self._before = [torch.tensor([self.parents[node] for node in level], device=device) for level in self.levels]
        self._asked = [torch.tensor(inside, dtype=torch.int64) for inside in self.inside]
        self._asked_see = [seen[1:, 1:][inside][None].to(device) for inside in self._asked]
        self._asked = [inside.to(device) for inside in self._asked]
        self._inside = [neighbours(inside, own) for inside, own in zip(self.inside, self._asked, strict=True)]
        self._picks = [self._places(depth).to(device) for depth in range(self.depth)]
        # every node with children has one, and they stand in the order of their parents
        self._single = [
            self._places(depth).tolist() == [[*range(len(own))], [0] * len(own)]
            for depth, own in enumerate(self.levels)
        ]

    def _places(self, depth: int) -> Tensor:
        """For each node of a level its parent's place among those with children, and its rank below it, (2, M)."""
        owners = [-1] if depth == 0 else self.inside[depth - 1]
        pairs = [(place, rank) for place, node in enumerate(owners) for rank in range(len(self.below[node]))]
        order = [child for node in owners for child in self.below[node]]
        return torch.tensor([pairs[order.index(node)] for node in self.levels[depth]]).t()

    def asked(self, depth: int) -> tuple[Tensor, Tensor, Tensor | slice]:
        """Nodes of level ``depth`` (from 1) whose children are drafted (F,), which nodes they see (1, F, N), and the
        nodes once more as an index."""
        return self._asked[depth - 1], self._asked_see[depth - 1], self._inside[depth - 1]

    def pick(self, scores: Tensor, depth: int) -> Tensor:
        """Tokens (B, M) of the next level from scores (B, F, V) of its parents: each node the one of its rank.

        Of equal scores the lower token comes first, which `Tensor.topk` does not promise. Overwrites ``scores``.
        """
        if self._single[depth]:
            return scores.argmax(dim=-1)
        owner, rank = self._picks[depth]
        most = max(len(self.below[node]) for node in ([-1] if depth == 0 else self.inside[depth - 1]))
        found = [scores.argmax(dim=-1)]  # (B, F)
        while len(found) < most:
            scores.scatter_(-1, found[-1][..., None], -torch.inf)
            found.append(scores.argmax(dim=-1))
        return torch.stack(found, dim=-1)[:, owner, rank]

    def at(self, depth: int) -> Tensor | slice:
        """Nodes of the level below ``depth``, (M,)."""
        return self._level[depth]

    def keep(self, drafted: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The path on which every node is what was chosen above it.

        drafted (B, N), chosen (B, N + 1), siblings all different. Returns the path's nodes (B, D), filled up with
        path[j] = j behind its end; its length (B,); and its last node as an entry of N + 1 (B,), 0 without any.
        """
        rows = drafted.shape[0]
        length = torch.zeros(rows, dtype=torch.int64, device=drafted.device)
        last, path = torch.zeros_like(length), self.steps[: self.depth].repeat(rows, 1)
        if not self.nodes:
            return path, length, last
        fits = drafted == chosen[:, self._above]  # (B, N)
        for depth, (level, before) in enumerate(zip(self._at, self._before, strict=True)):
            if depth:
                fits[:, level] &= fits[:, before]
            here = fits[:, level]  # (B, M), at most one of them
            found, node = here.any(dim=1), level[here.to(torch.int64).argmax(dim=1)]
            path[:, depth] = torch.where(found, node, path[:, depth])
            last = torch.where(found, node + 1, last)
            length += found
        return path, length, last


def neighbours(numbers: list[int], index: Tensor) -> Tensor | slice:
    """A slice where the numbers follow each other, which is read and written without an index; else ``index``."""
    first = numbers[0] if numbers else 0
    return slice(first, first + len(numbers)) if numbers == list(range(first, first + len(numbers))) else index
