"""Laws of known defects on a small instance, to put a name to a law that is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from specmath import exact
from specmath.exact import Chance, Number
from specmath.oracle.grid import FLOAT32_ZERO
from specmath.oracle.instance import Instance, Table
from specmath.oracle.joint import Joint
from specmath.rules.laws import drafted

Weights = Callable[[Sequence[Number], Sequence[Number], int], list[Number]]
"""Weights of the correction: ``(target, draft, rejected token) -> weights``."""
CLOSE = 1e-5


def ratio(target: Number, draft: Number) -> Number:
    """min(1, p / q)."""
    return 1 if not draft or target >= draft else target / draft


def positive(target: Sequence[Number], draft: Sequence[Number], token: int) -> list[Number]:
    """The residual (p - q)+."""
    return [max(p - q, 0) for p, q in zip(target, draft, strict=True)]


@dataclass(frozen=True)
class Defect:
    """A verifier of chains (and of nodes with n = 1) with one mistake; the defaults are right.

    ``accept(target probability, draft probability)``, ``residual(target row, draft row, token)``; ``bonus`` picks the
    row of the bonus token, ``row`` that of the correction, ``once`` uses one uniform for all tests.
    """

    name: str
    accept: Callable[[Number, Number], Number] = ratio
    residual: Weights = positive
    bonus: Callable[[list[Any], list[Any]], Any] = lambda target, draft: target[-1]
    row: Callable[[int], int] = lambda i: i
    law: Callable[[Sequence[Number]], Sequence[Number]] = lambda row: row
    once: bool = False
    goes_on: bool = False

    def __call__(self, chance: Chance, target: list[Any], draft: list[Any], tokens: tuple[int, ...]) -> tuple[int, ...]:
        target = [self.law(row) for row in target]
        low, high = 0, 1  # what is known of the single uniform
        kept: list[int] = []
        for i, token in enumerate(tokens):
            level = self.accept(target[i][token], draft[i][token])
            if self.once:
                level = min(max(level, low), high)
                passed = chance.flip((level - low) / (high - low)) if high > low else level > low
                low, high = (low, level) if passed else (level, high)
            else:
                passed = chance.flip(level)
            if passed:
                kept.append(token)
                continue
            if self.goes_on:
                continue
            at = min(self.row(i), len(draft) - 1)
            weights = self.residual(target[self.row(i)], draft[at], token)
            return (*kept, chance.draw(weights if sum(weights) > 0 else target[i]))
        return (*kept, chance.draw(self.bonus(target, draft)))


def _largest(weights: Sequence[Number]) -> list[Number]:
    best = max(range(len(weights)), key=lambda i: weights[i])
    return [int(i == best) for i in range(len(weights))]


def _power(row: Sequence[Number], power: float) -> list[Number]:
    weights = [float(p) ** power if p else 0.0 for p in row]
    return [weight / sum(weights) for weight in weights]


def _without(row: Sequence[Number], token: int) -> list[Number]:
    return [0 if i == token else p for i, p in enumerate(row)]


DEFECTS = (
    Defect("the ratio test, for drafts that were not drawn from the draft law it divides by"),
    Defect("residual taken from the target", residual=lambda p, q, x: list(p)),
    Defect("residual taken from the draft", residual=lambda p, q, x: list(q)),
    Defect("residual is the target without the rejected token", residual=lambda p, q, x: _without(p, x)),
    Defect("residual with the sign turned, (q - p)+", residual=lambda p, q, x: positive(q, p, x)),
    Defect("residual |p - q|", residual=lambda p, q, x: [abs(a - b) for a, b in zip(p, q, strict=True)]),
    Defect(
        "residual through a softmax instead of a division by its sum",
        residual=lambda p, q, x: [math.exp(float(w)) for w in positive(p, q, x)],
    ),
    Defect("correction by argmax of the residual", residual=lambda p, q, x: _largest(positive(p, q, x))),
    Defect("residual of another position", row=lambda i: i + 1),
    Defect("ratio turned over, q / p", accept=lambda p, q: ratio(q, p)),
    Defect("accepted with the target's probability p(x)", accept=lambda p, q: p),
    Defect("accepted with 1 - p(x)", accept=lambda p, q: 1 - p),
    Defect("accepted with ratio squared", accept=lambda p, q: ratio(p, q) ** 2),
    Defect("every draft accepted", accept=lambda p, q: 1),
    Defect("accepted where p(x) >= q(x), else rejected", accept=lambda p, q: int(p >= q)),
    Defect("one uniform for all positions", once=True),
    Defect("the tests go on after a rejection", goes_on=True),
    Defect("bonus from the row before", bonus=lambda target, draft: target[-2]),
    Defect("bonus from the draft", bonus=lambda target, draft: draft[-1]),
    Defect("bonus by argmax", bonus=lambda target, draft: _largest(target[-1])),
    Defect("target at temperature 1/2", law=lambda row: _power(row, 2.0)),
    Defect("target at temperature 2", law=lambda row: _power(row, 0.5)),
    Defect("target used as its argmax", law=_largest),
    Defect(
        "every test passes, and the bonus comes from the row before",
        accept=lambda p, q: 1,
        bonus=lambda target, draft: target[-2],
    ),
)


def guess(found: Joint) -> str:
    """Which known defect has this law on the instance; empty where none has."""
    if found.raised or not found.emitted:
        return ""
    emitted = {rows[0]: probability for rows, probability in found.emitted.items()}
    for name, law in alternatives(found.instance):
        if float(law.total_variation(emitted)) < CLOSE:
            return f"matches: {name}"
    return ""


def alternatives(instance: Instance, names: Collection[str] | None = None) -> Iterator[tuple[str, exact.Law]]:
    """(name, law of the emitted tokens) of the known defects, or of those with these names.

    There are none for trees, batches and nodes of several drafts.
    """
    if instance.kind == "chain" or (instance.kind == "node" and instance.n == 1):
        for defect in DEFECTS:
            law = _law(instance, defect) if names is None or defect.name in names else None
            if law is not None:
                yield defect.name, law


def numeric(found: Joint) -> str:
    """What grids and generators explain; empty where they do not."""
    unlikely = sum(found.impossible.values())
    if found.seeded or found.reseeded:
        return "the function sets generators back while it draws from them"
    if 0 < unlikely <= 4 * found.coarsest:
        return (
            f"a uniform is 0.0 with probability {float(found.coarsest):.3g} and passes a test such as u <= ratio at "
            "ratio 0; u < ratio is right"
        )
    if found.coarsest > FLOAT32_ZERO:
        return f"a uniform is 0.0 with probability {float(found.coarsest):.3g}; draw uniforms in float32 or float64"
    return ""


def _law(instance: Instance, defect: Defect) -> exact.Law | None:
    target, draft = _floats(instance.target), _floats(instance.draft)

    def play(chance: Chance) -> tuple[int, ...]:
        tokens, contexts = drafted(chance, draft, instance.parents, instance.drafts)
        after = [target(()), *(target((*above, token)) for above, token in zip(contexts, tokens, strict=True))]
        emitted = defect(chance, after, [draft(above) for above in contexts], tokens)
        return emitted[:1] if instance.kind == "node" else emitted

    try:
        return exact.law(play)
    except (ValueError, IndexError):  # a defect that has no law here
        return None


def _floats(model: Table) -> Callable[[tuple[int, ...]], list[float]]:
    return lambda context: [float(probability) for probability in model[context]]
