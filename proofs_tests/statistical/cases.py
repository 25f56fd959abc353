"""The instances of the statistical tests: five tokens at a node, context-dependent laws for chains and trees."""

from __future__ import annotations

from proofs_tests.laws import Instance, law
from specmath import rules

NODE = ((law(5, 1, 3, 0, 4), law(2, 6, 1, 2, 3)),)
CONTEXT = (
    (law(5, 1, 3), law(2, 6, 3)),
    (law(1, 4, 2), law(3, 3, 1)),
    (law(0, 2, 3), law(2, 1, 2)),
    (law(3, 3, 1), law(1, 1, 5)),
    (law(2, 1, 2), law(2, 1, 2)),
)
ROUNDS = {"node": 200_000, "chain": 200_000, "tree": 100_000}


def case(name: str, drafts: str) -> Instance:
    """One instance for the rule and draft law."""
    rule = rules.get(name)
    if rule.layout == "node":
        few = drafts == "hub" or (name, drafts) == ("optimal", "without_replacement")  # three are accepted for certain
        n = 2 if few else min(rule.at_most or 3, 3)
        return Instance(5, drafts, (-1,) * n, NODE)
    parents = (-1, 0, 1) if rule.layout == "chain" else (-1, 0, -1, 2) if rule.shape == "paths" else (-1, -1, 0, 0, 1)
    return Instance(3, drafts, parents, CONTEXT)


def depth(instance: Instance) -> int:
    """Longest drafted path."""
    depths: list[int] = []
    for parent in instance.parents:
        depths.append(1 + (depths[parent] if parent >= 0 else 0))
    return max(depths)
