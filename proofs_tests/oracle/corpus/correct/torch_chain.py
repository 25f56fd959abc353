"""Chains in torch: target (K+1, V), draft (K, V), tokens (K,)."""

import torch


def loop_with_item(target, draft, tokens, generator=None):
    """One token after the other, with Python numbers."""
    emitted = []
    for i, token in enumerate(tokens.tolist()):
        p, q = target[i, token].item(), draft[i, token].item()
        if torch.rand((), generator=generator).item() < min(1.0, p / q):
            emitted.append(token)
            continue
        residual = torch.clamp(target[i] - draft[i], min=0)
        if residual.sum().item() == 0:  # only rounding leads here
            residual = target[i]
        emitted.append(torch.multinomial(residual, 1, generator=generator).item())
        return emitted
    emitted.append(torch.multinomial(target[-1], 1, generator=generator).item())
    return emitted


def vectorised(target, draft, tokens, generator=None):
    """All tests at once; the bonus is the residual against a draft law of zeros."""
    length = tokens.shape[0]
    chosen = tokens.unsqueeze(-1)
    ratio = target[:length].gather(-1, chosen).squeeze(-1) / draft.gather(-1, chosen).squeeze(-1)
    passed = torch.rand(length, dtype=ratio.dtype, generator=generator) < ratio
    kept = int(passed.int().cumprod(dim=0).sum())
    padded = torch.cat([draft, torch.zeros_like(draft[:1])])
    residual = (target[kept] - padded[kept]).clamp(min=0)
    residual = torch.where(residual.sum() > 0, residual, target[kept])
    last = torch.multinomial(residual / residual.sum(), 1, generator=generator)
    return torch.cat([tokens[:kept], last])


def early_return(target, draft, tokens, generator=None):
    """The uniform is multiplied by the draft's probability; nothing is divided."""
    for i in range(len(tokens)):
        x = tokens[i]
        u = torch.rand(1, dtype=target.dtype, generator=generator)
        if u * draft[i, x] >= target[i, x]:
            rest = torch.relu(target[i] - draft[i])
            law = rest if bool(rest.any()) else target[i]
            return [*tokens[:i].tolist(), int(torch.multinomial(law, 1, generator=generator))]
    return [*tokens.tolist(), int(torch.multinomial(target[len(tokens)], 1, generator=generator))]


def in_log_space(target, draft, tokens, generator=None):
    """Log ratios and log uniforms; log 0 is -inf and loses every comparison."""
    length = tokens.numel()
    steps = torch.arange(length)
    log_ratio = target.log()[steps, tokens] - draft.log()[steps, tokens]
    log_u = torch.empty(length, dtype=target.dtype).uniform_(generator=generator).log()
    # log u = -inf and log ratio = -inf: not below, so a token of target probability zero is rejected at u = 0 too.
    rejected = (~(log_u < log_ratio)).nonzero()
    if len(rejected) == 0:
        return torch.cat([tokens, target[length].multinomial(1, generator=generator)])
    i = int(rejected[0])
    log_rest = (target[i] - draft[i]).clamp_min(0).log()
    if torch.isinf(log_rest).all():
        log_rest = target[i].log()
    law = torch.softmax(log_rest, dim=-1)
    return torch.cat([tokens[:i], law.multinomial(1, generator=generator)])


def in_place_on_copies(target, draft, tokens, generator=None):
    """Buffers are overwritten, but they are the function's own."""
    out = torch.full((len(tokens) + 1,), -1, dtype=torch.long)
    p, q = target.clone(), draft.clone()
    for i, x in enumerate(tokens):
        coin = torch.empty((), dtype=p.dtype).uniform_(0.0, 1.0, generator=generator)
        if coin < p[i, x] / q[i, x]:
            out[i] = x
            continue
        p[i].sub_(q[i]).clamp_(min=0.0)
        total = p[i].sum()
        if total > 0:
            p[i].div_(total)
        else:
            p[i].copy_(target[i])
        out[i] = torch.multinomial(p[i], 1, generator=generator)[0]
        return out
    out[-1] = torch.multinomial(p[-1], 1, generator=generator)[0]
    return out


def bernoulli_coins(target, draft, tokens, generator=None):
    """Acceptance by torch.bernoulli, with the probability clamped to one."""
    emitted = []
    for i in range(tokens.shape[0]):
        x = int(tokens[i])
        accept = torch.bernoulli((target[i, x] / draft[i, x]).clamp(max=1.0), generator=generator)
        if accept:
            emitted.append(x)
        else:
            residual = torch.where(target[i] > draft[i], target[i] - draft[i], torch.zeros_like(target[i]))
            if residual.max() == 0:
                residual = target[i]
            return [*emitted, int(torch.multinomial(residual, num_samples=1, generator=generator))]
    return [*emitted, int(torch.multinomial(target[-1], num_samples=1, generator=generator))]


def block(target, draft, tokens, generator=None):
    """Block verification: the longest prefix whose own test passes is kept."""
    length, weight = len(tokens), torch.ones((), dtype=target.dtype)
    kept, kept_weight = 0, weight
    for i in range(length):
        x = tokens[i]
        weight = torch.clamp(weight * target[i, x] / draft[i, x], max=1.0)
        if i + 1 < length:
            gain = (weight * target[i + 1] - draft[i + 1]).clamp(min=0).sum()
            slack = gain + 1 - weight
            test = gain / slack if slack > 0 else torch.ones_like(gain)
        else:
            test = weight
        if torch.rand((), dtype=target.dtype, generator=generator) < test:
            kept, kept_weight = i + 1, weight
    if kept == length:
        law = target[length]
    else:
        law = (kept_weight * target[kept] - draft[kept]).clamp(min=0)
        law = law if law.sum() > 0 else target[kept]
    return [*tokens[:kept].tolist(), torch.multinomial(law, 1, generator=generator).item()]


def sampler_match(target, draft, tokens, generator=None):
    """The target is sampled at every position; drafts only tell how many of these draws count."""
    draws = torch.multinomial(target, 1, generator=generator).squeeze(1)
    agree = (draws[:-1] == tokens).long().cumprod(0).sum()
    return draws[: agree + 1]


def without_bonus(target, draft, tokens, generator=None):
    """After full acceptance the drafts alone are emitted: slower, and lossless."""
    emitted = []
    for i, x in enumerate(tokens):
        if torch.rand([], generator=generator) < target[i][x] / draft[i][x]:
            emitted.append(int(x))
            continue
        rest = torch.nn.functional.relu(target[i] - draft[i])
        rest = rest if rest.sum() > 0 else target[i]
        emitted.append(int(torch.multinomial(rest, 1, generator=generator)))
        break
    return emitted


def point_mass_drafts(target, draft, tokens, generator=None):
    """Drafts are taken as certain, so x is accepted with target(x). Lossless however they were drawn."""
    for i, x in enumerate(tokens.tolist()):
        law = target[i].clone()
        if torch.rand((), dtype=law.dtype, generator=generator) < law[x]:
            continue
        law[x] = 0
        if law.sum() == 0:
            law = target[i]
        return tokens[:i].tolist() + torch.multinomial(law, 1, generator=generator).tolist()
    return tokens.tolist() + torch.multinomial(target[len(tokens)], 1, generator=generator).tolist()


def stops_by_entropy(target, draft, tokens, generator=None):
    """Drafting stops where the draft law is flat. That looks at the prefix alone, so it is lossless."""
    length = len(tokens)
    for i in range(length):
        entropy = torch.special.entr(draft[i]).sum()
        if i > 0 and entropy > 1.0:
            length = i
            break
    emitted = tokens[:length].tolist()
    for i in range(length):
        x = emitted[i]
        if not torch.rand((), dtype=target.dtype, generator=generator) < target[i, x] / draft[i, x]:
            rest = torch.clamp(target[i] - draft[i], min=0)
            rest = rest if rest.sum() > 0 else target[i]
            return [*emitted[:i], int(torch.multinomial(rest, 1, generator=generator))]
    return [*emitted, int(torch.multinomial(target[length], 1, generator=generator))]


def half_laws(target, draft, tokens, generator=None):
    """Laws in half precision; ratios, residuals and uniforms in float32."""
    p, q = target.float(), draft.float()
    p, q = p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)
    kept = 0
    for i, x in enumerate(tokens.tolist()):
        if torch.rand((), dtype=torch.float32, generator=generator) >= p[i, x] / q[i, x]:
            rest = (p[i] - q[i]).clamp_(min=0)
            law = rest if rest.sum() > 0 else p[i]
            return [*tokens[:kept].tolist(), torch.multinomial(law, 1, generator=generator).item()]
        kept += 1
    return [*tokens.tolist(), torch.multinomial(p[kept], 1, generator=generator).item()]
