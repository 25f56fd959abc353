"""Chains in jax with explicit keys: target (K+1, V), draft (K, V), tokens (K,)."""

import jax
import jax.numpy as jnp


def split_keys(target, draft, tokens, key):
    """One key for the coins, one for the last token; categorical on logs."""
    coin_key, last_key = jax.random.split(key)
    length = tokens.shape[0]
    steps = jnp.arange(length)
    coins = jax.random.uniform(coin_key, (length,))
    passed = coins * draft[steps, tokens] < target[steps, tokens]
    kept = int(jnp.cumprod(passed.astype(jnp.int32)).sum())
    law = target[kept]
    if kept < length:
        rest = jnp.maximum(target[kept] - draft[kept], 0)
        law = jnp.where(rest.sum() > 0, rest, law)
    last = int(jax.random.categorical(last_key, jnp.log(law)))
    return [*tokens[:kept].tolist(), last]


def folded_keys(target, draft, tokens, key):
    """A key per position by fold_in; Gumbel noise on the log of the residual."""
    out = []
    for i, x in enumerate(tokens.tolist()):
        here = jax.random.fold_in(key, i)
        coin, noise = jax.random.split(here)
        if bool(jax.random.bernoulli(coin, jnp.minimum(1.0, target[i, x] / draft[i, x]))):
            out.append(x)
            continue
        rest = jnp.clip(target[i] - draft[i], 0)
        law = rest if float(rest.sum()) > 0 else target[i]
        return [*out, int(jnp.argmax(jnp.log(law) + jax.random.gumbel(noise, law.shape)))]
    last = jax.random.fold_in(key, len(out))
    return [*out, int(jax.random.categorical(last, jnp.log(target[-1])))]
