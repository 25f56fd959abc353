"""Batches of chains: target (B, K+1, V), draft (B, K, V), tokens (B, K); one row of tokens each."""

import numpy as np
import torch


def gathered(target, draft, tokens, generator=None):
    """Whole batch at once; rows padded with -1."""
    batch, length = tokens.shape
    p = target[:, :length].gather(2, tokens[..., None])[..., 0]
    q = draft.gather(2, tokens[..., None])[..., 0]
    passed = torch.rand(batch, length, dtype=target.dtype, generator=generator) * q < p
    kept = passed.long().cumprod(dim=1).sum(dim=1)
    rows = torch.arange(batch)
    proposal = torch.cat([draft, torch.zeros_like(draft[:, :1])], dim=1)[rows, kept]
    own = target[rows, kept]
    rest = (own - proposal).clamp(min=0)
    rest = torch.where(rest.sum(-1, keepdim=True) > 0, rest, own)
    last = torch.multinomial(rest, 1, generator=generator)
    out = torch.cat([tokens, torch.full_like(last, -1)], dim=1)
    out = out.masked_fill(torch.arange(length + 1) > kept[:, None], -1)
    return out.scatter(1, kept[:, None], last)


def flat_with_offsets(target, draft, tokens, generator=None):
    """Rows laid end to end with offsets, as engines keep them; exponential races for the last tokens."""
    batch, length = tokens.shape
    offsets = torch.arange(0, batch * length + 1, length)
    flat_tokens, flat_draft = tokens.reshape(-1), draft.reshape(batch * length, -1)
    flat_target = target[:, :-1].reshape(batch * length, -1)
    coins = torch.rand(batch * length, dtype=target.dtype, generator=generator)
    race = torch.empty(batch, target.shape[-1], dtype=target.dtype).exponential_(generator=generator)
    out = []
    for row in range(batch):
        start, end = int(offsets[row]), int(offsets[row + 1])
        emitted, law = [], target[row, -1]
        for at in range(start, end):
            x = int(flat_tokens[at])
            if coins[at] >= flat_target[at, x] / flat_draft[at, x]:
                rest = (flat_target[at] - flat_draft[at]).clamp(min=0)
                law = rest if rest.sum() > 0 else flat_target[at]
                break
            emitted.append(x)
        out.append([*emitted, int((law / race[row]).argmax())])
    return out


def row_by_row(target, draft, tokens, generator=None):
    """numpy, a Python loop over rows, ragged lists."""
    rng = generator if generator is not None else np.random.default_rng()
    out = []
    for p, q, row in zip(target, draft, tokens, strict=True):
        for i, x in enumerate(row):
            if rng.random() * q[i, x] >= p[i, x]:
                rest = np.maximum(p[i] - q[i], 0)
                law = rest if rest.any() else p[i]
                kept = i
                break
        else:
            kept, law = len(row), p[-1]
        out.append([*row[:kept].tolist(), int(rng.choice(len(law), p=law / law.sum()))])
    return out


def matched(target, draft, tokens, generator=None):
    """Sampler match on the flattened batch."""
    batch, rows, size = target.shape
    draws = torch.multinomial(target.reshape(-1, size), 1, generator=generator).reshape(batch, rows)
    wrong = (draws[:, :-1] != tokens).long().cumsum(1) > 0
    stops = (~wrong).sum(1)
    return [draws[b, : int(stops[b]) + 1].tolist() for b in range(batch)]
