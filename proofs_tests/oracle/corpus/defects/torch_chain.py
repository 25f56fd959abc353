"""Chains in torch, one mistake each: target (K+1, V), draft (K, V), tokens (K,)."""

import torch


def _draw(weights, generator):
    return int(torch.multinomial(weights, 1, generator=generator))


def _left(target, draft):
    rest = (target - draft).clamp(min=0)
    return rest if rest.sum() > 0 else target


def draft_law_of_first_row(target, draft, tokens, generator=None):
    """The draft law of the round's first position serves all of them."""
    q = draft[0]
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) * q[x] >= target[i, x]:
            return [*tokens[:i].tolist(), _draw(_left(target[i], q), generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def bfloat16_draft_law(target, draft, tokens, generator=None):
    """The draft law is stored in bfloat16; the drafts were drawn before that."""
    draft = draft.to(torch.bfloat16).to(target.dtype)
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            return [*tokens[:i].tolist(), _draw(_left(target[i], draft[i]), generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def soft_law_for_argmax_drafts(target, draft, tokens, generator=None):
    """The drafts are the draft's most likely tokens, and the ratio treats them as drawn."""
    length = len(tokens)
    steps = torch.arange(length)
    ratio = target[steps, tokens] / draft[steps, tokens]
    kept = int((torch.rand_like(ratio) < ratio).long().cumprod(0).sum())
    law = target[kept] if kept == length else _left(target[kept], draft[kept])
    return [*tokens[:kept].tolist(), _draw(law, generator)]


def draft_temperature_twice(target, draft, tokens, generator=None):
    """The draft law, which already has its temperature, is sharpened once more."""
    draft = torch.softmax(draft.log() / 0.8, dim=-1)
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            return [*tokens[:i].tolist(), _draw(_left(target[i], draft[i]), generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def last_coins_are_one(target, draft, tokens, generator=None):
    """The buffer of coins is one too short, and a clamped index gives the last two positions the same coin."""
    length = len(tokens)
    coins = torch.rand(max(length - 1, 1), dtype=target.dtype, generator=generator)
    for i, x in enumerate(tokens.tolist()):
        if coins[min(i, len(coins) - 1)] >= target[i, x] / draft[i, x]:
            return [*tokens[:i].tolist(), _draw(_left(target[i], draft[i]), generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def reseeds_at_every_position(target, draft, tokens, generator=None, seed=123):
    """The seed is set inside the loop: all positions see the same uniform."""
    for i, x in enumerate(tokens.tolist()):
        torch.manual_seed(seed)
        if torch.rand((), dtype=target.dtype) >= target[i, x] / draft[i, x]:
            return [*tokens[:i].tolist(), _draw(_left(target[i], draft[i]), None)]
    return [*tokens.tolist(), _draw(target[-1], None)]


def softmax_of_residual(target, draft, tokens, generator=None):
    """The residual is turned into a law by softmax, so that zeros become positive."""
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            rest = (target[i] - draft[i]).clamp(min=0)
            return [*tokens[:i].tolist(), _draw(rest.softmax(-1), generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def absolute_difference(target, draft, tokens, generator=None):
    """The residual is |target - draft|."""
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            rest = (target[i] - draft[i]).abs()
            return [*tokens[:i].tolist(), _draw(rest / rest.sum(), generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def block_with_plain_residual(target, draft, tokens, generator=None):
    """Block verification whose correction comes from the token-wise residual, without the weight."""
    length, weight, kept = len(tokens), torch.ones((), dtype=target.dtype), 0
    for i in range(length):
        weight = torch.clamp(weight * target[i, tokens[i]] / draft[i, tokens[i]], max=1.0)
        test = weight
        if i + 1 < length:
            gain = (weight * target[i + 1] - draft[i + 1]).clamp(min=0).sum()
            slack = gain + 1 - weight
            test = gain / slack if slack > 0 else torch.ones_like(gain)
        if torch.rand((), dtype=target.dtype, generator=generator) < test:
            kept = i + 1
    law = target[length] if kept == length else _left(target[kept], draft[kept])
    return [*tokens[:kept].tolist(), _draw(law, generator)]


def subtracts_by_rank(target, draft, tokens, generator=None):
    """Both laws are sorted before they are subtracted, entry by entry."""
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            weights, order = target[i].sort(descending=True)
            rest = (weights - draft[i].sort(descending=True).values).clamp(min=0)
            rest = rest if rest.sum() > 0 else weights
            return [*tokens[:i].tolist(), int(order[_draw(rest, generator)])]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def bonus_one_row_early(target, draft, tokens, generator=None):
    """The bonus is drawn from row K-1."""
    length = tokens.shape[0]
    for i in range(length):
        x = int(tokens[i])
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            return [*tokens[:i].tolist(), _draw(_left(target[i], draft[i]), generator)]
    return [*tokens.tolist(), _draw(target[length - 1], generator)]


def emits_the_rejected(target, draft, tokens, generator=None):
    """The slice that keeps the accepted drafts is one too long."""
    length = len(tokens)
    steps = torch.arange(length)
    ratio = target[steps, tokens] / draft[steps, tokens]
    passed = torch.rand(length, dtype=ratio.dtype, generator=generator) < ratio
    if passed.all():
        return torch.cat([tokens, torch.multinomial(target[-1], 1, generator=generator)])
    i = int((~passed).nonzero()[0])
    last = torch.multinomial(_left(target[i], draft[i]), 1, generator=generator)
    return torch.cat([tokens[: i + 1], last])


def bonus_after_rejection(target, draft, tokens, generator=None):
    """A bonus is appended after a correction too; its row belongs to the rejected draft."""
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            correction = _draw(_left(target[i], draft[i]), generator)
            return [*tokens[:i].tolist(), correction, _draw(target[i + 1], generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def no_correction(target, draft, tokens, generator=None):
    """A rejection ends the round without a token; the next round starts afresh."""
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            return tokens[:i].tolist()
    return [*tokens.tolist(), _draw(target[-1], generator)]


def greedy_bonus(target, draft, tokens, generator=None):
    """The bonus is the most likely token at any temperature."""
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            return [*tokens[:i].tolist(), _draw(_left(target[i], draft[i]), generator)]
    return [*tokens.tolist(), int(target[-1].argmax())]


def top_two_residual(target, draft, tokens, generator=None):
    """Corrections are cut to two tokens by a top-k that the request did not ask for."""
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            weights, ids = _left(target[i], draft[i]).topk(2)
            return [*tokens[:i].tolist(), int(ids[_draw(weights, generator)])]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def divides_in_place(target, draft, tokens, generator=None):
    """The ratios overwrite the target that the residual is then formed from."""
    length = len(tokens)
    ratios = target[:length].div_(draft.clamp(min=1e-9))
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= ratios[i, x]:
            return [*tokens[:i].tolist(), _draw(_left(target[i], draft[i]), generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def answers_in_the_callers_tokens(target, draft, tokens, generator=None):
    """The correction is written into the caller's drafts. The first call's law is right."""
    for i in range(len(tokens)):
        x = tokens[i]
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            tokens[i] = _draw(_left(target[i], draft[i]), generator)
            return tokens[: i + 1]
    return torch.cat([tokens, torch.multinomial(target[-1], 1, generator=generator)])


def strips_zeros_as_padding(target, draft, tokens, generator=None):
    """Padding is 0, and so is a token."""
    out = torch.zeros(len(tokens) + 1, dtype=torch.long)
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            out[i] = _draw(_left(target[i], draft[i]), generator)
            break
        out[i] = x
    else:
        out[-1] = _draw(target[-1], generator)
    return out[out != 0]


def shorter_vocabulary(target, draft, tokens, generator=None):
    """Corrections are drawn from the first V - 1 tokens, a vocabulary size taken from elsewhere."""
    size = target.shape[-1] - 1
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            rest = (target[i, :size] - draft[i, :size]).clamp(min=0)
            rest = rest if rest.sum() > 0 else target[i]
            return [*tokens[:i].tolist(), _draw(rest, generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]


def drops_unlikely_drafts(target, draft, tokens, generator=None):
    """Drafting ends before the first token that the draft law thinks unlikely; that looks at the token itself."""
    length = len(tokens)
    for i, x in enumerate(tokens.tolist()):
        if draft[i, x] < 0.25:
            length = i
            break
    for i, x in enumerate(tokens[:length].tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            return [*tokens[:i].tolist(), _draw(_left(target[i], draft[i]), generator)]
    return [*tokens[:length].tolist(), _draw(target[length], generator)]


def accepts_on_equality(target, draft, tokens, generator=None):
    """u <= ratio: at u = 0 a token of target probability zero is accepted."""
    length = len(tokens)
    steps = torch.arange(length)
    ratio = target[steps, tokens] / draft[steps, tokens]
    rejected = torch.rand(length, dtype=ratio.dtype, generator=generator) > ratio
    kept = int((~rejected).long().cumprod(0).sum())
    law = target[kept] if kept == length else _left(target[kept], draft[kept])
    return torch.cat([tokens[:kept], torch.multinomial(law, 1, generator=generator)])


def bfloat16_uniforms(target, draft, tokens, generator=None):
    """Laws in bfloat16 on the way to the tests, and with them the uniforms."""
    length = len(tokens)
    steps = torch.arange(length)
    ratio = target[steps, tokens] / draft[steps, tokens]
    coins = torch.rand(length, dtype=torch.bfloat16, generator=generator)
    kept = int((coins < ratio).long().cumprod(0).sum())
    law = target[kept] if kept == length else _left(target[kept], draft[kept])
    return torch.cat([tokens[:kept], torch.multinomial(law, 1, generator=generator)])


def residual_with_a_floor(target, draft, tokens, generator=None):
    """The residual is clamped from below at 1e-4, so that nothing is ever zero."""
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) >= target[i, x] / draft[i, x]:
            rest = (target[i] - draft[i]).clamp(min=1e-4)
            return [*tokens[:i].tolist(), _draw(rest, generator)]
    return [*tokens.tolist(), _draw(target[-1], generator)]
