"""Where float arithmetic could betray a rule: peaked drafts, large vocabularies, extreme uniforms."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from specmath import acceptance, draft_laws, draws, exact, optimum, rules

PEAKS = [1e-3, 1e-6, 1e-9, 1e-12, 4e-16]
NODE = [(name, drafts) for name in rules.names("node") for drafts in rules.get(name).drafts]


def peaked(rest: float) -> np.ndarray:
    """A draft law of four tokens that holds 1 - rest on the second one."""
    return np.array([0.5 * rest, 1 - rest, 0.2 * rest, 0.3 * rest])


def output_law(name: str, drafts: str, target: np.ndarray, draft: np.ndarray, dtype: Any) -> np.ndarray:
    """Law of the emitted token over drafts (enumerated in float64) and uniforms (by their breakpoints)."""
    rule, n = rules.get(name), 1 if rules.get(name).at_most == 1 else 2
    p, q = target.astype(dtype), draft.astype(dtype)
    total = np.zeros(len(target))
    for tokens, probability in draft_laws.get(drafts).law([float(x) for x in draft], n).items():

        def emitted(u: np.ndarray, drawn: Any = tokens) -> list[int]:
            def rows(a: Any) -> Any:
                return np.broadcast_to(a, (len(u), len(a)))

            verdict = rule.verify(rows(p), rows(q), rows(np.array(drawn)), u.astype(np.float64), check=False)
            return verdict.tokens.tolist()

        for token, share in exact.law_of_uniforms(emitted, rule.uniforms(n)).items():
            total[token] += float(probability) * share
    return total


# A coupling is no function of few breakpoints; proofs_tests/transport/test_coupling.py has these drafts for it.
@pytest.mark.parametrize(("name", "drafts"), [pair for pair in NODE if rules.get(pair[0]).same_plan])
@pytest.mark.parametrize("rest", PEAKS)
def test_peaked_drafts_stay_lossless(name: str, drafts: str, rest: float) -> None:
    """float64: within 1e-9. float32 keeps 1 - rest to 6e-8, and the drafts come from the unrounded law: within 1e-6."""
    target = np.array([0.4, 0.3, 0.2, 0.1])
    for dtype, close in ((np.float64, 1e-9), (np.float32, 1e-6)):
        found = output_law(name, drafts, target, peaked(rest), dtype)
        assert np.abs(found - target).sum() / 2 < close


@pytest.mark.parametrize("rest", PEAKS)
def test_closed_forms_reach_the_optimum_of_peaked_drafts(rest: float) -> None:
    for target in ([0.4, 0.3, 0.2, 0.1], [0.0, 1.0, 0.0, 0.0], list(peaked(rest))):
        for name in ("greedy", "spechub"):
            found = acceptance(name, target, peaked(rest), 2)
            assert float(found.values) == pytest.approx(float(optimum(target, peaked(rest), 2, "greedy").acceptance))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_from_a_large_vocabulary_are_unbiased(dtype: Any) -> None:
    """The law of `categorical` on 128,000 tokens, from its thresholds; a sum in float32 would be off by 8e-4."""
    size = 128_000
    weights = np.random.default_rng(0).gamma(0.3, size=size).astype(dtype)
    weights /= weights.sum(dtype=np.float64)
    edges = np.cumsum(weights.astype(np.float64))
    inner = (edges[:-1] + edges[1:]) / 2 / edges[-1]  # the middle of each token's interval
    chosen = np.flatnonzero(weights[1:] > 1e-9)[::1000]
    tokens = draws.categorical(np.broadcast_to(weights, (len(chosen), size)), inner[chosen])
    assert (tokens == chosen + 1).all()
    single = np.cumsum(weights.astype(np.float32))  # control: what the sum in float32 would have done
    assert 0.5 * np.abs(np.diff(single / single[-1]) - np.diff(edges / edges[-1])).sum() > 1e-4


@pytest.mark.parametrize("name", rules.names("node"))
def test_monte_carlo_without_a_conditional_formula(name: str) -> None:
    """Rules that give neither a formula nor `given` are estimated by playing rounds: within 5 standard errors."""
    rule = rules.get(name)
    n = 1 if rule.at_most == 1 else 2
    target, draft = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    played = acceptance(replace(rule, formula=None, given=None), target, draft, n, replicates=4000)
    known = acceptance(rule, target, draft, n, replicates=4000)
    assert played.method == "monte-carlo"
    error = float(np.hypot(played.standard_error, known.standard_error))
    assert abs(float(played.values) - float(known.values)) < 5 * error + 1e-12


def test_impossible_drafts_are_refused() -> None:
    target, draft, coins = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.4] * 3
    for name, tokens in (
        ("greedy", [0, 1]),  # token 2 is the likeliest and must come first
        ("greedy", [2, 2]),
        ("spechub", [0, 1]),  # no hub
        ("spechub", [2, 2]),
        ("recursive_without_replacement", [1, 1]),
    ):
        rule = rules.get(name)
        with pytest.raises(ValueError, match=r"cannot be drafted by drafts="):
            rule.verify(target, draft, tokens, coins[: rule.uniforms(2)])
    for name, tokens in (("greedy", [2, 0]), ("spechub", [0, 2]), ("recursive_without_replacement", [1, 0])):
        rule = rules.get(name)
        rule.verify(target, draft, tokens, coins[: rule.uniforms(2)])


@pytest.mark.parametrize("drafts", draft_laws.names())
def test_possible_is_the_support_of_the_law(drafts: str) -> None:
    law, draft = draft_laws.get(drafts), [0.1, 0.2, 0.3, 0.4]
    every = np.stack(np.meshgrid(*[range(4)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    found = law.possible(np.broadcast_to(draft, (16, 4)), every)
    assert {tuple(tokens) for tokens in every[found].tolist()} == set(law.law(draft, 2))


def test_more_drafts_than_tokens() -> None:
    for name, drafts in NODE:
        rule = rules.get(name)
        if drafts == "iid" and rule.at_most is None:
            for size in (1, 2):
                law, tokens = np.full(size, 1 / size), np.arange(4) % size
                verdict = rule.verify(law, law, tokens, np.full(rule.uniforms(4), 0.3))
                assert verdict.tokens in tokens


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_wanted_ratio_that_overflows_revives_no_impossible_prefix(dtype: Any) -> None:
    """Token 1 has target probability 0; the next ratio overflows. 0 * inf must not become a weight of one."""
    tiny = float(np.nextafter(dtype(0), dtype(1)))
    target = np.array([[1, 0, 0], [0.9, 0.1, 0], [0.5, 0.5, 0]], dtype=dtype)
    draft = np.array([[0.5, 0.5, 0], [tiny, 1, 0]], dtype=dtype)
    for name, parents in (("block", None), ("traversal", [-1, 0])):
        verdict = rules.get(name).verify(target, draft, np.array([1, 0]), np.full(3, 0.5, dtype=dtype), parents)
        assert verdict.tokens.tolist() == [0, -1, -1]


def test_a_residual_of_rounding_never_emits_an_unwanted_token() -> None:
    """The draft exceeds the target everywhere by rounding: the zero residual falls back to the target."""
    target = np.array([0.5, 0.49995, 0.0], dtype=np.float32)
    draft = np.array([0.5, 0.49996, 4e-5], dtype=np.float32)
    for u in [*np.linspace(0, 0.999, 20), np.nextafter(1.0, 0.0)]:
        verdict = rules.get("single").verify(target, draft, np.array([2]), np.array([0.5, u]), check=False)
        assert verdict.tokens != 2


@pytest.mark.parametrize("name", [name for name in rules.names() if rules.get(name).layout != "tree"])
def test_programs_take_float_laws_that_differ_by_rounding(name: str) -> None:
    """Equal laws up to one unit in the last place: the zero residual, reached by rounding, falls back to the target."""
    rule = rules.get(name)
    generator = np.random.default_rng(0)
    for _ in range(20):
        law = generator.dirichlet(np.ones(3))
        other = [float(np.nextafter(x, generator.choice([0.0, 1.0]))) for x in law]
        count = 1 if rule.at_most == 1 else 2
        parents = [-1] * count if rule.layout == "node" else [-1, 0]
        found = rules.round_law(rule, lambda _, p=law: [float(x) for x in p], lambda _, q=other: q, parents)
        assert sum(found.values()) == pytest.approx(1)


def test_traversal_takes_float_laws_that_differ_by_rounding() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        law = generator.dirichlet(np.ones(3))
        other = [float(np.nextafter(x, generator.choice([0.0, 1.0]))) for x in law]
        play = (rules.get("traversal"), lambda _, p=law: [float(x) for x in p], lambda _, q=other: q, [-1, -1, 0])
        assert sum(rules.round_law(*play).values()) == pytest.approx(1)


def test_k_seq_ends_for_rare_overlaps() -> None:
    """beta is about 1e-8, where the float root is rounding: the exact factor still gets above it in a few steps."""
    small = Fraction(1, 10**8)
    target, draft = [small, 1 - small], [1 - small, small]
    law = rules.round_law(rules.get("k_seq"), lambda _: target, lambda _: draft, [-1, -1])
    assert law[(0,)] == small


def test_siblings_must_share_their_draft_law() -> None:
    rule = rules.get("traversal")
    target, draft = np.full((3, 2), 0.5), np.array([[0.5, 0.5], [0.0, 1.0]])  # reduced, as engines keep it
    with pytest.raises(ValueError, match="rows 0 and 1 belong to children of one node and differ"):
        rule.verify(target, draft, [0, 1], [0.5] * 3, [-1, -1])
    rule.verify(target, draft, [0, 1], [0.5] * 3, [-1, 0])  # a chain may


@pytest.mark.parametrize("dtype", [np.float16, np.int64, bool])
def test_coarse_uniforms_are_refused(dtype: Any) -> None:
    with pytest.raises(ValueError, match="uniforms: dtype"):
        rules.get("single").verify([0.5, 0.5], [0.5, 0.5], [0], np.zeros(2, dtype=dtype))


def test_mixed_libraries_are_named() -> None:
    torch = pytest.importorskip("torch")
    law = torch.tensor([0.5, 0.5])
    with pytest.raises(ValueError, match="target of torch, draft of torch, tokens of numpy, uniforms of torch"):
        rules.get("single").verify(law, law, [0], torch.zeros(2))
    with pytest.raises(ValueError, match="target of torch, draft of numpy"):
        optimum(law, [0.5, 0.5], 1)


def test_results_carry_the_largest_correction() -> None:
    law = np.array([0.5, 0.5 + 4e-10])
    assert acceptance("single", law, [0.5, 0.5], 1).correction == pytest.approx(4e-10, rel=1e-3)
    assert optimum([0.5, 0.5], law, 1).correction == pytest.approx(4e-10, rel=1e-3)
