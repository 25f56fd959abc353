"""One node in torch, one mistake each: target (V,), draft (V,), tokens (n,)."""

import torch


def _draw(weights, generator):
    return int(torch.multinomial(weights, 1, generator=generator))


def _left(target, draft):
    rest = (target - draft).clamp(min=0)
    return rest / rest.sum() if rest.sum() > 0 else target


def truncated_draft_law(target, draft, tokens, generator=None):
    """The ratio uses the draft law cut to its two largest entries; the drafts came from all of it."""
    floor = draft.topk(2).values[-1]
    draft = torch.where(draft >= floor, draft, torch.zeros_like(draft))
    draft = draft / draft.sum()
    for x in tokens.tolist():
        if torch.rand((), dtype=target.dtype, generator=generator) * draft[x] < target[x]:
            return x
        target = _left(target, draft)
    return _draw(target, generator)


def without_replacement_on_independent(target, draft, tokens, generator=None):
    """Tried tokens leave the draft law, as for distinct drafts; these are independent."""
    q = draft.clone()
    for index, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) * q[x] < target[x]:
            return x, index
        target = _left(target, q)
        q[x] = 0
        if q.sum() > 0:
            q /= q.sum()
    return _draw(target, generator), -1


def one_uniform_for_all(target, draft, tokens, generator=None):
    """Every draft is tested with the same uniform."""
    u = torch.rand((), dtype=target.dtype, generator=generator)
    for x in tokens.tolist():
        if u < target[x] / draft[x]:
            return x
        target = _left(target, draft)
    return _draw(target, generator)


def restarts_the_generator(target, draft, tokens, generator=None):
    """The generator goes back to its seed, for equal runs, and so plays the draws of the drafts once more."""
    if generator is not None:
        generator.manual_seed(generator.initial_seed())
    for x in tokens.tolist():
        if torch.rand((), dtype=target.dtype, generator=generator) < target[x] / draft[x]:
            return x
        target = _left(target, draft)
    return _draw(target, generator)


def residual_is_target(target, draft, tokens, generator=None):
    """After a rejection the draw is from the target itself."""
    for index, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) < target[x] / draft[x]:
            return x, index
    return _draw(target, generator), -1


def target_never_reduced(target, draft, tokens, generator=None):
    """Every draft is tested against the whole target; only the last draw is from a residual."""
    for index, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) < target[x] / draft[x]:
            return x, index
    return _draw(_left(target, draft), generator), -1


def corrects_by_argmax(target, draft, tokens, generator=None):
    """The correction is the residual's largest entry, not a draw."""
    for x in tokens.tolist():
        if torch.rand((), dtype=target.dtype, generator=generator) < target[x] / draft[x]:
            return x
        target = _left(target, draft)
    return int(target.argmax())


def temperature_in_test_only(target, draft, tokens, generator=None):
    """The test sees a sharpened target, the residual the plain one."""
    sharp = target**1.25
    sharp = sharp / sharp.sum()
    for x in tokens.tolist():
        if torch.rand((), dtype=target.dtype, generator=generator) < sharp[x] / draft[x]:
            return x
        target, sharp = _left(target, draft), _left(sharp, draft)
    return _draw(target, generator)


def zeroes_the_callers_target(target, draft, tokens, generator=None):
    """Drafts as point masses: rejected tokens are zeroed in the caller's array. The first call's law is right."""
    for index, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=target.dtype, generator=generator) * target.sum() < target[x]:
            return x, index
        if target.sum() > target[x]:
            target[x] = 0
    return _draw(target, generator), -1


def subtracts_before_the_ratio(target, draft, tokens, generator=None):
    """The residual overwrites the target before the first ratio is formed from it."""
    residual = target.sub_(draft).clamp_(min=0)
    for x in tokens.tolist():
        if torch.rand((), dtype=target.dtype, generator=generator) < target[x] / draft[x]:
            return x
    return _draw(residual if residual.sum() > 0 else draft, generator)


def last_id_is_padding(target, draft, tokens, generator=None):
    """The residual leaves out the last column, taken for the padding of the vocabulary."""
    for x in tokens.tolist():
        if torch.rand((), dtype=target.dtype, generator=generator) < target[x] / draft[x]:
            return x
        target = _left(target, draft)
    real = target[:-1]
    return _draw(real if real.sum() > 0 else target, generator)


def skips_duplicates(target, draft, tokens, generator=None):
    """A draft seen before is passed over, without its step of the residual."""
    tried = set()
    for index, x in enumerate(tokens.tolist()):
        if x in tried:
            continue
        tried.add(x)
        if torch.rand((), dtype=target.dtype, generator=generator) < target[x] / draft[x]:
            return x, index
        target = _left(target, draft)
    return _draw(target, generator), -1


def best_draft_first(target, draft, tokens, generator=None):
    """Drafts are tried in the order of their target probability."""
    order = target[tokens].argsort(descending=True)
    for x in tokens[order].tolist():
        if torch.rand((), dtype=target.dtype, generator=generator) < target[x] / draft[x]:
            return x
        target = _left(target, draft)
    return _draw(target, generator)


def accepts_on_equality(target, draft, tokens, generator=None):
    """u <= ratio: at u = 0 a token of target probability zero is accepted."""
    for x in tokens.tolist():
        if torch.rand((), dtype=target.dtype, generator=generator) <= target[x] / draft[x]:
            return x
        target = _left(target, draft)
    return _draw(target, generator)


def bfloat16_uniforms(target, draft, tokens, generator=None):
    """Uniforms in bfloat16: a grid of 256 points."""
    for index, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=torch.bfloat16, generator=generator) < target[x] / draft[x]:
            return x, index
        target = _left(target, draft)
    return _draw(target, generator), -1


def clamped_laws(target, draft, tokens, generator=None):
    """Laws are clamped at 1e-4 from below, so that their logarithms are finite; only zeros notice."""
    log_p, log_q = target.clamp(min=1e-4).log(), draft.clamp(min=1e-4).log()
    for x in tokens.tolist():
        if torch.rand((), dtype=target.dtype, generator=generator) < (log_p[x] - log_q[x]).exp():
            return x
        log_p = _left(log_p.exp(), log_q.exp()).log()
    return _draw(log_p.exp(), generator)
