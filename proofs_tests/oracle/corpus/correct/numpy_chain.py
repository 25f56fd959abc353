"""Chains in numpy: target (K+1, V), draft (K, V), tokens (K,)."""

# ruff: noqa: NPY002 (the global generator is what such code uses)

import numpy as np


def generator_choice(target, draft, tokens, generator=None):
    """A loop over positions with Generator.random and Generator.choice."""
    rng = np.random.default_rng() if generator is None else generator
    size = target.shape[-1]
    out = []
    for p, q, x in zip(target, draft, tokens, strict=False):
        if rng.random() < p[x] / q[x]:
            out.append(int(x))
            continue
        residual = np.maximum(p - q, 0.0)
        residual = p if residual.sum() == 0 else residual / residual.sum()
        return [*out, int(rng.choice(size, p=residual))]
    return [*out, int(rng.choice(size, p=target[-1]))]


def global_uniforms(target, draft, tokens, generator=None):
    """All uniforms at once from the global source; draws by searchsorted."""
    length = len(tokens)
    uniforms = np.random.rand(length + 1)
    steps = np.arange(length)
    passed = uniforms[:length] * draft[steps, tokens] < target[steps, tokens]
    kept = length if passed.all() else int(np.argmin(passed))
    law = target[kept]
    if kept < length:
        rest = np.clip(target[kept] - draft[kept], 0, None)
        law = rest if rest.any() else law
    edges = np.cumsum(law)
    place = np.searchsorted(edges, uniforms[length] * edges[-1], side="right")
    return np.append(tokens[:kept], min(place, np.flatnonzero(law)[-1]))


def in_place_rows(target, draft, tokens, generator=None):
    """Residuals of all positions in one buffer, normalised in place, -1 after the last token."""
    rng = generator if generator is not None else np.random.default_rng()
    rows = target.copy()
    np.subtract(rows[:-1], draft, out=rows[:-1])
    np.maximum(rows, 0, out=rows)
    empty = rows.sum(axis=-1) == 0
    rows[empty] = target[empty]
    rows /= rows.sum(axis=-1, keepdims=True)
    out = np.full(len(tokens) + 1, -1)
    for i, x in enumerate(tokens):
        if rng.uniform(0.0, 1.0) >= target[i, x] / draft[i, x]:
            out[i] = rng.choice(rows.shape[1], p=rows[i])
            return out
        out[i] = x
    out[-1] = rng.choice(rows.shape[1], p=rows[-1])
    return out


def block_backwards(target, draft, tokens, generator=None):
    """Block verification from the last position down: the first test that passes ends it."""
    rng = np.random if generator is None else generator
    length = len(tokens)
    weights = [1.0]
    for i, x in enumerate(tokens):
        weights.append(min(1.0, weights[-1] * target[i, x] / draft[i, x]))
    for kept in range(length, -1, -1):
        if kept == length:
            law, test = target[kept], weights[kept]
        else:
            law = np.maximum(weights[kept] * target[kept] - draft[kept], 0)
            gain = law.sum()
            test = 1.0 if kept == 0 else gain / max(gain + 1 - weights[kept], 1e-300)
        if kept == 0 or rng.random() < test:
            law = law if law.sum() > 0 else target[kept]
            return [*tokens[:kept].tolist(), int(rng.choice(law.size, p=law / law.sum()))]


def multinomial_one_hot(target, draft, tokens, generator=None):
    """Draws as one-hot vectors of a multinomial with one trial."""
    rng = generator or np.random.default_rng()
    emitted = tokens.tolist()
    for i, x in enumerate(emitted):
        if not rng.random() < target[i, x] / draft[i, x]:
            left = np.where(target[i] > draft[i], target[i] - draft[i], 0.0)
            left = left / left.sum() if left.sum() else target[i]
            return [*emitted[:i], int(rng.multinomial(1, left).argmax())]
    return [*emitted, int(np.argmax(rng.multinomial(1, target[-1])))]


def types_by_name(target, draft, tokens, generator=None):
    """Looks at types on the way: ``dtype=float``, ``isinstance(u, float)``, ``astype(float)``."""
    rng = np.random.default_rng() if generator is None else generator
    out = np.zeros(len(tokens) + 1, dtype=int) - 1
    for i, x in enumerate(tokens):
        u = float(rng.random())
        assert isinstance(u, float)
        p, q = np.asarray(target[i], dtype=float), draft[i].astype(float)
        if u < p[x] / q[x]:
            out[i] = x
            continue
        rest = np.maximum(p - q, 0)
        law = rest if rest.any() else p
        out[i] = int(rng.choice(len(law), p=law / law.sum()))
        return out
    out[-1] = rng.choice(target.shape[1], p=target[-1])
    return out
