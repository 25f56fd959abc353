"""Trees, one mistake each: target (N+1, V), draft (N+1, V), tokens (N,), parents (N,); row 0 is the root."""

import random

import numpy as np
import torch


def _draw(weights, generator):
    return int(torch.multinomial(weights, 1, generator=generator))


def _left(target, draft):
    rest = (target - draft).clamp(min=0)
    return rest / rest.sum() if rest.sum() > 0 else target


def _children(parents, node):
    return (parents == node).nonzero().flatten().tolist()


def draft_row_of_the_child(target, draft, tokens, parents, generator=None):
    """The draft law is read at the child's row, which is the law of its own children."""
    node, out = -1, []
    while True:
        law = target[node + 1]
        for child in _children(parents, node):
            x, q = int(tokens[child]), draft[child + 1]
            if torch.rand((), dtype=law.dtype, generator=generator) * q[x] < law[x]:
                out.append(x)
                node = child
                break
            law = _left(law, q)
        else:
            return [*out, _draw(law, generator)]


def distinct_rule_on_independent(target, draft, tokens, parents, generator=None):
    """Tried siblings leave the draft law, as for distinct children; these are independent."""
    node, out = -1, []
    while True:
        law, q = target[node + 1], draft[node + 1].clone()
        for child in _children(parents, node):
            x = int(tokens[child])
            if torch.rand((), dtype=law.dtype, generator=generator) * q[x] < law[x]:
                out.append(x)
                node = child
                break
            law = _left(law, q)
            q[x] = 0
            q = q / q.sum() if q.sum() > 0 else q
        else:
            return [*out, _draw(law, generator)]


def soft_law_for_fixed_children(target, draft, tokens, parents, generator=None):
    """The children are the draft law's largest entries, and the ratio treats them as drawn from it."""
    node, out = -1, []
    while True:
        law = target[node + 1]
        for child in _children(parents, node):
            x = int(tokens[child])
            if torch.rand((), dtype=law.dtype, generator=generator) < law[x] / draft[node + 1, x]:
                out.append(x)
                node = child
                break
            law = _left(law, draft[node + 1])
        else:
            return [*out, _draw(law, generator)]


def one_coin_for_all_levels(target, draft, tokens, parents, generator=None):
    """Target-only with a single coin for the whole walk."""
    rng = np.random if generator is None else generator
    coin, node, out = rng.random(), -1, []
    while True:
        law, reached, following = target[node + 1].copy(), 0.0, None
        for child in np.flatnonzero(parents == node):
            reached += law[tokens[child]]
            if coin < reached:
                following = int(child)
                break
            law[tokens[child]] = 0
        if following is None:
            law = law if law.sum() > 0 else target[node + 1]
            return [*out, int(rng.choice(len(law), p=law / law.sum()))]
        out.append(int(tokens[following]))
        node = following


def siblings_share_a_coin(target, draft, tokens, parents, generator=None):
    """The ratio tests of siblings use one coin per level, as target-only may and they may not."""
    node, out = -1, []
    while True:
        law, coin = target[node + 1], torch.rand((), dtype=target.dtype, generator=generator)
        for child in _children(parents, node):
            x = int(tokens[child])
            if coin * draft[node + 1, x] < law[x]:
                out.append(x)
                node = child
                break
            law = _left(law, draft[node + 1])
        else:
            return [*out, _draw(law, generator)]


def fresh_coin_per_sibling(target, draft, tokens, parents, generator=None):
    """Target-only whose running sum meets a new coin at every sibling."""
    rng = np.random.default_rng() if generator is None else generator
    node, out = -1, []
    while True:
        law, reached, following = target[node + 1].copy(), 0.0, None
        for child in np.flatnonzero(parents == node):
            reached += law[tokens[child]]
            if rng.random() < reached:
                following = int(child)
                break
            law[tokens[child]] = 0
        if following is None:
            law = law if law.sum() > 0 else target[node + 1]
            return [*out, int(rng.choice(len(law), p=law / law.sum()))]
        out.append(int(tokens[following]))
        node = following


def paths_judged_apart(target, draft, tokens, parents, generator=None):
    """Each root-to-leaf path draws its own tokens; a node on several paths has several chances."""
    parents, leaves = parents.tolist(), [i for i in range(len(tokens)) if i not in parents.tolist()]
    best = []
    for leaf in leaves or [-1]:
        path = []
        while leaf >= 0:
            path.insert(0, leaf)
            leaf = parents[leaf]
        emitted, node = [], -1
        for following in [*path, None]:
            emitted.append(_draw(target[node + 1], generator))
            if following is None or emitted[-1] != int(tokens[following]):
                break
            node = following
        best = emitted if len(emitted) > len(best) else best
    return best


def rejected_child_stays(target, draft, tokens, parents, rng=None):
    """Fixed drafts with a coin per child; a rejected child's mass is not taken out."""
    rng = rng or random
    node, out = -1, []
    while True:
        law = target[node + 1].tolist()
        for child in [i for i, parent in enumerate(parents.tolist()) if parent == node]:
            if rng.random() < law[int(tokens[child])]:
                out.append(int(tokens[child]))
                node = child
                break
        else:
            return [*out, rng.choices(range(len(law)), weights=law)[0]]


def last_row_of_the_parent(target, draft, tokens, parents, generator=None):
    """Below the root the walk reads row `node` instead of `node + 1`."""
    node, out = -1, []
    while True:
        row = max(node, 0)
        law = target[row]
        for child in _children(parents, node):
            x = int(tokens[child])
            if torch.rand((), dtype=law.dtype, generator=generator) * draft[row, x] < law[x]:
                out.append(x)
                node = child
                break
            law = _left(law, draft[row])
        else:
            return [*out, _draw(law, generator)]


def final_draw_ignores_rejections(target, draft, tokens, parents, generator=None):
    """The token after the last accepted node is drawn from the node's target, rejected children or not."""
    node, out = -1, []
    while True:
        law = target[node + 1]
        for child in _children(parents, node):
            x = int(tokens[child])
            if torch.rand((), dtype=law.dtype, generator=generator) * draft[node + 1, x] < law[x]:
                out.append(x)
                node = child
                break
            law = _left(law, draft[node + 1])
        else:
            return [*out, _draw(target[node + 1], generator)]


def candidate_after_the_path(target, draft, tokens, parents, generator=None):
    """The token after the accepted path is taken from the candidates, one index too far, instead of drawn."""
    node, out = -1, []
    while True:
        law, below = target[node + 1], _children(parents, node)
        for child in below:
            x = int(tokens[child])
            if torch.rand((), dtype=law.dtype, generator=generator) * draft[node + 1, x] < law[x]:
                out.append(x)
                node = child
                break
            law = _left(law, draft[node + 1])
        else:
            return [*out, int(tokens[below[-1]])] if below else [*out, _draw(law, generator)]


def zeroes_the_callers_rows(target, draft, tokens, parents, generator=None):
    """Fixed drafts: rejected children are zeroed in a view of the caller's target. The first call's law is right."""
    node, out = -1, []
    while True:
        law = target[node + 1]
        for child in _children(parents, node):
            x = int(tokens[child])
            if torch.rand((), dtype=law.dtype, generator=generator) * law.sum() < law[x]:
                out.append(x)
                node = child
                break
            if law.sum() > law[x]:
                law[x] = 0
        else:
            return [*out, _draw(law, generator)]


def child_of_anybody(target, draft, tokens, parents, generator=None):
    """The drawn token is looked up among all nodes of the next level, not among the children of this one."""
    depths = []
    for parent in parents.tolist():
        depths.append(0 if parent < 0 else depths[parent] + 1)
    levels = torch.tensor(depths)
    node, depth, out = -1, 0, []
    while node is not None:
        out.append(_draw(target[node + 1], generator))
        hits = ((levels == depth) & (tokens == out[-1])).nonzero().flatten().tolist()
        node, depth = (hits[0] if hits else None), depth + 1
    return out


def skips_equal_siblings(target, draft, tokens, parents, generator=None):
    """A sibling that repeats a tried token is passed over, without its step of the residual."""
    node, out = -1, []
    while True:
        law, tried = target[node + 1], set()
        for child in _children(parents, node):
            x = int(tokens[child])
            if x in tried:
                continue
            tried.add(x)
            if torch.rand((), dtype=law.dtype, generator=generator) * draft[node + 1, x] < law[x]:
                out.append(x)
                node = child
                break
            law = _left(law, draft[node + 1])
        else:
            return [*out, _draw(law, generator)]


def prunes_unlikely_nodes(target, draft, tokens, parents, generator=None):
    """Nodes whose path the draft thinks unlikely are cut after they were drawn."""
    chance = []
    for x, parent in zip(tokens.tolist(), parents.tolist(), strict=True):
        chance.append(draft[parent + 1, x] * (chance[parent] if parent >= 0 else 1.0))
    node, out = -1, []
    while True:
        law = target[node + 1]
        for child in _children(parents, node):
            x = int(tokens[child])
            if chance[child] < 0.1:
                continue
            if torch.rand((), dtype=law.dtype, generator=generator) * draft[node + 1, x] < law[x]:
                out.append(x)
                node = child
                break
            law = _left(law, draft[node + 1])
        else:
            return [*out, _draw(law, generator)]


def node_zero_is_padding(target, draft, tokens, parents, generator=None):
    """Accepted nodes are kept in a buffer padded with 0, and node 0 is stripped with the padding."""
    path, depth, node = torch.zeros(len(tokens), dtype=torch.long), 0, -1
    while True:
        last = _draw(target[node + 1], generator)
        match = next((i for i in _children(parents, node) if int(tokens[i]) == last), None)
        if match is None:
            return [*tokens[path[path > 0]].tolist(), last]
        path[depth] = node = match
        depth += 1


def half_precision_coins(target, draft, tokens, parents, generator=None):
    """Coins in bfloat16 against ratios in full precision."""
    coins = torch.rand(len(tokens), dtype=torch.bfloat16, generator=generator)
    node, out = -1, []
    while True:
        law = target[node + 1]
        for child in _children(parents, node):
            x = int(tokens[child])
            if coins[child] < law[x] / draft[node + 1, x]:
                out.append(x)
                node = child
                break
            law = _left(law, draft[node + 1])
        else:
            return [*out, _draw(law, generator)]


def accepts_on_equality(target, draft, tokens, parents, generator=None):
    """coin <= ratio: at a coin of 0 a token of target probability zero is accepted."""
    node, out = -1, []
    while True:
        law = target[node + 1]
        for child in _children(parents, node):
            x = int(tokens[child])
            if law[x] / draft[node + 1, x] >= torch.rand((), dtype=law.dtype, generator=generator):
                out.append(x)
                node = child
                break
            law = _left(law, draft[node + 1])
        else:
            return [*out, _draw(law, generator)]
