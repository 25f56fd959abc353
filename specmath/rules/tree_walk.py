"""What the walks down a tree of i.i.d. drafts share: equal siblings joined, one level, block verification on the way.

Equal siblings are one node, which owns the children of all its copies. A level's choice looks at that level's tokens
only, so that the children below are still i.i.d. draws, and their number is known before they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import array_api_compat

from specmath.arrays import Array, namespace, on_host
from specmath.draws import categorical, normalise_or, positive_part, ratio, take
from specmath.exact import Chance, Number
from specmath.rules.rule import Verdict
from specmath.rules.single import left_over
from specmath.rules.token_wise import Laws, row
from specmath.rules.traversal import merge_siblings, path_to

Select = Callable[[Chance, Sequence[Number], Sequence[Number], Sequence[int], Number], tuple[int, Sequence[Number]]]
"""``select(chance, target, draft, tokens, weight)``: the selected token and the law it has over drafts and chance."""


def offspring(tokens: Sequence[int], parents: Sequence[int]) -> dict[int, list[int]]:
    """All drafts below each node (-1 the root, else the first of equal siblings), repeated tokens included.

    >>> offspring([5, 5, 7, 8], [-1, -1, 0, 1])
    {-1: [0, 1], 0: [2, 3], 2: [], 3: []}
    """
    first: dict[int, int] = {-1: -1}
    below: dict[int, list[int]] = {-1: []}
    for i, (token, parent) in enumerate(zip(tokens, parents, strict=True)):
        siblings = below[first[parent]]
        first[i] = next((s for s in siblings if tokens[s] == token), i)
        siblings.append(i)
        if first[i] == i:
            below[i] = []
    return below


def child(below: Sequence[int], tokens: Sequence[int], token: int) -> int | None:
    """The first of the drafts ``below`` that is ``token``; None if there is none."""
    return next((i for i in below if tokens[i] == token), None)


def block_program(
    chance: Chance, target: Laws, draft: Laws, tokens: Sequence[int], parents: Sequence[int], select: Select
) -> tuple[int, ...]:
    """Select a child at every node down to a leaf, then verify this path as a block against the selected token's law.

    ``visit(node, weight)`` emits a continuation with probability ``weight``, and then with the target's law. Through
    the selected child come min(weight p, r); what weight p asks for beyond r is drawn after a failure below, and the
    weight that is still missing is failure here.
    """
    below = offspring(tokens, parents)

    def visit(node: int, weight: Number) -> tuple[int, ...] | None:
        law = target[node + 1]
        if not below[node]:
            return (chance.draw(law),) if chance.flip(weight) else None
        siblings = [tokens[i] for i in below[node]]
        token, selected = select(chance, law, draft[below[node][0]], siblings, weight)
        following = child(below[node], tokens, token)
        assert following is not None
        goal = [weight * p for p in law]
        deeper = visit(following, min(1, goal[token] / selected[token]))
        if deeper is not None:
            return (token, *deeper)
        rest = left_over(goal, selected)
        missing = sum(rest)
        return (chance.draw(rest),) if missing and chance.flip(missing / (missing + 1 - weight)) else None

    emitted = visit(-1, 1)
    return (chance.draw(target[0]),) if emitted is None else emitted  # the root has weight one: None by rounding only


class Level(NamedTuple):
    """The drafts below one node of every row.

    Attributes
    ----------
    target, draft : the laws there, (..., V).
    count : number of drafts, (...), 0 at a leaf.
    indices : all drafted tokens (..., N), those below the node first, in drawn order.
    tokens : their tokens; beyond ``count`` some token that the draft law can produce.
    most : no node at this depth can have more drafts below it.
    """

    target: Array
    draft: Array
    count: Array
    indices: Array
    tokens: Array
    most: int


def level(target: Array, draft: Array, tokens: Array, above: Array, here: Array, depth: int) -> Level:
    """The level below node ``here`` (0 the root, i + 1 drafted token i); ``above`` as from `merge_siblings`."""
    xp = namespace(target)
    mine = above == here[..., None]
    count = xp.sum(xp.astype(mine, tokens.dtype), axis=-1)
    indices = xp.astype(xp.argsort(xp.astype(~mine, xp.int32), axis=-1, stable=True), tokens.dtype)
    law = row(draft, indices[..., 0])
    place = xp.cumulative_sum(xp.ones_like(tokens), axis=-1)
    some = xp.astype(xp.argmax(law, axis=-1), tokens.dtype)[..., None]
    listed = xp.where(place <= count[..., None], xp.take_along_axis(tokens, indices, axis=-1), some)
    return Level(row(target, here), law, count, indices, listed, tokens.shape[-1] - depth)


def by_count(
    count: Array, most: int, arrays: tuple[Array, ...], choose: Callable[..., tuple[Array, ...]]
) -> tuple[Array, ...]:
    """``choose(m, *arrays)`` for every number m of drafts that can occur, each row with the answer for its own count.

    Where looking costs no synchronisation only the rows with m drafts are handed over, and absent m left out; else
    ``choose`` sees all rows, and what it says about the others is thrown away. Rows without drafts get
    anything; some row must have one.
    """
    xp = namespace(count)
    # jax arrays cannot be written to, and elsewhere than on the host a selection of rows would synchronise.
    apart = on_host(count) and not array_api_compat.is_jax_array(count)
    found: tuple[Array, ...] | None = None
    for m in range(1, most + 1):
        rows = count == m
        if apart and not bool(xp.any(rows)):
            continue
        given = tuple(array[rows] for array in arrays) if apart else arrays
        fresh = choose(m, *given)
        if found is None and not apart:
            found = fresh
        elif apart:
            if found is None:
                found = tuple(xp.zeros((*count.shape, *new.shape[1:]), dtype=new.dtype) for new in fresh)
            for old, new in zip(found, fresh, strict=True):
                old[rows] = new
        else:
            assert found is not None
            axes = [xp.reshape(rows, (*rows.shape, *[1] * (new.ndim - rows.ndim))) for new in fresh]
            found = tuple(xp.where(a, new, old) for a, new, old in zip(axes, fresh, found, strict=True))
    assert found is not None
    return found


Choose = Callable[[Level, Array], tuple[Array, Array]]
"""``choose(level, weight)``: the index of the selected draft (...) and the law of the selected token (..., V)."""


def block_step(
    target: Array, draft: Array, tokens: Array, coins: Array, final: Array, parents: Array, choose: Choose
) -> Verdict:
    """`block_program` for every row at once: the last passed test on the selected path decides how much is kept.

    ``coins`` (..., N): the test at the node of drafted token i takes the i-th; ``final`` (...) draws the last token.
    """
    xp = namespace(target)
    size = tokens.shape[-1]
    first, above = merge_siblings(tokens, xp.broadcast_to(xp.astype(parents, tokens.dtype), tokens.shape))
    here = xp.zeros_like(tokens[..., 0])
    weight = xp.ones_like(target[..., 0, 0])
    kept, law, walking = here, target[..., 0, :], xp.ones_like(here, dtype=xp.bool)
    for depth in range(size + 1):
        now = level(target, draft, tokens, above, here, depth)
        inner = (now.count > 0) & walking
        ended = depth == size or (on_host(inner) and not bool(xp.any(inner)))
        chosen = None if ended else choose(now, weight)
        stop, rest = weight, now.target
        if chosen is not None:
            missing = positive_part(weight[..., None] * now.target - chosen[1])
            total = xp.sum(missing, axis=-1)
            stop = xp.where(inner, ratio(total, total + (1 - weight)), stop)
            rest = xp.where(inner[..., None], normalise_or(missing, now.target), rest)
        if depth == 0:
            law = rest
        else:
            passed = walking & (take(coins, xp.where(here > 0, here - 1, here)) < stop)
            kept = xp.where(passed, here, kept)
            law = xp.where(passed[..., None], rest, law)
        walking = inner
        if chosen is None:
            break
        token = take(tokens, chosen[0])
        grown = ratio(weight * take(now.target, token), take(chosen[1], token))
        grown = xp.where(grown < 1, grown, xp.ones_like(grown))
        weight = xp.where(walking, grown, weight)
        here = xp.where(walking, take(first, chosen[0]) + 1, here)
    last = xp.astype(categorical(law, final), tokens.dtype)
    return Verdict(path_to(tokens, above, kept, last), kept - 1)


def walk_coins(n: int) -> tuple[str, ...]:
    """Coins of the walks that select: the position and the coin of every draft, then the test of every draft."""
    return tuple(f"{kind} {j}" for kind in ("position", "coin", "accept") for j in range(n))


def gathered(uniforms: Array, level: Level, size: int) -> tuple[Array, Array]:
    """Positions and coins of the drafts in the order of ``level.indices``, each (..., N)."""
    xp: Any = namespace(uniforms)
    return tuple(xp.take_along_axis(uniforms[..., k * size : (k + 1) * size], level.indices, axis=-1) for k in range(2))  # type: ignore[return-value]
