"""One node in numpy and plain Python, one mistake each: target (V,), draft (V,), tokens (n,)."""

import random

import numpy as np


def _left(target, draft):
    rest = np.maximum(target - draft, 0)
    return rest / rest.sum() if rest.sum() > 0 else target


def independent_rule_on_distinct(target, draft, tokens, generator=None):
    """The rule for independent drafts; these were drawn without replacement."""
    rng = np.random.default_rng() if generator is None else generator
    for index, x in enumerate(tokens):
        if rng.random() * draft[x] < target[x]:
            return int(x), index
        target = _left(target, draft)
    return int(rng.choice(len(target), p=target)), -1


def soft_law_for_fixed_drafts(target, draft, tokens, rng=None):
    """The drafts are the draft law's largest entries, and the ratio treats them as drawn from it."""
    rng = rng or random
    p, q = target.tolist(), draft.tolist()
    for x in tokens.tolist():
        if rng.random() * q[x] < p[x]:
            return x
        rest = [max(a - b, 0.0) for a, b in zip(p, q, strict=True)]
        p = [r / sum(rest) for r in rest] if any(rest) else p
    return rng.choices(range(len(p)), weights=p)[0]


def coin_used_again(target, draft, tokens, generator=None):
    """The uniform of the last test also inverts the residual."""
    rng = np.random.default_rng() if generator is None else generator
    u = 0.0
    for x in tokens:
        u = rng.random()
        if u * draft[x] < target[x]:
            return int(x)
        target = _left(target, draft)
    place = np.searchsorted(np.cumsum(target), u, side="right")
    return int(min(place, np.flatnonzero(target)[-1]))


def residual_not_normalised(target, draft, tokens, generator=None):
    """The residual's sums are compared with u, not with u times their total."""
    rng = np.random if generator is None else generator
    for x in tokens:
        if rng.random() < target[x] / draft[x]:
            return int(x)
        rest = np.maximum(target - draft, 0)
        target = rest if rest.any() else target
    edges = np.cumsum(target)
    return int(min(np.searchsorted(edges, rng.random(), side="right"), np.flatnonzero(target)[-1]))


def k_seq_forgets_its_tries(target, draft, tokens, generator=None):
    """SpecTr's tests; the residual takes off what one test keeps, not what n of them do."""
    rng = np.random if generator is None else generator
    n = len(tokens)
    low, high = 1.0, float(n)
    for _ in range(60):
        middle = (low + high) / 2
        beta = np.minimum(target / middle, draft).sum()
        low, high = (low, middle) if 1 - (1 - beta) ** n <= middle * beta else (middle, high)
    for x in tokens:
        if rng.random() * high * draft[x] < target[x]:
            return int(x)
    rest = target - np.minimum(target / high, draft)
    rest = rest if rest.sum() > 0 else target
    return int(rng.choice(len(target), p=rest / rest.sum()))


def token_zero_is_none(target, draft, tokens, rng=None):
    """`accepted or ...`: the accepted token 0 counts as nothing accepted."""
    rng = rng or random
    accepted = None
    law = target
    for x in tokens.tolist():
        if rng.random() * draft[x] < law[x]:
            accepted = x
            break
        law = _left(law, draft)
    return accepted or rng.choices(range(len(law)), weights=law.tolist())[0]


def drops_unlikely_drafts(target, draft, tokens, generator=None):
    """Drafts that the draft law thinks unlikely are not tested."""
    rng = np.random.default_rng() if generator is None else generator
    for index, x in enumerate(tokens):
        if draft[x] < 0.25:
            continue
        if rng.random() < target[x] / draft[x]:
            return int(x), index
        target = _left(target, draft)
    return int(rng.choice(len(target), p=target)), -1


def inverts_from_the_left(target, draft, tokens, generator=None):
    """searchsorted from the left: at u = 0 the first token is drawn, also where its probability is zero."""
    rng = np.random if generator is None else generator
    for x in tokens:
        if rng.random() * draft[x] < target[x]:
            return int(x)
        target = _left(target, draft)
    edges = np.cumsum(target)
    return int(np.searchsorted(edges, rng.random() * edges[-1], side="left"))
