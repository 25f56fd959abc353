"""Vectorised steps, formulas and draft laws with one planted defect each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from specmath import draft_laws, draws, rules
from specmath.draft_laws.greedy import rest
from specmath.rules import Verdict, single
from specmath.rules.token_wise import emit, final_law


def cumulative(weights: Any, uniform: Any) -> Any:
    """searchsorted from the left: at u = 0, or u on an edge, it returns a token of weight zero."""
    total = np.cumsum(weights, axis=-1)
    return np.argmax(total >= uniform[..., None] * total[..., -1:], axis=-1)


def cumulative_above(weights: Any, uniform: Any) -> Any:
    """Counts the tokens below the threshold, on a cumulative sum that is taken to end at one."""
    return np.minimum(np.sum(np.cumsum(weights, axis=-1) < uniform[..., None], axis=-1), weights.shape[-1] - 1)


def single_accepts_on_equality(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    token = tokens[..., 0]
    accept = uniforms[..., 0] * draws.take(draft, token) <= draws.take(target, token)
    emitted = np.where(accept, token, draws.categorical(draws.residual(target, draft), uniforms[..., 1]))
    return Verdict(emitted, draws.first_match(tokens, emitted))


def recursive_accepts_on_equality(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    emitted = np.full_like(tokens[..., 0], -1)
    n = tokens.shape[-1]
    for j in range(n):
        token = tokens[..., j]
        accept = (emitted < 0) & (uniforms[..., j] * draws.take(draft, token) <= draws.take(target, token))
        emitted = np.where(accept, token, emitted)
        target = np.where((emitted < 0)[..., None], draws.residual(target, draft), target)
    emitted = np.where(emitted < 0, draws.categorical(target, uniforms[..., n]), emitted)
    return Verdict(emitted, draws.first_match(tokens, emitted))


def token_wise_accepts_on_equality(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    length = tokens.shape[-1]
    passed = uniforms[..., :length] * draws.take(draft, tokens) <= draws.take(target[..., :length, :], tokens)
    kept = np.sum(np.cumprod(passed, axis=-1), axis=-1)
    law = final_law(target, draft, kept, np.ones_like(uniforms[..., 0]))
    return Verdict(emit(tokens, kept, draws.categorical(law, uniforms[..., length])), kept - 1)


def single_draws_zero_mass(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    token = tokens[..., 0]
    accept = uniforms[..., 0] * draws.take(draft, token) < draws.take(target, token)
    emitted = np.where(accept, token, cumulative(draws.residual(target, draft), uniforms[..., 1]))
    return Verdict(emitted, draws.first_match(tokens, emitted))


def match_draws_zero_mass(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    emitted = cumulative_above(target, uniforms[..., 0])
    return Verdict(emitted, draws.first_match(tokens, emitted))


def reuses_uniform(name: str) -> Any:
    """The final draw takes the last accept test's uniform."""
    step = rules.get(name).step

    def broken(target: Any, draft: Any, tokens: Any, uniforms: Any, *parents: Any) -> Verdict:
        shared = np.concatenate([uniforms[..., :-1], uniforms[..., -2:-1]], axis=-1)
        return step(target, draft, tokens, shared, *parents)

    return broken


def single_unnormalised_residual(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    token = tokens[..., 0]
    accept = uniforms[..., 0] * draws.take(draft, token) < draws.take(target, token)
    left = draws.positive_part(target - draft)
    emitted = np.where(accept, token, cumulative_above(left, uniforms[..., 1]))
    return Verdict(emitted, draws.first_match(tokens, emitted))


def block_without_cap(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    length = tokens.shape[-1]
    kept, weight = np.zeros_like(tokens[..., 0]), np.ones_like(target[..., 0, 0])
    kept_weight = weight
    for i in range(1, length + 1):
        token = tokens[..., i - 1]
        weight = weight * draws.take(target[..., i - 1, :], token) / draws.take(draft[..., i - 1, :], token)
        stop = weight
        if i < length:
            left = np.sum(draws.positive_part(weight[..., None] * target[..., i, :] - draft[..., i, :]), axis=-1)
            stop = draws.ratio(left, left + 1 - weight)
        passed = uniforms[..., i - 1] < stop
        kept, kept_weight = np.where(passed, i, kept), np.where(passed, weight, kept_weight)
    law = final_law(target, draft, kept, kept_weight)
    return Verdict(emit(tokens, kept, draws.categorical(law, uniforms[..., length])), kept - 1)


def block_residual_without_weight(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    found = rules.get("block").step(target, draft, tokens, uniforms)
    kept = found.accepted + 1
    law = final_law(target, draft, kept, np.ones_like(target[..., 0, 0]))
    return Verdict(emit(tokens, kept, draws.categorical(law, uniforms[..., -1])), found.accepted)


def bonus_from_row_before(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    target = np.concatenate([target[..., :-1, :], target[..., -2:-1, :]], axis=-2)
    return rules.get("token_wise").step(target, draft, tokens, uniforms)


def index_counts_from_one(name: str) -> Any:
    step = rules.get(name).step

    def broken(*args: Any) -> Verdict:
        verdict = step(*args)
        return Verdict(verdict.tokens, verdict.accepted + 1)

    return broken


def greedy_ignores_fixed(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    return single.step(target, draft, tokens[..., -1:], uniforms)


def distinct_keeps_draft(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    return rules.get("recursive").step(target, draft, tokens, uniforms)


def k_seq_factor_one(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    n = tokens.shape[-1]
    emitted = np.full_like(tokens[..., 0], -1)
    for j in range(n):
        accept = (emitted < 0) & (
            uniforms[..., j] * draws.take(draft, tokens[..., j]) < draws.take(target, tokens[..., j])
        )
        emitted = np.where(accept, tokens[..., j], emitted)
    drawn = draws.categorical(draws.residual(target, draft), uniforms[..., n])
    emitted = np.where(emitted < 0, drawn, emitted)
    return Verdict(emitted, draws.first_match(tokens, emitted))


def parents_ignored(target: Any, draft: Any, tokens: Any, uniforms: Any, parents: Any) -> Verdict:
    """Every drafted token is taken for a child of the one before."""
    return rules.get("traversal").step(target, draft, tokens, uniforms, np.arange(-1, tokens.shape[-1] - 1))


def spechub_hub_by_last(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    """Takes the second token of every pair for the hub."""
    return single.step(target, draft, tokens[..., :1], uniforms[..., [0, 2]])


def match_from_draft(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    emitted = draws.categorical(draft, uniforms[..., 0])
    return Verdict(emitted, draws.first_match(tokens, emitted))


def naive_list_tests_last(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Verdict:
    return rules.get("naive_list").step(target, draft, tokens[..., ::-1], uniforms)


# formulas


def match_by_ratio(target: Any, draft: Any, n: int, drafts: str) -> Any:
    return np.sum(np.minimum(target, 1 - (1 - draft) ** n), axis=-1)


def naive_counts_first_twice(target: Any, draft: Any, n: int, drafts: str) -> Any:
    return single.overlap(target, draft) + np.sum(np.maximum(target - draft, 0) * (1 - (1 - draft) ** n), axis=-1)


def recursive_as_power(target: Any, draft: Any, n: int, drafts: str) -> Any:
    return 1 - (1 - single.overlap(target, draft)) ** n


def distinct_as_recursive(target: Any, draft: Any, n: int, drafts: str) -> Any:
    return rules.get("recursive").formula(target, draft, n, drafts)


def greedy_unnormalised(target: Any, draft: Any, n: int, drafts: str) -> Any:
    fixed = rest(draft, n)[1]
    return np.sum(np.where(fixed, target, np.minimum(target, draft)), axis=-1)


def single_total_variation(target: Any, draft: Any, n: int, drafts: str) -> Any:
    return np.sum(np.abs(target - draft), axis=-1) / 2


def prefixes_by_target(target: Any, draft: Any, n: int) -> Any:
    """An optimum over prefixes of the order of the target alone."""
    order = np.argsort(target)
    p, q = (np.concatenate([[0.0], np.cumsum(law[order])]) for law in (target, draft))
    return SimpleNamespace(acceptance=1 + np.min(p - q**n))


def given_of_first(target: Any, draft: Any, tokens: Any) -> Any:
    return np.minimum(1, draws.ratio(draws.take(target, tokens[..., 0]), draws.take(draft, tokens[..., 0])))


# draft laws


def sample_keeps_tokens(draft: Any, n: int, uniforms: Any) -> Any:
    return draft_laws.get("iid").sample(draft, n, uniforms)


def sample_shares_uniform(draft: Any, n: int, uniforms: Any) -> Any:
    return draft_laws.get("iid").sample(draft, n, np.repeat(uniforms[..., :1], n, axis=-1))


def sample_from_unreduced(draft: Any, n: int, uniforms: Any) -> Any:
    """Greedy: the last draft may repeat a fixed token."""
    fixed = rest(draft, n)[0]
    return np.concatenate([fixed, draws.categorical(draft, uniforms[..., 0])[..., None]], axis=-1)


def sample_lowest(draft: Any, n: int, uniforms: Any) -> Any:
    """top_k from the wrong end of the order."""
    return draws.ranked(draft)[..., ::-1][..., :n]


def hub_always_second(draft: Any, n: int, uniforms: Any) -> Any:
    tokens = draft_laws.get("greedy").sample(draft, n, uniforms)
    return tokens[..., ::-1]


def inside_as_iid(draft: Any, n: int, members: Any) -> Any:
    return draft_laws.get("iid").inside(draft, n, members)


def inside_of_one(draft: Any, n: int, members: Any) -> Any:
    return np.sum(np.where(members, draft, 0.0), axis=-1)
