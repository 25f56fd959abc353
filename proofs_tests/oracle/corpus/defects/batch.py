"""Batches of chains, one mistake each: target (B, K+1, V), draft (B, K, V), tokens (B, K)."""

import numpy as np
import torch


def _parts(target, draft, tokens):
    """Ratios (B, K) and, for K+1 positions, what the last token is drawn from (B, K+1, V)."""
    p = target[:, :-1].gather(2, tokens[..., None])[..., 0]
    q = draft.gather(2, tokens[..., None])[..., 0]
    rest = (target[:, :-1] - draft).clamp(min=0)
    rest = torch.where(rest.sum(-1, keepdim=True) > 0, rest, target[:, :-1])
    return p / q, torch.cat([rest, target[:, -1:]], dim=1)


def _rows(tokens, kept, last):
    return [[*tokens[b, : int(k)].tolist(), int(last[b])] for b, k in enumerate(kept)]


def same_coins_for_all_rows(target, draft, tokens, generator=None):
    """One row of uniforms is broadcast over the batch; each row alone is right."""
    ratio, laws = _parts(target, draft, tokens)
    coins = torch.rand(tokens.shape[1], dtype=target.dtype, generator=generator)
    kept = (coins < ratio).long().cumprod(1).sum(1)
    last = torch.multinomial(laws[torch.arange(len(kept)), kept], 1, generator=generator)
    return _rows(tokens, kept, last)


def one_inversion_for_all_rows(target, draft, tokens, generator=None):
    """The uniform that inverts the last tokens' laws is one for all rows; each row alone is right."""
    ratio, laws = _parts(target, draft, tokens)
    coins = torch.rand(ratio.shape, dtype=target.dtype, generator=generator)
    kept = (coins < ratio).long().cumprod(1).sum(1)
    edges = laws[torch.arange(len(kept)), kept].cumsum(-1)
    u = torch.rand((), dtype=target.dtype, generator=generator)
    last = (edges <= u * edges[:, -1:]).sum(-1)
    return _rows(tokens, kept, last)


def pads_with_the_vocabulary_size(target, draft, tokens, generator=None):
    """Places behind the last token hold V, one past the vocabulary, and are handed out with the row."""
    ratio, laws = _parts(target, draft, tokens)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).long().cumprod(1).sum(1)
    last = torch.multinomial(laws[torch.arange(len(kept)), kept], 1, generator=generator)
    out = torch.nn.functional.pad(tokens, (0, 1), value=0)
    out = out.masked_fill(torch.arange(out.shape[1]) > kept[:, None], target.shape[-1])
    return out.scatter(1, kept[:, None], last)


def product_over_rows(target, draft, tokens, generator=None):
    """cumprod runs over the batch instead of the positions."""
    ratio, laws = _parts(target, draft, tokens)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).long().cumprod(0).sum(1)
    last = torch.multinomial(laws[torch.arange(len(kept)), kept], 1, generator=generator)
    return _rows(tokens, kept, last)


def counts_all_passes(target, draft, tokens, generator=None):
    """The accepted prefix is as long as the number of passed tests, also those after a failed one."""
    ratio, laws = _parts(target, draft, tokens)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).sum(1)
    last = torch.multinomial(laws[torch.arange(len(kept)), kept], 1, generator=generator)
    return _rows(tokens, kept, last)


def normalised_over_batch(target, draft, tokens, generator=None):
    """The residuals are divided by the mean of their sums over the batch before inversion."""
    rng = np.random.default_rng() if generator is None else generator
    batch, length = tokens.shape
    coins = rng.random((batch, length + 1))
    kept, laws = [], target[:, -1].copy()
    for b in range(batch):
        passed = [coins[b, i] * draft[b, i, x] < target[b, i, x] for i, x in enumerate(tokens[b])]
        kept.append(length if all(passed) else passed.index(False))
        if kept[b] < length:
            rest = np.maximum(target[b, kept[b]] - draft[b, kept[b]], 0)
            laws[b] = rest if rest.any() else target[b, kept[b]]
    laws /= laws.sum(axis=-1).mean()
    places = (np.cumsum(laws, axis=-1) <= coins[:, -1:]).sum(axis=-1)
    ends = [np.flatnonzero(law)[-1] for law in laws]
    return [[*tokens[b, : kept[b]].tolist(), int(min(places[b], ends[b]))] for b in range(batch)]


def shortest_row_decides(target, draft, tokens, generator=None):
    """All rows keep as many drafts as the worst one, and then draw from the residual there."""
    ratio, laws = _parts(target, draft, tokens)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).long().cumprod(1).sum(1)
    kept = kept.min().expand(len(kept))
    last = torch.multinomial(laws[torch.arange(len(kept)), kept], 1, generator=generator)
    return _rows(tokens, kept, last)


def ends_with_the_first_rejection(target, draft, tokens, generator=None):
    """The loop over positions stops for every row as soon as one row rejects."""
    rng = np.random if generator is None else generator
    batch, length = tokens.shape
    out = [[] for _ in range(batch)]
    for i in range(length):
        rejected = False
        for b in range(batch):
            x = tokens[b, i]
            if rng.random() * draft[b, i, x] < target[b, i, x]:
                out[b].append(int(x))
                continue
            rest = np.maximum(target[b, i] - draft[b, i], 0)
            rest = rest if rest.any() else target[b, i]
            out[b].append(int(rng.choice(len(rest), p=rest / rest.sum())))
            rejected = True
        if rejected:
            break
    for row, law in zip(out, target[:, -1], strict=True):
        if len(row) == length:
            row.append(int(rng.choice(len(law), p=law)))
    return out


def placeholder_in_the_middle(target, draft, tokens, generator=None):
    """The last token goes to the end of the padded row, behind the placeholders of rejected drafts."""
    ratio, laws = _parts(target, draft, tokens)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).long().cumprod(1).sum(1)
    last = torch.multinomial(laws[torch.arange(len(kept)), kept], 1, generator=generator)
    steps = torch.arange(tokens.shape[1])
    return torch.cat([tokens.masked_fill(steps >= kept[:, None], -1), last], dim=1)


def sorted_and_not_back(target, draft, tokens, generator=None):
    """Rows are sorted by their accepted length for the last draw, and not put back."""
    ratio, laws = _parts(target, draft, tokens)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).long().cumprod(1).sum(1)
    order = kept.argsort(stable=True)
    last = torch.multinomial(laws[order, kept[order]], 1, generator=generator)
    return _rows(tokens, kept, last)


def bonus_by_flat_index(target, draft, tokens, generator=None):
    """The flat index of the last row is computed with K rows per sequence where there are K + 1."""
    batch, length = tokens.shape
    ratio, laws = _parts(target, draft, tokens)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).long().cumprod(1).sum(1)
    flat = laws.reshape(-1, laws.shape[-1])
    last = torch.multinomial(flat[torch.arange(batch) * length + kept], 1, generator=generator)
    return _rows(tokens, kept, last)


def residual_of_the_last_draft(target, draft, tokens, generator=None):
    """Draft rows beyond the end are clamped to the last one, so the bonus is drawn from a residual too."""
    batch, length = tokens.shape
    ratio, _ = _parts(target, draft, tokens)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).long().cumprod(1).sum(1)
    rows = torch.arange(batch)
    rest = (target[rows, kept] - draft[rows, kept.clamp(max=length - 1)]).clamp(min=0)
    rest = torch.where(rest.sum(-1, keepdim=True) > 0, rest, target[rows, kept])
    return _rows(tokens, kept, torch.multinomial(rest, 1, generator=generator))


def masks_the_callers_draft(target, draft, tokens, generator=None):
    """Draft rows behind the accepted prefix are zeroed in the caller's array. The first call's law is right."""
    ratio, laws = _parts(target, draft, tokens)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).long().cumprod(1).sum(1)
    draft[torch.arange(tokens.shape[1]) >= kept[:, None]] = 0
    last = torch.multinomial(laws[torch.arange(len(kept)), kept], 1, generator=generator)
    return _rows(tokens, kept, last)


def budget_by_content(target, draft, tokens, generator=None):
    """The batch drops the row ends whose drafted tokens are least likely; that looks at the tokens."""
    batch, length = tokens.shape
    ratio, _ = _parts(target, draft, tokens)
    confidence = draft.gather(2, tokens[..., None])[..., 0].cumprod(1)
    threshold = confidence.flatten().sort(descending=True).values[batch * length // 2]
    lengths = (confidence >= threshold).long().cumprod(1).sum(1)
    kept = (torch.rand(ratio.shape, dtype=target.dtype, generator=generator) < ratio).long().cumprod(1).sum(1)
    out = []
    for b in range(batch):
        k = int(torch.minimum(kept[b], lengths[b]))
        law = target[b, k]
        if k < int(lengths[b]):
            rest = (law - draft[b, k]).clamp(min=0)
            law = rest if rest.sum() > 0 else law
        out.append([*tokens[b, :k].tolist(), int(torch.multinomial(law, 1, generator=generator))])
    return out


def accepts_on_equality(target, draft, tokens, generator=None):
    """u * draft <= target: at u = 0 a token of target probability zero is accepted."""
    _, laws = _parts(target, draft, tokens)
    p = torch.take_along_dim(target[:, :-1], tokens[..., None], dim=2)[..., 0]
    q = torch.take_along_dim(draft, tokens[..., None], dim=2)[..., 0]
    coins = torch.rand(tokens.shape, dtype=target.dtype, generator=generator)
    kept = (coins * q <= p).long().cumprod(1).sum(1)
    last = torch.multinomial(laws[torch.arange(len(kept)), kept], 1, generator=generator)
    return _rows(tokens, kept, last)
