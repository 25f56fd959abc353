"""Any sequence of operations on a cache, against texts that are read whole and on their own.

The judge reads a text in one call of the network, in slots of its own, with a causal mask: it knows no rows, no trees,
no compaction. An operation is a kind and a number; what it does in detail follows from the number alone, so hypothesis
can shrink the list, and planted defects can be hunted with random ones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from proofs_tests.numerics.helpers import ROWS, same
from reference.cache import Rows, RowState
from reference.models.llama import Llama, LlamaConfig
from reference.models.protocol import Read
from reference.numerics import ARITHMETICS, PreparedLlama

CONTEXT, SPARE, VOCABULARY = 96, 40, 23
KINDS = (
    "start",
    "start",
    "read",
    "read",
    "read",
    "read",
    "keep",
    "keep",
    "keep",
    "keep",
    "keep",
    "rewind",
    "rewind",
    "close",
    "check",
)
Shape = tuple[int, int, int, int]
SHAPES: tuple[Shape, ...] = ((40, 4, 2, 52), (36, 3, 3, 70), (48, 4, 1, 130))
"""Width, heads, key-value heads and inner width: heads of 10 and 12, grouped and not, no multiple of 64."""

Op = tuple[str, int]


def network(shape: Shape = SHAPES[0], seed: int = 0, context: int = CONTEXT) -> Llama:
    """Two layers with weights that spread the logits."""
    width, heads, shared, inner = shape
    generator = torch.Generator().manual_seed(seed)
    made = Llama(LlamaConfig(VOCABULARY, width, inner, 2, heads, shared, context))
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 1.5 * weight.shape[-1] ** -0.5)
            if weight.dim() == 1:
                weight.add_(1.0)
    return made.requires_grad_(False)


def prepare(
    name: str, shape: tuple[int, int, int, int] = SHAPES[0], seed: int = 0, device: str = "cpu"
) -> PreparedLlama:
    return PreparedLlama(network(shape, seed).to(device), ARITHMETICS[name], CONTEXT + SPARE)


def cache_of(prepared: PreparedLlama, rows: int) -> Rows:
    length = prepared.config.max_position_embeddings
    return Rows(
        prepared, prepared.slots, rows, size=prepared.context, vocabulary_size=VOCABULARY, context_length=length
    )


class Judge:
    """Logits (n, V), keys and values (L, G, n, d) of whole texts."""

    def __init__(self, prepared: PreparedLlama) -> None:
        self.prepared = prepared
        self.known: dict[tuple[int, ...], tuple[Tensor, Tensor, Tensor]] = {}

    def __call__(self, text: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        key = tuple(text)
        if key not in self.known:
            size, device = len(key), self.prepared.embedding.device
            slots, tokens = self.prepared.slots(1, size), torch.tensor([key], device=device)
            causal = torch.ones(size, size, dtype=torch.bool, device=device).tril()
            positions = torch.arange(size, device=device)
            logits = self.prepared(tokens, slots, positions, slice(0, size), size, causal, slice(0, 1))
            self.known[key] = logits[0], slots.keys[:, 0], slots.values[:, 0]
        return self.known[key]


@dataclass
class Mirror:
    """What a state should hold: the text, and tokens and parents of its nodes."""

    state: RowState
    text: list[int] = field(default_factory=list)
    tree: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)

    def path(self, node: int) -> list[int]:
        return [] if node < 0 else [*self.path(self.parents[node]), self.tree[node]]


@dataclass
class World:
    """A cache, its mirrors, and counts of what was compared and what differed."""

    prepared: PreparedLlama
    rows: int = 4
    mirrors: list[Mirror] = field(default_factory=list)
    compared: int = 0
    wrong: int = 0
    moved: int = 0
    batched: int = 0

    def __post_init__(self) -> None:
        self.cache, self.judge = cache_of(self.prepared, self.rows), Judge(self.prepared)

    def run(self, ops: Sequence[Op]) -> World:
        for kind, number in [("start", 0), *ops, ("check", 0)]:
            rng = random.Random(number)
            if kind == "start":
                if len(self.mirrors) < self.rows:
                    self.mirrors.insert(rng.randint(0, len(self.mirrors)), Mirror(self.cache.start()))
            elif self.mirrors:
                getattr(self, kind)(rng)
            for mirror in self.mirrors:
                held = (mirror.state.length, mirror.state.nodes)
                self.note(held == (len(mirror.text), len(mirror.tree)))
        return self

    def note(self, right: bool) -> None:
        self.compared += 1
        self.wrong += not right

    def read(self, rng: random.Random) -> None:
        """One pass for some states in any order, sizes from 1 to 65."""
        chosen = rng.sample(self.mirrors, rng.randint(1, len(self.mirrors)))
        large = rng.random() < 0.2
        reads = [(mirror, *self.portion(mirror, rng, large)) for mirror in chosen]
        reads = [read for read in reads if read[1] or read[2]]
        if not reads:
            return
        self.batched += len(reads) > 1
        found = self.cache.extend([Read(mirror.state, *rest) for mirror, *rest in reads])
        for (mirror, tokens, tree, parents), logits in zip(reads, found, strict=True):
            if tokens:
                mirror.tree, mirror.parents = [], []
            before, nodes = len(mirror.text), len(mirror.tree)
            mirror.text, mirror.tree, mirror.parents = (
                mirror.text + tokens,
                mirror.tree + tree,
                mirror.parents + parents,
            )
            self.note(len(logits) == len(tokens) + len(tree))
            if tokens:
                self.note(same(logits[: len(tokens)], self.judge(mirror.text)[0][before:]))
            for node, row in enumerate(logits[len(tokens) :], nodes):
                self.note(same(row, self.judge(mirror.text + mirror.path(node))[0][-1]))

    def portion(self, mirror: Mirror, rng: random.Random, large: bool) -> tuple[list[int], list[int], list[int]]:
        """Tokens, tree and parents that fit the context and the slots."""
        left = CONTEXT - len(mirror.text)
        most = min(left, rng.choice(ROWS) if large else rng.randint(1, 5))
        tokens = self.tokens(rng, rng.choice((0, most)) if mirror.text else most)
        grown = not tokens
        old, parents = (len(mirror.tree), list(mirror.parents)) if grown else (0, [])
        room = CONTEXT + SPARE - len(mirror.text) - len(tokens) - old
        size = min(room, rng.choice(ROWS) if large and rng.random() < 0.3 else rng.randint(0 if tokens else 1, 6))
        depth = [self.depth(parents, node) for node in range(old)]
        branching = rng.choice((0.0, 0.6, 1.0))
        for node in range(old, old + size):
            parent = rng.randrange(-1, node) if rng.random() < branching else node - 1
            while (depth[parent] if parent >= 0 else 0) >= left - len(tokens):
                if parent < 0:
                    return tokens, self.tokens(rng, node - old), parents[old:]
                parent = parents[parent]
            parents.append(parent)
            depth.append(1 + (depth[parent] if parent >= 0 else 0))
        return tokens, self.tokens(rng, size), parents[old:]

    @staticmethod
    def depth(parents: list[int], node: int) -> int:
        return 0 if node < 0 else 1 + World.depth(parents, parents[node])

    @staticmethod
    def tokens(rng: random.Random, count: int) -> list[int]:
        """Few different ones, so that siblings are often equal."""
        return [rng.randrange(3 if rng.random() < 0.5 else VOCABULARY) for _ in range(count)]

    def keep(self, rng: random.Random) -> None:
        """A path of every tree but a few; what moves, moves together in the next pass."""
        for mirror in self.mirrors:
            if not mirror.tree or rng.random() < 0.3:
                continue
            path: list[int] = []
            while below := [n for n, p in enumerate(mirror.parents) if p == (path[-1] if path else -1)]:
                if rng.random() < 0.15:
                    break
                path.append(rng.choice(below))
            mirror.state.keep(path)
            self.moved += path != list(range(len(path)))
            mirror.text = mirror.text + [mirror.tree[node] for node in path]
            mirror.tree, mirror.parents = [], []

    def rewind(self, rng: random.Random) -> None:
        for mirror in rng.sample(self.mirrors, rng.randint(1, len(self.mirrors))):
            length = max(0, len(mirror.text) - rng.choice((0, 1, 1, 2, 5, 90)))
            mirror.state.rewind(length)
            mirror.text, mirror.tree, mirror.parents = mirror.text[:length], [], []

    def close(self, rng: random.Random) -> None:
        self.mirrors.pop(rng.randrange(len(self.mirrors))).state.close()

    def check(self, rng: random.Random) -> None:
        """Keys and values of every text."""
        for mirror in self.mirrors:
            if mirror.text:
                keys, values = mirror.state.stored()
                _, expected, others = self.judge(mirror.text)
                self.note(same(keys, expected) and same(values, others))


def random_ops(seed: int, count: int) -> list[Op]:
    rng = random.Random(seed)
    return [("start", 1)] + [(rng.choice(KINDS), rng.randrange(10**6)) for _ in range(count)]
