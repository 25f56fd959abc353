"""Ways to run the same texts through a model: rounds of random trees, in random slots, beside other texts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import torch
from torch import Tensor

Text = list[int]


@dataclass
class Row:
    """One text on its way: what is committed, and in which slot each committed token lies."""

    text: Text
    where: list[int] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return len(self.where) == len(self.text)


@dataclass
class Round:
    """One call: tokens, positions and slots (B, T), visibility (B, 1, T, S), and per row the nodes of the true path."""

    tokens: Tensor
    positions: Tensor
    places: Tensor
    visible: Tensor
    paths: list[list[int]]


def tree(rng: random.Random, size: int, branching: float) -> list[int]:
    """Parents, -1 for the text: a chain for branching 0, else nodes hang below earlier ones or the text."""
    return [node - 1 if rng.random() >= branching else rng.randrange(-1, node) for node in range(size)]


def plan(rows: list[Row], slots: int, vocabulary: int, rng: random.Random, most: int, branching: float) -> Round:
    """A round for every row: a random tree whose longest possible true path spells the row's text.

    Rows with fewer nodes, and rows that are done, are filled up with nodes that see only themselves.
    """
    sizes = [0 if row.done else rng.randint(1, most) for row in rows]
    width = max(sizes)
    shape = (len(rows), width)
    tokens = torch.zeros(shape, dtype=torch.long)
    positions = torch.zeros(shape, dtype=torch.long)
    places = torch.zeros(shape, dtype=torch.long)
    visible = torch.zeros(len(rows), 1, width, slots, dtype=torch.bool)
    paths: list[list[int]] = []
    for index, row in enumerate(rows):
        free = [slot for slot in range(slots) if slot not in row.where]
        rng.shuffle(free)
        parents = tree(rng, sizes[index], branching)
        start, true = len(row.where), [-1]
        for node in range(width):
            places[index, node] = free[node]
            visible[index, 0, node, free[node]] = True
            if node >= sizes[index]:
                continue
            parent = parents[node]
            depth = int(positions[index, parent]) + 1 - start if parent >= 0 else 0
            follows = parent == true[-1] and start + depth < len(row.text)
            if follows:
                true.append(node)
            tokens[index, node] = row.text[start + depth] if follows else rng.randrange(vocabulary)
            positions[index, node] = start + depth
            if parent >= 0:
                visible[index, 0, node] |= visible[index, 0, parent]
            else:
                visible[index, 0, node, row.where] = True
        paths.append(true[1:])
    return Round(tokens, positions, places, visible, paths)


def commit(rows: list[Row], made: Round, logits: Tensor) -> None:
    """Note the slots and the logits (B, T, V) of the true paths."""
    for index, (row, path) in enumerate(zip(rows, made.paths, strict=True)):
        row.where += [int(made.places[index, node]) for node in path]
        row.logits += [logits[index, node] for node in path]
