"""Chains in numpy, jax and plain Python, one mistake each: target (K+1, V), draft (K, V), tokens (K,)."""

import random

import jax
import jax.numpy as jnp
import numpy as np


def _left(target, draft):
    rest = np.maximum(target - draft, 0)
    return rest / rest.sum() if rest.sum() > 0 else target


def coin_used_again(target, draft, tokens, generator=None):
    """The uniform of the failed test also inverts the residual."""
    rng = np.random if generator is None else generator
    coins = rng.random(len(tokens) + 1)
    for i, x in enumerate(tokens):
        if coins[i] * draft[i, x] >= target[i, x]:
            edges = np.cumsum(_left(target[i], draft[i]))
            break
    else:
        i, edges = len(tokens), np.cumsum(target[-1])
    place = np.searchsorted(edges, coins[i] * edges[-1], side="right")
    return [*tokens[:i].tolist(), int(min(place, len(edges) - 1))]


def key_of_the_token(target, draft, tokens, key):
    """A coin's key is folded with the drafted token, not with its position: equal tokens share a coin."""
    coin_key, last_key = jax.random.split(key)
    for i, x in enumerate(tokens.tolist()):
        if float(draft[i, x]) * jax.random.uniform(jax.random.fold_in(coin_key, x)) >= target[i, x]:
            rest = jnp.maximum(target[i] - draft[i], 0)
            law = jnp.where(rest.sum() > 0, rest, target[i])
            return [*tokens[:i].tolist(), int(jax.random.categorical(last_key, jnp.log(law)))]
    return [*tokens.tolist(), int(jax.random.categorical(last_key, jnp.log(target[-1])))]


def ends_at_token_zero(target, draft, tokens, rng=None):
    """The draft is cut before its first end token (0); the target is drawn from in its place."""
    rng = rng or random
    drafted = tokens.tolist()
    length = drafted.index(0) if 0 in drafted else len(drafted)
    for i, x in enumerate(drafted[:length]):
        if rng.random() * draft[i, x] >= target[i, x]:
            law = _left(target[i], draft[i])
            return [*drafted[:i], rng.choices(range(len(law)), weights=law.tolist())[0]]
    return [*drafted[:length], rng.choices(range(target.shape[1]), weights=target[length].tolist())[0]]


def inverts_from_the_left(target, draft, tokens, generator=None):
    """The first token whose cumulated mass reaches u: at u = 0 that is token 0, whatever its probability."""
    rng = np.random.default_rng() if generator is None else generator
    kept, law = len(tokens), target[-1]
    for i, x in enumerate(tokens):
        if rng.random() * draft[i, x] >= target[i, x]:
            kept, law = i, _left(target[i], draft[i])
            break
    edges = np.cumsum(law)
    last = int(np.argmax(edges >= rng.random() * edges[-1]))
    return [*tokens[:kept].tolist(), last]


def top_p_on_corrections(target, draft, tokens, generator=None):
    """Corrections come from a nucleus of 0.9 of the target; the tests saw the whole of it."""
    rng = np.random.default_rng() if generator is None else generator
    for i, x in enumerate(tokens):
        if rng.random() < target[i, x] / draft[i, x]:
            continue
        order = np.argsort(-target[i], kind="stable")
        outside = np.cumsum(target[i][order]) - target[i][order] >= 0.9
        nucleus = target[i].copy()
        nucleus[order[outside]] = 0
        law = _left(nucleus / nucleus.sum(), draft[i])
        return [*tokens[:i].tolist(), int(rng.choice(len(law), p=law))]
    return [*tokens.tolist(), int(rng.choice(target.shape[1], p=target[-1]))]
