"""SpecHub: optimal for its pairs, by two tests, the other token first and then the hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from specmath.arrays import Array, namespace
from specmath.draft_laws.greedy import fixed_tokens
from specmath.draws import normalise_or, ones_hot, positive_part, ranked, ratio, take
from specmath.exact import Chance, Number
from specmath.rules.rule import Rule, Verdict, conclude
from specmath.rules.single import accepts, left_over


def program(chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]) -> int:
    (hub,) = fixed_tokens(draft, 2)
    other_first = [0 if x == hub else q for x, q in enumerate(draft)]  # P(pair is (x, hub))
    hub_first = [draft[hub] * q / (1 - draft[hub]) for q in other_first]  # P(pair is (hub, x))
    after_first = [0 if x == hub else p for x, p in enumerate(left_over(target, other_first))]
    after_both = left_over(after_first, hub_first)
    left_first = sum(left_over(other_first, target))
    left_second = sum(left_over(hub_first, after_first))
    hub_left = max(target[hub] - left_second, 0)
    if tokens[0] == hub:
        other, goal, supply, hub_goal, hub_supply = tokens[1], after_first, hub_first, target[hub], left_second
    else:
        other, goal, supply, hub_goal, hub_supply = tokens[0], target, other_first, hub_left, left_first
    if accepts(chance, goal[other], supply[other]):
        return other
    if accepts(chance, hub_goal, hub_supply):
        return hub
    after_both[hub] = max(hub_left - left_first, 0)
    return chance.draw(after_both if any(after_both) else target)


class _Plan(NamedTuple):
    hub: Array
    other_first: Array
    hub_first: Array
    after_first: Array
    after_both: Array
    left_first: Array
    left_second: Array


def _plan(target: Array, draft: Array) -> _Plan:
    xp = namespace(target)
    hub = ranked(draft)[..., 0]
    at_hub = ones_hot(hub, draft.shape[-1], xp)
    zeros = xp.zeros_like(draft)
    other_first = xp.where(at_hub, zeros, draft)
    share = take(draft, hub)[..., None]
    # 1 - q(hub), summed from the other tokens: for a peaked draft the difference would cancel.
    others = xp.sum(other_first, axis=-1, keepdims=True)
    hub_first = share * ratio(other_first, xp.broadcast_to(others, draft.shape))
    after_first = xp.where(at_hub, zeros, positive_part(target - other_first))
    return _Plan(
        hub,
        other_first,
        hub_first,
        after_first,
        positive_part(after_first - hub_first),
        xp.sum(positive_part(other_first - target), axis=-1),
        xp.sum(positive_part(hub_first - after_first), axis=-1),
    )


def step(target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
    xp = namespace(target)
    plan = _plan(target, draft)
    hub = xp.astype(plan.hub, tokens.dtype)
    hub_leads = tokens[..., 0] == hub
    other = xp.where(hub_leads, tokens[..., 1], tokens[..., 0])
    goal = xp.where(hub_leads, take(plan.after_first, other), take(target, other))
    supply = xp.where(hub_leads, take(plan.hub_first, other), take(plan.other_first, other))
    at_hub = take(target, plan.hub)
    hub_left = positive_part(at_hub - plan.left_second)
    hub_goal = xp.where(hub_leads, at_hub, hub_left)
    hub_supply = xp.where(hub_leads, plan.left_second, plan.left_first)
    last = xp.where(
        ones_hot(plan.hub, target.shape[-1], xp),
        positive_part(hub_left - plan.left_first)[..., None],
        plan.after_both,
    )
    emitted = xp.where(uniforms[..., 1] * hub_supply < hub_goal, hub, xp.full_like(hub, -1))
    emitted = xp.where(uniforms[..., 0] * supply < goal, other, emitted)
    return conclude(tokens, emitted, normalise_or(last, target), uniforms[..., 2])


def formula(target: Array, draft: Array, n: int, drafts: str) -> Array:
    """1 - what the last draw is left with: the pairs' optimum, which is that of greedy drafts with n = 2."""
    xp = namespace(target)
    plan = _plan(target, draft)
    hub_left = positive_part(take(target, plan.hub) - plan.left_second - plan.left_first)
    return 1 - xp.sum(plan.after_both, axis=-1) - hub_left


RULE = Rule(
    name="spechub",
    purpose="optimal for SpecHub's pairs: test the other token, then the hub",
    source="sun2024spechub",
    layout="node",
    drafts=("hub",),
    lossless=True,
    program=program,
    step=step,
    formula=formula,
    tests=lambda n: ("other token", "hub"),
    at_least=2,
    at_most=2,
)
