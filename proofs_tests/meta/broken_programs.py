"""Programs with one planted defect each. Each is written out, so that the mistake can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specmath.exact import Chance, normalised
from specmath.rules import get, single
from specmath.rules.k_seq import exact_factor
from specmath.rules.single import accepts, left_over, residual
from specmath.rules.traversal import merged_children
from specmath.transport.selection import selection


def ratio(p: Any, q: Any) -> Any:
    return p / q if q else 0


def draw_or(chance: Chance, weights: Sequence[Any], other: Sequence[Any]) -> int:
    """Broken rules can be left with nothing to draw from; they go on with something, as broken code does."""
    return chance.draw(weights if any(w > 0 for w in weights) else other)


def single_draft_minus_target(chance, target, draft, tokens):
    if accepts(chance, target[tokens[0]], draft[tokens[0]]):
        return tokens[0]
    return draw_or(chance, left_over(draft, target), target)


def single_redraws_target(chance, target, draft, tokens):
    if accepts(chance, target[tokens[0]], draft[tokens[0]]):
        return tokens[0]
    return chance.draw(target)


def single_ignores_ratio_above_residual(chance, target, draft, tokens):
    """Accepts with probability target(x), not target(x) / draft(x): sampler match's test with a residual redraw."""
    if chance.flip(target[tokens[0]]):
        return tokens[0]
    return draw_or(chance, left_over(target, draft), target)


def recursive_keeps_target(chance, target, draft, tokens):
    for token in tokens:
        if accepts(chance, target[token], draft[token]):
            return token
    return draw_or(chance, left_over(target, draft), target)


def recursive_not_renormalised(chance, target, draft, tokens):
    for token in tokens:
        if accepts(chance, target[token], draft[token]):
            return token
        target = left_over(target, draft)
    return draw_or(chance, target, draft)


def recursive_drops_duplicates(chance, target, draft, tokens):
    return get("recursive").program(chance, target, draft, tuple(dict.fromkeys(tokens)))


def distinct_keeps_draft(chance, target, draft, tokens):
    for token in tokens:
        if accepts(chance, target[token], draft[token]):
            return token
        target = normalised(left_over(target, draft))
    return chance.draw(target)


def distinct_removes_after_next(chance, target, draft, tokens):
    """The draft law loses the rejected token one test late."""
    removed: list[int] = []
    for token in tokens:
        now = normalised([0 if x in removed[:-1] else q for x, q in enumerate(draft)])
        if accepts(chance, target[token], now[token]):
            return token
        target = normalised(left_over(target, now)) if any(left_over(target, now)) else target
        removed.append(token)
    return chance.draw(target)


def _k_seq(chance, target, draft, tokens, factor, share):
    n = len(tokens)
    for token in tokens:
        if accepts(chance, target[token] / factor, draft[token]):
            return token
    taken = [min(p / factor, q) for p, q in zip(target, draft, strict=True)]
    share = share(sum(taken), n)
    return draw_or(chance, [max(p - share * t, 0) for p, t in zip(target, taken, strict=True)], target)


def _share(beta, n):
    return (1 - (1 - beta) ** n) / beta if beta else 0


def k_seq_below_root(chance, target, draft, tokens):
    return _k_seq(
        chance, target, draft, tokens, (1 + exact_factor(tuple(target), tuple(draft), len(tokens))) / 2, _share
    )


def k_seq_without_share(chance, target, draft, tokens):
    factor = exact_factor(tuple(target), tuple(draft), len(tokens))
    return _k_seq(chance, target, draft, tokens, factor, lambda beta, n: 1)


def k_seq_drops_duplicates(chance, target, draft, tokens):
    return get("k_seq").program(chance, target, draft, tuple(dict.fromkeys(tokens)))


def greedy_ignores_fixed(chance, target, draft, tokens):
    return single.program(chance, target, draft, tokens[-1:])


def naive_residual_without_hit(chance, target, draft, tokens):
    """Redraws until the residual token is none of the drafts."""
    if accepts(chance, target[tokens[0]], draft[tokens[0]]):
        return tokens[0]
    rest = left_over(target, draft)
    return draw_or(chance, [0 if x in tokens else w for x, w in enumerate(rest)], rest)


def match_prefers_drafts(chance, target, draft, tokens):
    """Draws from the target restricted to the drafts, when it has mass there."""
    return draw_or(chance, [p if x in tokens else 0 for x, p in enumerate(target)], target)


def hub_second_test_against_target(chance, target, draft, tokens):
    """Both orders of a pair are tested against the full target; the first test's share is not taken out."""
    hub = draft.index(max(draft))
    other = tokens[1] if tokens[0] == hub else tokens[0]
    supply = [0 if x == hub else q for x, q in enumerate(draft)]
    if tokens[0] == hub:
        supply = [draft[hub] * q / (1 - draft[hub]) for q in supply]
    if accepts(chance, target[other], supply[other]):
        return other
    return draw_or(chance, left_over(target, supply), target)


def chain_bonus_from_draft(chance, target, draft, tokens):
    return get("token_wise").program(chance, [*target[:-1], draft[-1]], draft, tokens)


def chain_bonus_from_row_before(chance, target, draft, tokens):
    return get("token_wise").program(chance, [*target[:-1], target[-2]], draft, tokens)


def chain_draft_law_off_by_one(chance, target, draft, tokens):
    for i, token in enumerate(tokens):
        law = draft[max(i - 1, 0)]
        if not accepts(chance, target[i][token], law[token]):
            return (*tokens[:i], draw_or(chance, left_over(target[i], law), target[i]))
    return (*tokens, chance.draw(target[len(tokens)]))


def chain_goes_on_after_rejection(chance, target, draft, tokens):
    """A rejected token is replaced, and the later drafts, drawn after the rejected one, are kept."""
    emitted = []
    for i, token in enumerate(tokens):
        taken = accepts(chance, target[i][token], draft[i][token])
        emitted.append(token if taken else chance.draw(left_over(target[i], draft[i])))
    return (*emitted, chance.draw(target[len(tokens)]))


def _block(chance, target, draft, tokens, *, cap=True, first=False, scale=True, empty=0):
    length, kept, weight, weight_kept = len(tokens), 0, 1, 1
    for i, token in enumerate(tokens, start=1):
        weight = weight * target[i - 1][token] / draft[i - 1][token]
        weight = min(1, weight) if cap else weight
        stop = weight
        if i < length:
            left = sum(max(weight * p - q, 0) for p, q in zip(target[i], draft[i], strict=True))
            below = left + 1 - weight
            stop = (left / below if below > 0 else 1) if left else empty
        if chance.flip(max(0, min(1, stop))):
            kept, weight_kept = i, weight
        elif first:
            break
    if kept == length:
        return (*tokens, chance.draw(target[length]))
    scaled = [(weight_kept if scale else 1) * p for p in target[kept]]
    return (*tokens[:kept], draw_or(chance, left_over(scaled, draft[kept]), target[kept]))


def block_without_cap(chance, target, draft, tokens):
    return _block(chance, target, draft, tokens, cap=False)


def block_stops_at_first(chance, target, draft, tokens):
    return _block(chance, target, draft, tokens, first=True)


def block_residual_without_weight(chance, target, draft, tokens):
    return _block(chance, target, draft, tokens, scale=False)


def block_empty_residual_passes(chance, target, draft, tokens):
    return _block(chance, target, draft, tokens, empty=1)


def block_intact(chance, target, draft, tokens):
    """No defect: shows that the broken ones fail for their defect, not for how they are written."""
    return _block(chance, target, draft, tokens)


def _traversal(
    chance, target, draft, tokens, parents, *, merge=True, order=None, reduce=True, weigh=True, empty=True, cap=True
):
    if merge:
        children = merged_children(tokens, parents)
    else:
        nodes = range(-1, len(tokens))
        children = {node: [i for i, parent in enumerate(parents) if parent == node] for node in nodes}

    def visit(node, weight):
        goal = target[node + 1]
        below_here = sorted(children[node], key=order) if order else children[node]
        left = draft[children[node][0]] if children[node] else ()
        for child in below_here:
            token = tokens[child]
            grown = weight * ratio(goal[token], left[token])
            below = visit(child, min(1, grown) if cap or not children[child] else grown)
            if below is not None:
                return (token, *below)
            rest = [max(weight * p - q, 0) for p, q in zip(goal, left, strict=True)]
            total = sum(rest)
            if total:
                goal = normalised(rest)
                if weigh and total + 1 - weight > 0:
                    weight = total / (total + 1 - weight)
            elif empty:
                return None
            if reduce:
                left = [0 if x == token else q for x, q in enumerate(left)]
                left = normalised(left) if any(left) else left
        return (chance.draw(goal),) if chance.flip(max(0, min(1, weight))) else None

    emitted = visit(-1, 1)
    return (chance.draw(target[0]),) if emitted is None else emitted


def traversal_intact(chance, target, draft, tokens, parents):
    """No defect, see `block_intact`."""
    return _traversal(chance, target, draft, tokens, parents)


def traversal_duplicates_kept(chance, target, draft, tokens, parents):
    return _traversal(chance, target, draft, tokens, parents, merge=False)


def traversal_sorted_children(chance, target, draft, tokens, parents):
    return _traversal(chance, target, draft, tokens, parents, order=lambda child: tokens[child])


def traversal_keeps_draft_law(chance, target, draft, tokens, parents):
    return _traversal(chance, target, draft, tokens, parents, reduce=False)


def traversal_keeps_weight(chance, target, draft, tokens, parents):
    return _traversal(chance, target, draft, tokens, parents, weigh=False)


def traversal_empty_residual_goes_on(chance, target, draft, tokens, parents):
    return _traversal(chance, target, draft, tokens, parents, empty=False)


def traversal_without_cap(chance, target, draft, tokens, parents):
    return _traversal(chance, target, draft, tokens, parents, cap=False)


def optimal_tests_draft_law(chance: Any, target: Any, draft: Any, tokens: Any, *, drafts: str) -> int:
    """Selects optimally, then tests against the draft law and not against the law of the selected draft."""
    plan = selection(tuple(target), tuple(draft), len(tokens), drafts)
    token = chance.draw(plan.plan[frozenset(tokens)])
    return token if accepts(chance, target[token], draft[token]) else chance.draw(residual(target, draft, target))
