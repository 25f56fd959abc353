"""One node in numpy: target (V,), draft (V,), tokens (n,)."""

import numpy as np


def k_seq(target, draft, tokens, generator=None):
    """SpecTr: each draft against target / rho; rho by bisection, rounded up."""
    rng = np.random if generator is None else generator
    n = len(tokens)

    def kept(rho):
        return np.minimum(target / rho, draft)

    low, high = 1.0, float(n)
    for _ in range(60):
        middle = (low + high) / 2
        beta = kept(middle).sum()
        low, high = (low, middle) if 1 - (1 - beta) ** n <= middle * beta else (middle, high)
    for x in tokens:
        if rng.random() * high * draft[x] < target[x]:
            return int(x)
    beta = kept(high).sum()
    share = (1 - (1 - beta) ** n) / beta if beta > 0 else 0.0
    rest = np.maximum(target - share * kept(high), 0)
    rest = rest if rest.sum() > 0 else target
    return int(rng.choice(len(target), p=rest / rest.sum()))


def recursive_by_recursion(target, draft, tokens, generator=None):
    """Recursive rejection written as a recursion on the remaining drafts."""
    rng = np.random.default_rng() if generator is None else generator
    if len(tokens) == 0:
        return int(rng.choice(len(target), p=target))
    x = int(tokens[0])
    if rng.uniform() < target[x] / draft[x]:
        return x
    rest = np.clip(target - draft, 0, None)
    total = rest.sum()
    return recursive_by_recursion(rest / total if total > 0 else target, draft, tokens[1:], rng)


def mixture_of_tests(target, draft, tokens, generator=None):
    """All coins first, then the first draft that passed; drafts against the laws that earlier rejections leave."""
    rng = generator or np.random.default_rng()
    coins = rng.random(len(tokens))
    laws = [target]
    for _ in tokens:
        rest = np.maximum(laws[-1] - draft, 0)
        laws.append(rest / rest.sum() if rest.sum() > 0 else laws[-1])
    passed = [coin * draft[x] < law[x] for coin, x, law in zip(coins, tokens, laws, strict=False)]
    if any(passed):
        index = int(np.argmax(passed))
        return int(tokens[index]), index
    edges = np.cumsum(laws[-1])
    place = np.searchsorted(edges, rng.random() * edges[-1], side="right")
    return int(min(place, np.flatnonzero(laws[-1])[-1])), -1
