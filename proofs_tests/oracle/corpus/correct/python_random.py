"""Python's own random numbers: nodes, chains and trees on plain lists."""

import random


def _pick(weights, rng):
    """Index with probability proportional to its weight; zero weights are never picked."""
    threshold = rng.random() * sum(weights)
    for index, weight in enumerate(weights):
        threshold -= weight
        if threshold < 0:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)


def node_choices(target, draft, tokens, rng=None):
    """Sampler match by random.choices."""
    rng = rng or random
    (token,) = rng.choices(range(len(target)), weights=target.tolist())
    return token


def chain_on_lists(target, draft, tokens, rng=None):
    """Plain lists, and draws by subtracting weights from a threshold."""
    rng = rng or random
    out = []
    for p, q, x in zip(target.tolist(), draft.tolist(), tokens.tolist(), strict=False):
        if rng.random() * q[x] < p[x]:
            out.append(x)
        else:
            rest = [max(a - b, 0.0) for a, b in zip(p, q, strict=True)]
            return [*out, _pick(rest if any(rest) else p, rng)]
    return [*out, _pick(target[-1].tolist(), rng)]


def tree_top_children(target, draft, tokens, parents, rng=None):
    """Fixed drafts: a coin for each distinct child against its share of what is left, which then loses it."""
    rng = rng or random
    node, out = -1, []
    while True:
        law = target[node + 1].tolist()
        children = [i for i, parent in enumerate(parents.tolist()) if parent == node]
        for child in children:
            x = int(tokens[child])
            left = sum(law)
            if left > 0 and rng.random() * left < law[x]:
                out.append(x)
                node = child
                break
            if left > law[x]:
                law[x] = 0.0
        else:
            return [*out, _pick(law, rng)]


def tree_traversal(target, draft, tokens, parents, rng=None):
    """Traversal verification: leaves first; a rejected child changes the laws of its parent."""
    rng = rng or random
    tokens, parents = tokens.tolist(), parents.tolist()
    first, below = {-1: -1}, {-1: []}
    for i, (x, parent) in enumerate(zip(tokens, parents, strict=True)):  # equal siblings become one
        up = first[parent]
        first[i] = next((j for j in below[up] if tokens[j] == x), i)
        if first[i] == i:
            below[up].append(i)
            below[i] = []

    def visit(node, weight):
        goal = [weight * p for p in target[node + 1].tolist()]
        q = draft[node + 1].tolist()
        for child in below[node]:
            x = tokens[child]
            deeper = visit(child, min(1.0, goal[x] / q[x]))
            if deeper is not None:
                return [x, *deeper]
            rest = [max(g - b, 0.0) for g, b in zip(goal, q, strict=True)]
            mass = sum(rest)
            if mass == 0:
                return None
            failed = mass + 1 - weight
            goal, weight = [r / failed for r in rest], mass / failed
            q[x] = 0.0
            total = sum(q)
            q = [b / total for b in q] if total > 0 else q
        if rng.random() < weight:
            return [_pick(goal, rng)]
        return None

    found = visit(-1, 1.0)
    return found if found is not None else [_pick(target[0].tolist(), rng)]
