"""The checks, as functions of a rule: proofs call them on the rule, controls on a rule with a planted defect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import chain, combinations
from typing import Any

import numpy as np

from proofs_tests.laws import Instance
from specmath import draft_laws, exact, rules
from specmath.draft_laws import DraftLaw
from specmath.exact import Law, Number, law_of_uniforms
from specmath.rules import Rule
from specmath.rules.laws import drafted

CLOSE = 1e-9  # between an exact law and one found in float64 from breakpoints
BEFORE_ONE = float(np.nextafter(1.0, 0.0))


def lossless_error(rule: Rule, instance: Instance, *, budget: int = exact.DEFAULT_BUDGET) -> Number:
    """Total variation, over Fractions, between the completed output of one round and the target's text."""
    law = rules.round_law(rule, instance.target, instance.draft, instance.parents, instance.drafts, budget=budget)
    length = max(len(tokens) for tokens in law)
    return rules.completed(law, instance.target, length).total_variation(rules.text_law(instance.target, length))


def lossless(rule: Rule) -> Callable[[Instance], None]:
    """Output law equal to the target's, exactly."""

    def check(instance: Instance) -> None:
        error = lossless_error(rule, instance)
        assert error == 0, f"output law is off by {error} (~{float(error):.3g}) on {instance}"

    return check


def realisations(instance: Instance) -> list[tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]]:
    """Every (tokens, contexts) that can be drafted."""

    def draw(chance: exact.Chance) -> Any:
        tokens, contexts = drafted(chance, instance.draft, instance.parents, instance.drafts)
        return tokens, tuple(contexts)

    return list(exact.law(draw))


def step_laws(rule: Rule, instance: Instance, tokens: Sequence[int], contexts: Any) -> tuple[Any, Any]:
    """Target and draft rows, as `Rule.verify` and `Rule.program` want them for these drafts."""
    if rule.layout == "node":
        return instance.target(()), instance.draft(())
    after = [instance.target((*above, token)) for above, token in zip(contexts, tokens, strict=True)]
    return [instance.target(()), *after], [instance.draft(above) for above in contexts]


def outcomes(rule: Rule, verdict: rules.Verdict) -> list[tuple[int, ...]]:
    """Emitted tokens of each row, without padding."""
    emitted = np.asarray(verdict.tokens)
    rows = emitted[:, None] if rule.layout == "node" else emitted
    return [tuple(int(token) for token in row if token >= 0) for row in rows]


def verify_rows(
    rule: Rule, instance: Instance, tokens: Any, contexts: Any, uniforms: Any, dtype: Any = np.float64
) -> rules.Verdict:
    """`Rule.verify` on the same drafts with many rows of uniforms."""
    target, draft = (np.array(law, dtype=dtype) for law in step_laws(rule, instance, tokens, contexts))
    uniforms = np.asarray(uniforms, dtype=dtype)

    def rows(value: Any) -> Any:
        return np.broadcast_to(value, (len(uniforms), *value.shape))

    parents = np.array(instance.parents) if rule.layout == "tree" else None
    laws = rows(target), rows(draft)
    return rule.verify(*laws, rows(np.array(tokens)), uniforms, parents, check=False, drafts=instance.drafts)


def program_law(rule: Rule, instance: Instance, tokens: Any, contexts: Any) -> Law:
    """Exact law of the rule's program for these drafts; outcomes are tuples of tokens."""
    laws = step_laws(rule, instance, tokens, contexts)
    extra = (instance.parents,) if rule.layout == "tree" else ()

    def play(chance: exact.Chance) -> Any:
        emitted = rule.under(instance.drafts).program(chance, *laws, tokens, *extra)
        return (emitted,) if rule.layout == "node" else emitted

    return exact.law(play)


def verify_law(rule: Rule, instance: Instance, tokens: Any, contexts: Any, dtype: Any = np.float64) -> Law:
    """Law of the rule's verify for these drafts, from its breakpoints in the uniforms."""
    count = rule.uniforms(len(tokens))
    return law_of_uniforms(lambda u: outcomes(rule, verify_rows(rule, instance, tokens, contexts, u, dtype)), count)


def verify_is_program(rule: Rule) -> Callable[[tuple[Instance, int]], None]:
    """Law of verify equal to that of program, for one of the realised drafts."""

    def check(chosen: tuple[Instance, int]) -> None:
        instance, number = chosen
        drafts = realisations(instance)
        tokens, contexts = drafts[number % len(drafts)]
        judge = program_law(rule, instance, tokens, contexts)
        error = float(judge.total_variation(verify_law(rule, instance, tokens, contexts)))
        assert error < CLOSE, f"verify is {error:.3g} off program for tokens {tokens} on {instance}"

    return check


def accepted_index(rule: Rule, tokens: Sequence[int], parents: Sequence[int], emitted: tuple[int, ...]) -> set[int]:
    """What ``accepted`` may be when ``emitted`` came out."""
    if rule.layout == "node":
        return {tokens.index(emitted[0]) if emitted[0] in tokens else -1}
    path, node = emitted[:-1], -1
    for token in path:
        # Equal siblings are one node, named by the first of them; its children may hang below any of them.
        same = [i for i, t in enumerate(tokens) if t == token and _merged(tokens, parents, parents[i]) == node]
        if not same:
            return set()
        node = same[0]
    return {node}


def _merged(tokens: Sequence[int], parents: Sequence[int], node: int) -> int:
    if node < 0:
        return -1
    above = _merged(tokens, parents, parents[node])
    return next(i for i, t in enumerate(tokens) if t == tokens[node] and _merged(tokens, parents, parents[i]) == above)


def verdict_is_consistent(rule: Rule, seed: int) -> Callable[[tuple[Instance, int]], None]:
    """``accepted`` names the deepest emitted draft; at u = 0 and just below 1 nothing impossible is emitted."""

    def check(chosen: tuple[Instance, int]) -> None:
        instance, number = chosen
        drafts = realisations(instance)
        tokens, contexts = drafts[number % len(drafts)]
        count = rule.uniforms(len(tokens))
        generator, values = np.random.default_rng(seed), [0.0, 0.5, BEFORE_ONE]
        if count <= 8:
            corners = np.array(np.meshgrid(*[values] * count)).reshape(count, -1).T
            corners = corners[generator.permutation(len(corners))[:243]]
        else:
            corners = generator.choice(values, size=(243, count))
        corners = np.concatenate([corners, np.zeros((1, count)), np.full((1, count), BEFORE_ONE)])
        for dtype in (np.float64, np.float32):
            # in float32 the largest uniform below one must be float32's own
            top = np.nextafter(dtype(1), dtype(0))
            verdict = verify_rows(rule, instance, tokens, contexts, np.minimum(corners.astype(dtype), top), dtype)
            for emitted, accepted in zip(outcomes(rule, verdict), np.asarray(verdict.accepted), strict=True):
                for place, token in enumerate(emitted):
                    assert instance.target(emitted[:place])[token] > 0, f"{emitted} is impossible on {instance}"
                assert int(accepted) in accepted_index(rule, tokens, instance.parents, emitted), (
                    f"accepted = {accepted} for emitted {emitted} and drafts {tokens} on {instance}"
                )

    return check


def accepted_law(rule: Rule, instance: Instance) -> Law:
    """Exact law of (drafted tokens, emitted token) of one round of a node rule."""

    def play(chance: exact.Chance) -> Any:
        tokens, _ = drafted(chance, instance.draft, instance.parents, instance.drafts)
        program = rule.under(instance.drafts).program
        return tokens, program(chance, instance.target(()), instance.draft(()), tokens)

    return exact.law(play)


def exact_acceptance(rule: Rule, instance: Instance) -> Number:
    """P(emitted token is one of the drafted ones), by enumeration."""
    return accepted_law(rule, instance).mean(lambda outcome: int(outcome[1] in outcome[0]))


def acceptance_is_formula(rule: Rule) -> Callable[[Instance], None]:
    """The formula, where there is one, equals enumeration."""

    def check(instance: Instance) -> None:
        laws = [np.array(law(()), dtype=float) for law in (instance.target, instance.draft)]
        try:
            found = float(rule.acceptance(*laws, n=len(instance.parents), drafts=instance.drafts))
        except NotImplementedError:
            return
        want = float(exact_acceptance(rule, instance))
        assert abs(found - want) < CLOSE, f"formula gives {found}, enumeration {want} on {instance}"

    return check


def given_is_enumeration(rule: Rule) -> Callable[[Instance], None]:
    """``given``, where there is one, is P(a draft is emitted | the drafts), for all drafts in one batched call."""

    def check(instance: Instance) -> None:
        if rule.given is None:
            return
        options = realisations(instance)
        tokens = np.array([drafts for drafts, _ in options])
        target, draft = (np.array(law(()), dtype=float) for law in (instance.target, instance.draft))
        rows = (np.broadcast_to(law, (len(tokens), len(law))) for law in (target, draft))
        want = [
            float(program_law(rule, instance, *drafts).mean(lambda out, x=drafts[0]: int(out[0] in x)))
            for drafts in options
        ]
        np.testing.assert_allclose(rule.given(*rows, tokens), want, atol=CLOSE, rtol=0)

    return check


def subsets(size: int) -> list[tuple[int, ...]]:
    """All sets of tokens."""
    return list(chain.from_iterable(combinations(range(size), count) for count in range(size + 1)))


def inside_exact(drafts: DraftLaw, draft: Sequence[Number], n: int, members: Sequence[int]) -> Number:
    """P(all n drafts lie in ``members``), by enumeration."""
    return drafts.law(draft, n).mean(lambda tokens: int(set(tokens) <= set(members)))


def optimum(target: Sequence[Fraction], draft: Sequence[Fraction], n: int, drafts: str) -> Fraction:
    """1 + min over all sets H of target(H) - P(all drafts in H), over Fractions."""
    law = draft_laws.get(drafts).law(draft, n)
    return 1 + min(
        Fraction(sum(target[x] for x in members) - law.mean(lambda tokens, h=set(members): int(set(tokens) <= h)))
        for members in subsets(len(target))
    )


def accepted_length(rule: Rule, instance: Instance) -> Number:
    """Mean number of accepted tokens of one round (emitted ones without the last)."""
    law = rules.round_law(rule, instance.target, instance.draft, instance.parents, instance.drafts)
    return law.mean(lambda tokens: len(tokens) - 1)
