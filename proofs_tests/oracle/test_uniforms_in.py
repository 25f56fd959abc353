"""Kernels with uniforms as arguments: our rules have their programs' laws up to the grid, and planted defects show."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from specmath import exact, rules
from specmath.exact import BudgetError, Law, UnresolvedError
from specmath.oracle.grid import NUMPY, TORCH, Grid
from specmath.oracle.uniforms_in import law_of_arguments

F = Fraction


def law(*weights: int) -> list[Fraction]:
    return [F(weight, sum(weights)) for weight in weights]


TARGETS = [law(8, 4, 3, 1), law(2, 6, 6, 2), law(1, 1, 7, 7), law(5, 5, 5, 1)]
DRAFTS = [law(2, 6, 4, 4), law(4, 4, 4, 4), law(8, 1, 5, 2)]
CASES: dict[str, tuple[Any, ...]] = {
    "recursive": (TARGETS[0], DRAFTS[0], (1, 2)),
    "k_seq": (TARGETS[0], DRAFTS[0], (1, 2)),
    "recursive_without_replacement": (TARGETS[0], DRAFTS[0], (1, 2, 3)),
    "token_wise": (TARGETS, DRAFTS, (1, 0, 0)),
    "block": (TARGETS, DRAFTS, (1, 0, 0)),
    "traversal": (TARGETS, [DRAFTS[0], DRAFTS[0], DRAFTS[1]], (1, 3, 0), (-1, -1, 0)),
}


def program_law(name: str) -> Law:
    program = rules.get(name).program
    return exact.law(lambda chance: _tuple(program(chance, *CASES[name])))


def _tuple(emitted: Any) -> tuple[int, ...]:
    return emitted if isinstance(emitted, tuple) else (emitted,)


def kernel(name: str, dtype: str, rows: bool) -> Callable[..., Any]:
    """`Rule.verify` with laws, drafts and parents bound; ``coins`` (rows, m), or (m,) for one row."""
    rule, (target, draft, tokens, *parents) = rules.get(name), CASES[name]
    fixed = [np.array(one, dtype=float).astype(dtype) for one in (target, draft)] + [np.array(tokens)]

    def run(coins: Any) -> Any:
        batch = coins if rows else coins[None]
        laws = [np.broadcast_to(one, (len(batch), *one.shape)) for one in fixed]
        found = rule.verify(laws[0], laws[1], laws[2], batch, *map(np.array, parents), check=False).tokens
        emitted = [tuple(int(token) for token in np.atleast_1d(row) if token >= 0) for row in found]
        return emitted if rows else emitted[0]

    return run


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_rules_have_their_programs_law(name: str, dtype: str) -> None:
    """Fewer than two grid points of total variation: rounding of thresholds, and nothing else."""
    shapes = {"coins": (rules.get(name).uniforms(len(CASES[name][2])),)}
    found = law_of_arguments(kernel(name, dtype, rows=True), uniforms=shapes, dtype=dtype, rows=True)
    assert sum(found.values()) == 1
    assert all(isinstance(probability, Fraction) for probability in found.values())
    assert found.total_variation(program_law(name)) < 2 * NUMPY[dtype].atom


def test_rows_and_single_calls_agree() -> None:
    shapes = {"coins": (3,)}
    alone = law_of_arguments(kernel("recursive", "float32", rows=False), uniforms=shapes, dtype="float32", checks=64)
    assert alone == law_of_arguments(
        kernel("recursive", "float32", rows=True), uniforms=shapes, dtype="float32", rows=True, checks=64
    )


def chain_kernel(
    target: Any, draft: Any, tokens: Any, *, accept: Any = None, uniform_samples: Any, uniform_final: Any
) -> list[int]:
    """One row of a chain kernel in plain Python: accept coins, and one coin for the final draw."""
    accept = accept or (lambda u, p, q: u * q < p)
    emitted: list[int] = []
    for place, token in enumerate(tokens):
        if not accept(float(uniform_samples[place]), float(target[place][token]), float(draft[place][token])):
            rest = [max(float(p - q), 0.0) for p, q in zip(target[place], draft[place], strict=True)]
            break
        emitted.append(token)
    else:
        rest = [float(p) for p in target[len(tokens)]]
    reached = float(uniform_final) * sum(rest)
    for token, weight in enumerate(rest):
        reached -= weight
        if reached < 0:
            return [*emitted, token]
    return [*emitted, len(rest) - 1]


def arguments_law(**planted: Any) -> Law:
    target, draft, tokens = CASES["token_wise"]

    def run(uniform_samples: Any, uniform_final: Any) -> list[int]:
        return chain_kernel(
            target,
            draft,
            tokens,
            accept=planted.get("accept"),
            uniform_samples=uniform_samples,
            uniform_final=uniform_final,
        )

    return law_of_arguments(
        run, uniforms={"uniform_samples": (3,), "uniform_final": ()}, arrays="torch", dtype="float32", checks=128
    )


def test_several_arguments_and_torch() -> None:
    assert arguments_law().total_variation(program_law("token_wise")) < 2 * Fraction(1, 2**24)


@pytest.mark.parametrize(
    ("accept", "least"),
    [
        (lambda u, p, q: u < p, 0.05),  # without the ratio
        (lambda u, p, q: u * p < q, 0.05),  # upside down
        (lambda u, p, q: u * q < p - 1e-3, 0.001),  # barely too strict
    ],
)
def test_planted_kernels_have_another_law(accept: Any, least: float) -> None:
    assert arguments_law(accept=accept).total_variation(program_law("token_wise")) > least


def test_a_zero_probability_token_is_accepted_by_the_atom_at_zero() -> None:
    """u <= ratio at ratio 0, with its exact probability: half precision returns as 0.0 what rounds to 1.0."""
    for dtype, points in (("float32", 1), ("float16", 4097), ("bfloat16", 32769)):
        found = law_of_arguments(
            lambda u: 0 if u <= 0.0 else 1 + int(u > 0.5), uniforms={"u": ()}, arrays="torch", dtype=dtype, checks=64
        )
        assert found[0] == Fraction(points, 2**24)
        assert found[1] == Fraction(TORCH[dtype].below(0.5, inclusive=True) - points, 2**24)


def test_a_uniform_that_matters_only_after_another() -> None:
    """The second uniform is looked at where the first passed; a wrong corner of 2^-16 of the mass included."""

    def run(u: Any) -> list[str]:
        return [
            "corner" if a > 1 - 2**-8 and b > 1 - 2**-8 else "late" if a < 0.3 and b < 0.2 else "other" for a, b in u
        ]

    found = law_of_arguments(run, uniforms={"u": (2,)}, dtype="float32", rows=True)
    assert found["late"] == Fraction(np.ceil(0.3 * 2**24)) * Fraction(np.ceil(0.2 * 2**24)) / 2**48
    assert found["corner"] == Fraction(2**16 - 1, 2**24) ** 2


def narrow(width: float) -> Callable[..., list[int]]:
    """A region between two breakpoints, off the sections that are looked at first."""
    return lambda u: [int(0.4 <= a < 0.4 + width and b < 0.7) for a, b in u]


def test_random_points_teach_the_search() -> None:
    """A narrow region is missed by the first search, found by a random point, and then has its exact law."""
    shapes: Any = {"uniforms": {"u": (2,)}, "grid": Grid(16), "rows": True}
    width = 0.012
    got = law_of_arguments(narrow(width), checks=2048, **shapes)[1]
    cells = int(np.ceil((0.4 + width) * 2**16)) - int(np.ceil(0.4 * 2**16))
    assert got == Fraction(cells, 2**16) * Fraction(int(np.ceil(0.7 * 2**16)), 2**16)
    assert law_of_arguments(narrow(width), checks=1, **shapes)[1] == 0, "control: without the points it is missed"


def test_no_boxes_is_an_error() -> None:
    shapes: Any = {"uniforms": {"u": (2,)}, "grid": Grid(12), "rows": True}
    with pytest.raises(UnresolvedError, match="it compares or adds uniforms"):
        law_of_arguments(lambda u: [int(a < b) for a, b in u], **shapes)
    with pytest.raises(BudgetError):
        law_of_arguments(lambda u: [int(64 * a) for a, _ in u], budget=20, **shapes)


def test_hidden_randomness_is_an_error() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(UnresolvedError, match="other randomness"):
        law_of_arguments(lambda u: int(generator.integers(1000)), uniforms={"u": (1,)})


def test_rows_that_leak_are_an_error() -> None:
    with pytest.raises(UnresolvedError, match="depends on the other rows"):
        law_of_arguments(lambda u: [int(row[0] < u.mean()) for row in u], uniforms={"u": (1,)}, rows=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uniforms": {}}, "0 numbers; allowed are 1 to 24"),
        ({"uniforms": {"u": (30,)}}, "30 numbers"),
        ({"uniforms": {"u": 3}}, r"uniforms\['u'\] is 3; allowed are shapes"),
        ({"arrays": "jax"}, "arrays is 'jax'; allowed are"),
        ({"dtype": "bfloat16"}, "dtype is 'bfloat16'; allowed for numpy are"),
        ({"function": lambda u: {1: 2}}, "function returned a dict"),
        ({"function": lambda u: [1], "rows": True}, "returned 1 outcomes for"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"function": lambda u: 0, "uniforms": {"u": (1,)}} | options
    with pytest.raises(ValueError, match=message):
        law_of_arguments(given.pop("function"), **given)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_device() -> None:
    found = law_of_arguments(
        lambda u: (u[:, 0] < 0.25).long(),
        uniforms={"u": (1,)},
        arrays="torch",
        dtype="float32",
        device="cuda",
        rows=True,
    )
    assert found[1] == Fraction(1, 4)
