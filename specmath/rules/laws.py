"""Exact output law of a rule: drafts drawn, verified, and the text completed from the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from specmath import draft_laws, exact
from specmath.exact import DEFAULT_BUDGET, Chance, Law, Number
from specmath.rules.rule import Rule

Model = Callable[[tuple[int, ...]], Sequence[Number]]
"""A model with an enumerable law: next-token law after a tuple of tokens."""

Program = Callable[..., Any]


def drafted(chance: Chance, draft: Model, parents: Sequence[int], drafts: str) -> tuple[tuple[int, ...], list[Any]]:
    """Draw the tokens of a tree: all children of a node at once from the draft law; also each token's context."""
    law = draft_laws.get(drafts)
    tokens: list[int] = [-1] * len(parents)
    contexts: list[tuple[int, ...]] = [()] * len(parents)
    for node in range(-1, len(parents)):
        children = [i for i, parent in enumerate(parents) if parent == node]
        if not children:
            continue
        above = () if node < 0 else (*contexts[node], tokens[node])
        proposal = draft(above)
        law.check(len(children), sum(probability > 0 for probability in proposal))
        for child, token in zip(children, law.program(chance, proposal, len(children)), strict=True):
            tokens[child], contexts[child] = token, above
    return tuple(tokens), contexts


def round_program(
    rule: Rule, target: Model, draft: Model, parents: Sequence[int], drafts: str, program: Program | None = None
) -> Callable[[Chance], tuple[int, ...]]:
    """One round as a program of chance: draw the drafts along ``parents``, verify, return the emitted tokens.

    Nodes rules take ``parents = [-1] * n``, chains ``[-1, 0, 1, ...]``. ``program`` replaces the rule's own one, which
    is how planted defects are examined.
    """
    verify = rule.under(drafts).program if program is None else program

    def play(chance: Chance) -> tuple[int, ...]:
        tokens, contexts = drafted(chance, draft, parents, drafts)
        if rule.layout == "node":
            return (verify(chance, target(()), draft(()), tokens),)
        after = [target(()), *(target((*above, token)) for above, token in zip(contexts, tokens, strict=True))]
        before = [draft(above) for above in contexts]
        if rule.layout == "chain":
            return verify(chance, after, before, tokens)
        return verify(chance, after, before, tokens, parents)

    return play


def round_law(
    rule: Rule,
    target: Model,
    draft: Model,
    parents: Sequence[int],
    drafts: str | None = None,
    *,
    program: Program | None = None,
    budget: int = DEFAULT_BUDGET,
) -> Law:
    """Exact law of the tokens emitted by one round, over everything random in it (drafts and verification).

    >>> from fractions import Fraction
    >>> from specmath import rules
    >>> half, third = [Fraction(1, 2)] * 2, [Fraction(1, 3), Fraction(2, 3)]
    >>> dict(round_law(rules.get("single"), lambda _: half, lambda _: third, [-1]))
    {(0,): Fraction(1, 2), (1,): Fraction(1, 2)}
    """
    drafts = rule.drafts[0] if drafts is None else drafts
    return exact.law(round_program(rule, target, draft, parents, drafts, program), budget=budget)


def text_law(target: Model, length: int) -> Law:
    """Law of the first ``length`` tokens of autoregressive decoding."""
    return completed(Law({(): 1}), target, length)


def completed(law: Law, target: Model, length: int) -> Law:
    """The law of emitted tokens, each outcome completed (or cut) to ``length`` tokens by the target.

    A rule is lossless if and only if this equals `text_law` for every length up to the longest round.
    """
    found: dict[tuple[int, ...], Number] = {}

    def extend(tokens: tuple[int, ...], probability: Number) -> None:
        if len(tokens) == length:
            found[tokens] = found.get(tokens, 0) + probability
            return
        for token, share in enumerate(target(tokens)):
            if share > 0:
                extend((*tokens, token), probability * share)

    for tokens, probability in law.items():
        extend(tokens[:length], probability)
    return Law(found, law.paths)
