"""Draft trees as research code has them: a row of tokens for every leaf, padded, with the logits along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PAD = -1


@dataclass(frozen=True)
class Paths:
    """Root-to-leaf paths of a tree.

    Attributes
    ----------
    nodes : node of each path at each depth, root first; -1 pads shorter paths. Row 0 of the laws is the root, so node i
        has row i + 1.
    """

    nodes: tuple[tuple[int, ...], ...]

    @property
    def depth(self) -> int:
        """Tokens on the longest path, the root's own not counted."""
        return len(self.nodes[0])

    def candidates(self, tokens: Any, root: int = 0) -> Any:
        """Tokens (paths, depth + 1) with that of the root in front, which is accepted already."""
        import torch

        rows = [[root, *(int(tokens[i]) if i >= 0 else PAD for i in path)] for path in self.nodes]
        return torch.tensor(rows, dtype=torch.int64)

    def rows(self, laws: Any) -> Any:
        """Laws (N + 1, V) -> (paths, depth + 1, V); the pads have the last law, as an index of -1 gives it."""
        import torch

        index = [[0, *(i + 1 if i >= 0 else -1 for i in path)] for path in self.nodes]
        return laws[torch.tensor(index)]


def paths(parents: Any) -> Paths:
    """The paths of a tree, given the parent of every node (-1 for the root), in the order of their leaves.

    >>> paths([-1, -1, 0]).nodes
    ((1, -1), (0, 2))
    """
    above = [int(parent) for parent in parents]
    found = []
    for leaf in range(len(above)):
        if leaf in above:
            continue
        path = [leaf]
        while above[path[0]] >= 0:
            path.insert(0, above[path[0]])
        found.append(path)
    longest = max(map(len, found))
    return Paths(tuple((*path, *[-1] * (longest - len(path))) for path in found))
