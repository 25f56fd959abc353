"""verify on numpy, torch, jax and array-api-strict; batches; permuted tokens; nothing is looked at on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from specmath import draft_laws, rules

ROWS, SIZE = 400, 6


def inputs(name: str, dtype: Any = np.float64, shape: tuple[int, ...] = (ROWS,)) -> list[np.ndarray]:
    """Random laws with zeros, drafts inside the support, uniforms and, for trees, parents."""
    rule, generator = rules.get(name), np.random.default_rng(0)
    parents = (-1, 0, -1, 2) if rule.shape == "paths" else (-1, -1, 0, 0, 1)
    if name == "spectr" or not rule.same_plan:
        parents = (-1, -1, 0)  # jax compiles a root search, or a coupling, for every depth and number of siblings
    n = {"node": min(rule.at_most or 3, 3), "chain": 3, "tree": len(parents)}[rule.layout]

    def laws(*rows: int) -> np.ndarray:
        weights = generator.exponential(size=(*shape, *rows, SIZE)) * (generator.random((*shape, *rows, SIZE)) < 0.7)
        weights[..., 0] += 0.1
        return (weights / weights.sum(-1, keepdims=True)).astype(dtype)

    node = rule.layout == "node"
    target, draft = laws() if node else laws(n + 1), laws() if node else laws(n)
    draft = 0.9 * draft + 0.1 * generator.dirichlet(np.ones(SIZE), draft.shape[:-1])  # no zeros, hence no ties
    if rule.layout == "tree":
        for later in range(n):  # siblings share their draft law
            draft[..., later, :] = draft[..., parents.index(parents[later]), :]
    draft = (draft / draft.sum(-1, keepdims=True)).astype(dtype)
    if node:
        law = draft_laws.get(rule.drafts[0])
        tokens = law.sample(draft, n, generator.random((*shape, law.uniforms(n))))
    else:
        tokens = generator.integers(0, SIZE, size=(*shape, n))
    uniforms = generator.random((*shape, rule.uniforms(n))).astype(dtype)
    uniforms = np.minimum(uniforms, np.nextafter(dtype(1), dtype(0)))
    arrays = [target, draft, tokens.astype(np.int32), uniforms]
    return [*arrays, np.array(parents, dtype=np.int32)] if rule.layout == "tree" else arrays


def verdict(name: str, arrays: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    found = rules.get(name).verify(*arrays, **options)
    return np.asarray(found.tokens), np.asarray(found.accepted)


def assert_equal(left: Any, right: Any) -> None:
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", rules.names())
def test_a_batch_is_its_rows(name: str) -> None:
    arrays = inputs(name)
    whole, extra = verdict(name, arrays), arrays[4:]
    for i in range(0, ROWS, 40):
        row = verdict(name, [*(array[i] for array in arrays[:4]), *extra])
        assert_equal((whole[0][i], whole[1][i]), row)


@pytest.mark.parametrize("name", rules.names())
@pytest.mark.parametrize("shape", [(20, 20), (2, 10, 20), (1, 400)])
def test_leading_axes_of_any_rank(name: str, shape: tuple[int, ...]) -> None:
    arrays = inputs(name)
    whole = verdict(name, arrays)
    folded = verdict(name, [*(a.reshape(*shape, *a.shape[1:]) for a in arrays[:4]), *arrays[4:]])
    assert_equal(whole, [array.reshape(ROWS, *array.shape[len(shape) :]) for array in folded])


@pytest.mark.parametrize("name", rules.names())
def test_torch_gives_numpys_tokens(name: str) -> None:
    """float64: equal, because no uniform lies within a rounding error of a breakpoint (400 rows, chance 1e-10)."""
    torch = pytest.importorskip("torch")
    arrays = inputs(name)
    assert_equal(verdict(name, arrays), verdict(name, [torch.asarray(array) for array in arrays]))


@pytest.mark.parametrize("name", rules.names())
def test_array_api_strict_gives_numpys_tokens(name: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    arrays = inputs(name)
    assert_equal(verdict(name, arrays), verdict(name, [strict.asarray(array) for array in arrays], check=False))


def differing(left: Any, right: Any) -> int:
    """Rows with different tokens or index."""
    rows = [
        np.asarray(a).reshape(ROWS, -1) != np.asarray(b).reshape(ROWS, -1) for a, b in zip(left, right, strict=True)
    ]
    return int(np.sum(np.any(np.concatenate(rows, axis=1), axis=1)))


ALLOWED = 2
"""Rows of 400 that float32 may decide differently.

A breakpoint moves by some 30 float32 roundings at most, 2e-6, and a row meets at most 20 breakpoints: 0.016 rows are
expected to change, three or more have a chance below 1e-6.
"""


@pytest.mark.parametrize("name", rules.names())
@pytest.mark.parametrize("how", ["jit", "vmap"])
def test_jax_without_x64_gives_numpys_tokens(name: str, how: str) -> None:
    jax = pytest.importorskip("jax")
    arrays = inputs(name, np.float32)
    rule, parents = rules.get(name), arrays[4:]
    ours = [jax.numpy.asarray(array) for array in arrays[:4]]
    extra = [jax.numpy.asarray(array) for array in parents]

    def step(*row: Any) -> Any:
        return rule.verify(*row, *extra)

    found = jax.jit(step)(*ours) if how == "jit" else jax.vmap(step)(*ours)
    want = verdict(name, arrays)
    assert differing(found, want) <= ALLOWED
    assert differing(found, verdict(name, [arrays[0][..., ::-1].copy(), *arrays[1:]], check=False)) > ALLOWED


@pytest.mark.parametrize("name", [name for name in rules.names() if name != "sampler_match"])
def test_permuted_tokens_give_permuted_accepts(name: str) -> None:
    """Accepted tokens are renamed with the vocabulary; the final draw goes by token order, so it may differ."""
    arrays = inputs(name)
    shuffle = np.random.default_rng(1).permutation(SIZE)
    place = np.argsort(shuffle)  # old token t is new token place[t]
    renamed = [arrays[0][..., shuffle], arrays[1][..., shuffle], place[arrays[2]].astype(np.int32), *arrays[3:]]
    tokens, accepted = verdict(name, arrays)
    new_tokens, new_accepted = verdict(name, renamed)
    if rules.get(name).layout == "node":
        tested = accepted == new_accepted
        np.testing.assert_array_equal(place[tokens][tested & (accepted >= 0)], new_tokens[tested & (accepted >= 0)])
        assert tested.mean() > 0.5
    else:
        np.testing.assert_array_equal(accepted, new_accepted)
        kept = np.cumsum(tokens[:, ::-1] >= 0, axis=-1)[:, ::-1] > 1
        np.testing.assert_array_equal(place[tokens][kept], new_tokens[kept])


@pytest.mark.parametrize("name", rules.names("node"))
def test_acceptance_does_not_depend_on_the_names_of_tokens(name: str) -> None:
    rule = rules.get(name)
    target, draft = inputs(name)[:2]
    shuffle = np.random.default_rng(2).permutation(SIZE)
    n = min(rule.at_most or 2, 2)
    np.testing.assert_allclose(
        rule.acceptance(target, draft, n), rule.acceptance(target[:, shuffle], draft[:, shuffle], n), atol=1e-12
    )


@pytest.mark.parametrize("name", rules.names("node"))
def test_acceptance_on_torch_and_jax(name: str) -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    rule = rules.get(name)
    target, draft = inputs(name)[:2]
    n = min(rule.at_most or 2, 2)
    want = np.asarray(rule.acceptance(target, draft, n))
    np.testing.assert_allclose(rule.acceptance(torch.asarray(target), torch.asarray(draft), n), want, atol=1e-12)
    # without x64 jax sums six float32 probabilities: some ten roundings of 6e-8
    small = [jax.numpy.asarray(law, dtype="float32") for law in (target, draft)]
    np.testing.assert_allclose(jax.jit(lambda t, d: rule.acceptance(t, d, n))(*small), want, atol=1e-5)


def looks_at_values(function: Any, arrays: Any) -> bool:
    """Whether ``function`` needs a value on the host: meta tensors have shapes and dtypes, but no values."""
    import torch

    try:
        function(*(torch.asarray(array).to("meta") for array in arrays))
    except (RuntimeError, NotImplementedError) as error:
        if "meta" not in str(error).lower():
            raise
        return True
    return False


@pytest.mark.parametrize("name", rules.names())
def test_verify_never_waits_for_the_device(name: str) -> None:
    pytest.importorskip("torch")
    rule, arrays = rules.get(name), inputs(name)
    assert not looks_at_values(lambda *x: rule.verify(*x, check=False), arrays)
    assert not looks_at_values(rule.verify, arrays), "check=True must not look at values that are not on the host"


def test_a_planted_look_at_a_value_is_seen() -> None:
    pytest.importorskip("torch")
    rule, arrays = rules.get("single"), inputs("single")

    def item(target: Any, *rest: Any) -> Any:
        return rule.verify(target, *rest, check=False) if target.sum().item() > 0 else None

    def branch(target: Any, *rest: Any) -> Any:
        return rule.verify(target, *rest, check=False) if (target > 0).any() else None

    def index(target: Any, *rest: Any) -> Any:
        return target[target > 0], rule.verify(target, *rest, check=False)

    assert all(looks_at_values(planted, arrays) for planted in (item, branch, index))


@pytest.mark.parametrize("name", rules.names())
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_any_integer_type_of_tokens(name: str, dtype: Any) -> None:
    arrays = inputs(name)
    narrow = [*arrays[:2], arrays[2].astype(dtype), *arrays[3:]]
    assert_equal(verdict(name, arrays), verdict(name, narrow))
