"""Traversal verification of a tree: leaves first, in depth-first order; a rejected leaf changes its parent's laws."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draws import categorical, normalise_or, ones_hot, positive_part, ratio, stack_last, take, without
from specmath.exact import Chance, Number, normalised
from specmath.rules.rule import Rule, Verdict
from specmath.rules.single import left_over
from specmath.rules.token_wise import Laws, row


def merged_children(tokens: Sequence[int], parents: Sequence[int]) -> dict[int, list[int]]:
    """Children of each node (-1 the root) in order of first appearance; equal siblings become one node.

    >>> merged_children([5, 5, 7, 8], [-1, -1, 0, 1])
    {-1: [0], 0: [2, 3], 2: [], 3: []}
    """
    same: dict[int, int] = {-1: -1}
    children: dict[int, list[int]] = {-1: []}
    for node, (token, parent) in enumerate(zip(tokens, parents, strict=True)):
        siblings = children[same[parent]]
        same[node] = next((s for s in siblings if tokens[s] == token), node)
        if same[node] == node:
            siblings.append(node)
            children[node] = []
    return children


def program(
    chance: Chance, target: Laws, draft: Laws, tokens: Sequence[int], parents: Sequence[int]
) -> tuple[int, ...]:
    children = merged_children(tokens, parents)

    def visit(node: int, weight: Number) -> tuple[int, ...] | None:
        """What is emitted below this node, or None if all of it, the node included, is rejected.

        ``goal`` is weight times the target: the mass that this node has to emit, token by token.
        """
        goal = [weight * p for p in target[node + 1]]
        left = draft[children[node][0]] if children[node] else ()
        for child in children[node]:
            token = tokens[child]
            below = visit(child, min(1, goal[token] / left[token]))
            if below is not None:
                return (token, *below)
            rest = left_over(goal, left)
            failed = sum(rest) + (1 - weight)
            if not sum(rest):
                return None
            goal, weight = [mass / failed for mass in rest], sum(rest) / failed
            left = [0 if x == token else q for x, q in enumerate(left)]
            left = normalised(left) if any(left) else left
        return (chance.draw(goal),) if chance.flip(weight) else None

    emitted = visit(-1, 1)
    return (chance.draw(target[0]),) if emitted is None else emitted  # the root has weight one: None by rounding only


def step(target: Array, draft: Array, tokens: Array, uniforms: Array, parents: Array) -> Verdict:
    """The same walk for every row of a batch at once; N + 1 turns, each tests one node per row.

    Nodes are numbered 0 (root) to N here, drafted token i being node i + 1. ``goal`` and ``left`` are the target and
    draft laws at every node as the rejections so far have changed them, ``weight`` the acceptance weights.
    """
    xp = namespace(target)
    size = tokens.shape[-1]
    numbers = xp.cumulative_sum(xp.ones_like(tokens), axis=-1) - 1
    first, parent = merge_siblings(tokens, xp.broadcast_to(xp.astype(parents, tokens.dtype), tokens.shape))
    alive = first == numbers
    goal, left = target, xp.concat([draft, xp.zeros_like(draft[..., :1, :])], axis=-2)
    left = row_of_children(left, parent, alive)
    weight = xp.concat([xp.ones_like(uniforms[..., :1]), xp.zeros_like(uniforms[..., :size])], axis=-1)
    tested = xp.zeros_like(weight, dtype=xp.bool)  # a child of this node was rejected: its weight is final
    final = xp.zeros_like(tokens[..., 0])
    done = xp.zeros_like(final, dtype=xp.bool)
    coins = xp.concat([xp.zeros_like(uniforms[..., :1]), uniforms[..., :size]], axis=-1)
    for _ in range(size + 1):
        here = xp.zeros_like(final)
        for _ in range(size):  # walk down to the first leaf, weighing the nodes on the way
            mine = alive & (parent == here[..., None])
            child = xp.argmax(xp.astype(mine, xp.int32), axis=-1)
            there = xp.any(mine, axis=-1)
            token = take(tokens, child)
            grown = ratio(take(weight, here) * entry(goal, here, token), entry(left, here, token))
            grown = xp.where(grown < 1, grown, xp.ones_like(grown))
            next_node = xp.astype(child + 1, final.dtype)
            fresh = there & ~take(tested, next_node)
            weight = xp.where(fresh[..., None] & ones_hot(next_node, size + 1, xp), grown[..., None], weight)
            here = xp.where(there, next_node, here)
        accepted = ~done & ((here == 0) | (take(coins, here) < take(weight, here)))
        final = xp.where(accepted, here, final)
        done = done | accepted
        child = xp.where(here > 0, here - 1, xp.zeros_like(here))
        above, token = take(parent, child), take(tokens, child)
        scaled = take(weight, above)[..., None] * row(goal, above)
        rest = positive_part(scaled - row(left, above))
        total = xp.sum(rest, axis=-1)
        shrunk = ratio(total, total + (1 - take(weight, above)))
        shrunk = xp.where(above == 0, xp.ones_like(shrunk), shrunk)  # the root is never rejected
        changed = ~done[..., None] & ones_hot(above, size + 1, xp)
        goal = xp.where(changed[..., None], normalise_or(rest, row(goal, above))[..., None, :], goal)
        left = xp.where(changed[..., None], without(row(left, above), token)[..., None, :], left)
        weight = xp.where(changed, shrunk[..., None], weight)
        tested = tested | changed
        alive = alive & ~(~done[..., None] & (numbers == child[..., None]))
    last = xp.astype(categorical(row(goal, final), uniforms[..., size]), tokens.dtype)
    return Verdict(path_to(tokens, parent, final, last), final - 1)


def entry(laws: Array, index: Array, token: Array) -> Array:
    """Laws (..., rows, V) at row ``index`` and token (...), without copying the row."""
    flat = namespace(laws).reshape(laws, (*laws.shape[:-2], -1))
    return take(flat, index * laws.shape[-1] + token)


def merge_siblings(tokens: Array, parents: Array) -> tuple[Array, Array]:
    """For every drafted token: the first equal sibling (index, itself if none), and the merged parent's node number."""
    xp = namespace(tokens)
    first: list[Array] = []
    above: list[Array] = []
    for i in range(tokens.shape[-1]):
        itself = xp.full_like(tokens[..., 0], i)
        up = parents[..., i]
        if not first:
            first.append(itself)
            above.append(up + 1)
            continue
        known = stack_last(first)
        merged = xp.where(up < 0, up, take(known, xp.where(up < 0, xp.zeros_like(up), up)))
        same = (tokens[..., :i] == tokens[..., i : i + 1]) & (stack_last(above) == merged[..., None] + 1)
        earlier = xp.astype(xp.argmax(xp.astype(same, xp.int32), axis=-1), tokens.dtype)
        first.append(xp.where(xp.any(same, axis=-1), earlier, itself))
        above.append(merged + 1)
    return stack_last(first), stack_last(above)


def row_of_children(draft: Array, parent: Array, alive: Array) -> Array:
    """Draft law at every node (..., N + 1, V): that of its first child; leaves get the zero row at the end."""
    xp = namespace(draft)
    size = parent.shape[-1]
    chosen = []
    for node in range(size + 1):
        mine = alive & (parent == node)
        child = xp.argmax(xp.astype(mine, xp.int32), axis=-1)
        chosen.append(row(draft, xp.where(xp.any(mine, axis=-1), child, xp.full_like(child, size))))
    return xp.stack(chosen, axis=-2)


def path_to(tokens: Array, parent: Array, final: Array, last: Array) -> Array:
    """Tokens from the root to node ``final``, then ``last``, then -1; (..., N + 1)."""
    xp = namespace(tokens)
    size = tokens.shape[-1]
    depths = [xp.zeros_like(tokens[..., 0])]
    for i in range(size):
        depths.append(take(stack_last(depths), parent[..., i]) + 1)
    depth = stack_last(depths)
    places = xp.cumulative_sum(xp.ones_like(depth), axis=-1) - 1
    deepest = take(depth, final)[..., None]
    path = xp.where(places == deepest, last[..., None], xp.full_like(depth, -1))
    here = final
    for _ in range(size):
        child = xp.where(here > 0, here - 1, xp.zeros_like(here))
        spot = (here > 0)[..., None] & (places == take(depth, here)[..., None] - 1)
        path = xp.where(spot, take(tokens, child)[..., None], path)
        here = xp.where(here > 0, take(parent, child), here)
    return path


RULE = Rule(
    name="traversal",
    purpose="judge a tree from the leaves up; reduces to block verification on a chain",
    source="weng2025traversal",
    layout="tree",
    drafts=("without_replacement", "iid"),
    lossless=True,
    program=program,
    step=step,
)
