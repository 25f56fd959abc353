"""Trees in torch and numpy: target (N+1, V), draft (N+1, V), tokens (N,), parents (N,); row 0 is the root."""

import numpy as np
import torch


def recursive_walk(target, draft, tokens, parents, generator=None):
    """At each node its independent children are tried in order against what is left of the target."""
    node, emitted = -1, []
    while True:
        left, q = target[node + 1], draft[node + 1]
        for child in (parents == node).nonzero().flatten().tolist():
            x = int(tokens[child])
            if torch.rand((), dtype=target.dtype, generator=generator) < left[x] / q[x]:
                emitted.append(x)
                node = child
                break
            rest = (left - q).clamp(min=0)
            left = rest / rest.sum() if rest.sum() > 0 else left
        else:
            return [*emitted, int(torch.multinomial(left, 1, generator=generator))]


def one_coin_per_level(target, draft, tokens, parents, generator=None):
    """Target-only: one coin per level against the running sum of the distinct children's target mass."""
    rng = np.random if generator is None else generator
    coins = rng.random(len(tokens) + 1)
    node, level, emitted = -1, 0, []
    while True:
        law, reached, following, seen = target[node + 1], 0.0, None, []
        for child in np.flatnonzero(parents == node):
            x = int(tokens[child])
            if x in seen:
                continue
            seen.append(x)
            reached += law[x]
            if coins[level] < reached:
                following = int(child)
                break
        level += 1
        if following is None:
            rest = law.copy()
            rest[seen] = 0.0
            rest = rest if rest.sum() > 0 else law
            return [*emitted, int(rng.choice(len(rest), p=rest / rest.sum()))]
        emitted.append(int(tokens[following]))
        node = following


def match_down(target, draft, tokens, parents, generator=None):
    """A draw from the target at each node; the walk goes on while a child carries it."""
    children = {}
    for i, (parent, x) in enumerate(zip(parents.tolist(), tokens.tolist(), strict=True)):
        children.setdefault((parent, x), i)
    node, emitted = -1, []
    while node is not None:
        emitted.append(int(torch.multinomial(target[node + 1], 1, generator=generator)))
        node = children.get((node, emitted[-1]))
    return emitted


def distinct_children(target, draft, tokens, parents, generator=None):
    """Children drawn without replacement: each rejection also takes the token out of the draft law."""
    here, path = -1, []
    p, q = target[0].clone(), draft[0].clone()
    waiting = [i for i in range(len(tokens)) if parents[i] == here]
    while waiting:
        child = waiting.pop(0)
        x = int(tokens[child])
        if torch.rand((), dtype=p.dtype, generator=generator) * q[x] < p[x]:
            path.append(x)
            here, p, q = child, target[child + 1].clone(), draft[child + 1].clone()
            waiting = [i for i in range(len(tokens)) if parents[i] == here]
            continue
        rest = (p - q).clamp(min=0)
        p = rest / rest.sum() if rest.sum() > 0 else p
        q[x] = 0
        q = q / q.sum() if q.sum() > 0 else q
    return [*path, int(torch.multinomial(p, 1, generator=generator))]
