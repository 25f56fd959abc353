"""Chains in torch whose draws are races or inversions: target (K+1, V), draft (K, V), tokens (K,)."""

import torch


def _residuals(target, draft):
    """(K+1, V): what is left at each position; the target's own last row for the bonus."""
    rest = (target[:-1] - draft).clamp(min=0)
    empty = rest.sum(-1, keepdim=True) == 0
    return torch.cat([torch.where(empty, target[:-1], rest), target[-1:]])


def exponential_race(target, draft, tokens, generator=None):
    """Every position's correction is drawn in advance, argmax of weight / exponential."""
    length = len(tokens)
    noise = torch.empty_like(target).exponential_(1.0, generator=generator)
    corrections = (_residuals(target, draft) / noise).argmax(dim=-1)
    steps = torch.arange(length)
    uniform = torch.rand(length, dtype=target.dtype, generator=generator)
    passed = uniform < target[steps, tokens] / draft[steps, tokens]
    kept = int(torch.cumprod(passed.long(), 0).sum())
    return torch.cat([tokens[:kept], corrections[kept : kept + 1]])


def shared_race(target, draft, tokens, generator=None):
    """One exponential per token, shared by all positions: at most one position uses it."""
    race = torch.empty(target.shape[-1], dtype=target.dtype).exponential_(generator=generator)
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) * draft[i, x] < target[i, x]:
            continue
        return [*tokens[:i].tolist(), int((_residuals(target, draft)[i] / race).argmax())]
    return [*tokens.tolist(), int((target[-1] / race).argmax())]


def gumbel_of_uniforms(target, draft, tokens, generator=None):
    """Gumbel noise -log(-log u) on the log of the residual."""
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            law, kept = _residuals(target, draft)[i], i
            break
    else:
        law, kept = target[-1], len(tokens)
    gumbel = -torch.log(-torch.log(torch.rand(law.shape, dtype=law.dtype, generator=generator)))
    return [*tokens[:kept].tolist(), int(torch.argmax(law.log() + gumbel))]


def gumbel_of_exponentials(target, draft, tokens, generator=None):
    """The target sampled by Gumbel noise at every position, then matched with the drafts."""
    gumbel = -torch.empty_like(target).exponential_(generator=generator).log()
    draws = (torch.log(target) + gumbel).argmax(-1).tolist()
    for i, x in enumerate(tokens.tolist()):
        if draws[i] != x:
            return draws[: i + 1]
    return draws


def inverted_cumsum(target, draft, tokens, generator=None):
    """Draws by inversion: the first token whose cumulated mass exceeds u times the total."""
    coins = torch.rand(len(tokens) + 1, dtype=target.dtype, generator=generator)
    for i, x in enumerate(tokens.tolist()):
        if coins[i] >= target[i, x] / draft[i, x]:
            law = _residuals(target, draft)[i]
            break
    else:
        i, law = len(tokens), target[-1]
    edges = law.cumsum(0)
    place = torch.searchsorted(edges, coins[-1] * edges[-1], right=True)
    last = law.nonzero().max()  # the product may round up to the total
    return [*tokens[:i].tolist(), int(torch.minimum(place, last))]


def sorted_residual(target, draft, tokens, generator=None):
    """The residual is sorted, cumulated from the largest, and the index mapped back."""
    kept, law = len(tokens), target[-1]
    for i in range(len(tokens)):
        x = tokens[i]
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            kept, law = i, _residuals(target, draft)[i]
            break
    weights, order = law.sort(descending=True)
    u = torch.rand((), dtype=target.dtype, generator=generator) * weights.sum()
    rank = int((weights.cumsum(0) <= u).sum())
    rank = min(rank, int((weights > 0).sum()) - 1)
    return [*tokens[:kept].tolist(), order[rank].item()]


def masked_row(target, draft, tokens, generator=None):
    """No branch on data: masks and where, padded with -1."""
    length = tokens.shape[0]
    steps = torch.arange(length + 1)
    own = target[:-1].gather(1, tokens[:, None])[:, 0]
    proposal = draft.gather(1, tokens[:, None])[:, 0]
    alive = (torch.rand(length, dtype=target.dtype, generator=generator) * proposal < own).long().cumprod(0)
    kept = alive.sum()
    corrections = torch.multinomial(_residuals(target, draft), 1, generator=generator)[:, 0]
    padded = torch.nn.functional.pad(tokens, (0, 1), value=-1)
    row = torch.where(steps < kept, padded, torch.full_like(padded, -1))
    return torch.where(steps == kept, corrections, row)
