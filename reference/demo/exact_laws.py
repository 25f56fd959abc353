"""The exact law of every rule, enumerated over fractions on small instances, and defects that must be seen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from specmath import draft_laws, rules
from specmath.exact import Number
from specmath.rules import Rule
from specmath.rules.laws import Program

Law = tuple[Fraction, ...]
BUDGET = 100_000
"""Most paths of one enumeration."""


def law(*weights: int) -> Law:
    """Whole weights as a law of fractions."""
    return tuple(Fraction(weight, sum(weights)) for weight in weights)


# (target, draft) pairs; a context picks one of them, so that laws differ from place to place. Three tokens: a free
# pair, zeros on both sides, ties, a draft that misses what the target wants most, equal laws, a certain target.
THREE = (
    (law(5, 2, 3), law(1, 4, 5)),
    (law(0, 3, 1), law(2, 1, 1)),
    (law(1, 1, 1), law(2, 1, 1)),
    (law(6, 1, 0), law(0, 1, 1)),
    (law(1, 2, 3), law(1, 2, 3)),
    (law(0, 1, 0), law(1, 3, 2)),
)
TWO = (
    (law(3, 1), law(1, 2)),
    (law(1, 1), law(1, 4)),
    (law(1, 0), law(1, 1)),
    (law(2, 5), law(2, 5)),
    (law(1, 3), law(5, 1)),
)
SHAPES: dict[str, tuple[tuple[int, tuple[int, ...]], ...]] = {
    "node": ((2, (-1,)), (2, (-1, -1)), (3, (-1,)), (3, (-1, -1)), (3, (-1, -1, -1))),
    "chain": ((2, (-1, 0)), (2, (-1, 0, 1)), (3, (-1, 0))),
    "tree": ((2, (-1, -1, 0, 0)), (2, (-1, 0, 0, 1)), (3, (-1, -1, 0)), (2, (-1, 0, -1, 2))),
}
"""(vocabulary, parents) of what is drafted."""


@dataclass(frozen=True)
class Instance:
    """Laws by context, and the tree that is drafted. ``shift`` turns the list of pairs."""

    size: int
    parents: tuple[int, ...]
    drafts: str
    shift: int

    def _pair(self, context: tuple[int, ...]) -> tuple[Law, Law]:
        pairs = TWO if self.size == 2 else THREE
        number = 0
        for token in context:
            number = number * self.size + token + 1
        return pairs[(number + self.shift) % len(pairs)]

    def target(self, context: tuple[int, ...]) -> Law:
        """Target's next-token law after a context."""
        return self._pair(context)[0]

    def draft(self, context: tuple[int, ...]) -> Law:
        """Draft's next-token law after a context."""
        return self._pair(context)[1]


@dataclass(frozen=True)
class Checked:
    """Exact law of one rule on one draft law: over how many instances and paths, and the largest total variation."""

    rule: str
    drafts: str
    instances: int
    paths: int
    total_variation: Number
    defect: str = ""

    @property
    def passed(self) -> bool:
        """TV = 0 for a rule; TV > 0 for a planted defect, which must be seen."""
        return (self.total_variation > 0) if self.defect else (self.instances > 0 and self.total_variation == 0)


def instances(rule: Rule, drafts: str) -> list[Instance]:
    """All fixed instances that the rule and the draft law allow."""
    every = [
        Instance(size, parents, drafts, shift)
        for size, parents in SHAPES[rule.layout]
        for shift in range(len(TWO if size == 2 else THREE))
    ]
    return [one for one in every if _allowed(rule, one)]


def _allowed(rule: Rule, one: Instance) -> bool:
    """Whether the rule takes such drafts, and every node that drafts has enough possible tokens."""
    if rule.layout == "node" and len(one.parents) > (rule.at_most or len(one.parents)):
        return False
    if rule.shape == "paths" and not _are_paths(one.parents):
        return False
    depth = {-1: 0}
    for node, parent in enumerate(one.parents):
        depth[node] = depth[parent] + 1
    needs = draft_laws.get(one.drafts).needs
    return not any(
        needs(one.parents.count(node), sum(probability > 0 for probability in one.draft(context)))
        for node in set(one.parents)
        for context in itertools.product(range(one.size), repeat=depth[node])
    )


def _are_paths(parents: Sequence[int]) -> bool:
    """Whether a tree is chains of one length from the root."""
    ends = [node for node in range(len(parents)) if node not in parents]
    lengths = []
    for node in ends:
        length = 0
        while node >= 0:
            node, length = parents[node], length + 1
        lengths.append(length)
    return len(ends) == parents.count(-1) and len(set(lengths)) == 1


def total_variation(rule: Rule, one: Instance, program: Program | None = None) -> tuple[Number, int]:
    """TV between one round's output, completed by the target, and the target's text; and the number of paths."""
    found = rules.round_law(rule, one.target, one.draft, one.parents, one.drafts, program=program, budget=BUDGET)
    length = max(map(len, found))
    away = rules.completed(found, one.target, length).total_variation(rules.text_law(one.target, length))
    return away, found.paths


def check(rule: Rule, drafts: str, program: Program | None = None, defect: str = "") -> Checked:
    """One rule on one draft law over all its instances."""
    chosen = instances(rule, drafts)
    results = [total_variation(rule, one, program) for one in chosen]
    worst = max((away for away, _ in results), default=Fraction(0))
    return Checked(rule.name, drafts, len(chosen), sum(paths for _, paths in results), worst, defect)


def pairs() -> list[tuple[str, str]]:
    """Every (rule, draft law) that is registered."""
    return [(name, drafts) for name in rules.names() for drafts in rules.get(name).drafts]


def check_all(
    *, watch: Callable[[Sequence[Any]], Iterable[Any]] = iter, changed: dict[str, Program] | None = None
) -> list[Checked]:
    """Every rule on every draft law, then the planted defects; ``changed`` replaces the programs of some rules."""
    from reference.demo.defects import DEFECTS

    changed = changed or {}
    work = [*pairs(), *DEFECTS]
    found = []
    for one in watch(work):
        if isinstance(one, tuple):
            name, drafts = one
            found.append(check(rules.get(name), drafts, changed.get(name)))
        else:
            found.append(check(rules.get(one.rule), one.drafts, one.program, one.purpose))
    return found
