"""One node in torch: target (V,), draft (V,), tokens (n,)."""

import torch


def recursive(target, draft, tokens, generator=None):
    """Independent drafts, one after the other against what is left of the target."""
    left = target
    for index, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) < left[x] / draft[x]:
            return x, index
        rest = (left - draft).clamp(min=0)
        if rest.sum() == 0:
            break
        left = rest / rest.sum()
    return int(torch.multinomial(left, 1, generator=generator)), -1


def recursive_without_replacement(target, draft, tokens, generator=None):
    """Distinct drafts: the draft law loses each token that was tried."""
    p, q = target.clone(), draft.clone()
    for index, x in enumerate(tokens):
        if p[x] > q[x] * torch.rand((), dtype=p.dtype, generator=generator):
            return int(x), index
        rest = torch.relu(p - q)
        if rest.sum() > 0:
            p = rest / rest.sum()
        q[x] = 0.0
        if q.sum() > 0:
            q = q / q.sum()
    return int(torch.multinomial(p, 1, generator=generator)), -1


def maximal_coupling(target, draft, tokens, generator=None):
    """One draft: a single uniform decides acceptance, a sorted residual the rest."""
    x = int(tokens[0])
    ratio = target[x] / draft[x]
    if torch.rand((), dtype=target.dtype, generator=generator).lt(ratio):
        return x
    weights, order = (target - draft).clamp(min=0).sort(descending=True)
    if weights[0] == 0:
        return x
    return int(order[torch.multinomial(weights, 1, generator=generator)])


def target_only(target, draft, tokens, generator=None):
    """One coin against the running sum of the distinct drafts' target mass."""
    coin = torch.rand((), dtype=target.dtype, generator=generator)
    reached, rest = torch.zeros((), dtype=target.dtype), target.clone()
    for index, x in enumerate(tokens.tolist()):
        reached = reached + rest[x]
        rest[x] = 0
        if coin < reached:
            return x, index
    if rest.sum() == 0:  # the drafts held everything, up to rounding
        return int(tokens[target[tokens].argmax()]), -1
    return int(torch.multinomial(rest, 1, generator=generator)), -1


def match(target, draft, tokens, generator=None):
    """A draw from the target, and which draft foresaw it."""
    token = torch.multinomial(target, 1, generator=generator)
    hits = (tokens == token).nonzero().flatten()
    return int(token), int(hits[0]) if len(hits) else -1
