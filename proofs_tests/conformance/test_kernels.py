"""The interpreter for Triton kernels: dtypes, memory, random numbers that are followed, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="kernels work on torch tensors")

from specmath.oracle import law_of  # noqa: E402
from specmath.oracle.adapters.eager import Interpreter, Value, language, philox  # noqa: E402
from specmath.oracle.adapters.eager.values import Refused, common  # noqa: E402

RACE = (0.5, 0.25, 0.25, 0.0)
triton = Interpreter()
tl: Any = triton.language


def run(kernel: Callable[..., None], *arguments: Any, grid: tuple[int, ...] = (1,), **constants: Any) -> None:
    triton.tiles = {}
    triton.jit(kernel)[grid](*arguments, **constants)


@pytest.mark.parametrize(
    ("one", "other", "division", "found"),
    [
        (np.int32(1), 0.5, False, "float32"),  # numpy says float64
        (np.int32(1), np.float32(1), False, "float32"),  # numpy says float64
        (np.float32(1), np.float64(1), False, "float64"),
        (np.float64(1), 0.5, False, "float64"),
        (np.int32(1), np.int32(2), True, "float32"),  # numpy says float64
        (np.uint32(1), np.int32(1), False, "uint32"),  # numpy says int64
        (np.uint32(1), np.int64(1), False, "int64"),
        (np.uint32(1), 5, False, "uint32"),
        (np.int32(1), 2**31, False, "int32"),
        (np.int64(1), 5, False, "int64"),
        (np.bool_(True), np.int64(1), False, "int64"),
        (np.bool_(True), 1, False, "int32"),
        (1, 2, False, "int32"),
        (1, 0.5, False, "float32"),
    ],
)
def test_dtype_of_two_operands(one: Any, other: Any, division: bool, found: str) -> None:
    """Triton's rules, where they are not numpy's."""
    wrapped = [Value(x) if isinstance(x, np.generic) else x for x in (one, other)]
    assert common(wrapped[0], wrapped[1], division) == np.dtype(found)
    assert common(wrapped[1], wrapped[0], division) == np.dtype(found)


def test_dtypes_are_those_of_triton() -> None:
    """Sums, comparisons and quotients of all pairs of dtypes, and of all dtypes with Python numbers, as Triton says."""
    semantic = pytest.importorskip("triton.language.semantic", reason="triton is not installed")
    import triton.language as theirs

    names = {"int1": "bool", **{name: name for name in language.DTYPES.split()}}
    back = {str(getattr(theirs, name)): ours for name, ours in names.items()}
    numbers = [(True, "int1"), (1, "int32"), (2**31, "uint32"), (2**40, "int64"), (2**63, "uint64"), (0.5, "float32")]
    rules = semantic.TritonSemantic(None)

    def expected(one: str, other: str, weak: bool, division: bool) -> str:
        try:
            found = rules.computation_type_impl(getattr(theirs, one), False, getattr(theirs, other), weak, division)
        except TypeError:
            return "refused"
        dtype = back[str(found)]
        return "float32" if division and not dtype.startswith("float") else dtype  # as its truediv casts them

    def found(one: Any, other: Any, division: bool) -> str:
        try:
            return common(one, other, division).name
        except Refused:
            return "refused"

    values = {name: Value(np.zeros((), dtype=ours)) for name, ours in names.items()}
    compared = 0
    for division in (False, True):
        for one, value in values.items():
            others = [(other, values[other], False) for other in names] + [
                (dtype, number, True) for number, dtype in numbers
            ]
            for other, operand, weak in others:
                if division and (one == "int1" or other == "int1"):
                    continue  # quotients of truth values: Triton calls them signed or not, from case to case
                case = one, other, weak, division
                assert found(value, operand, division) == expected(*case), case
                compared += 1
    assert compared > 350


def test_whole_numbers_wrap_and_round_as_in_c() -> None:
    out = torch.zeros(4, dtype=torch.int64)

    def kernel(place: Any) -> None:
        tl.store(place, tl.full((), 0x85EBCA6B, tl.uint32) * 0xC2B2AE35)
        tl.store(place + 1, tl.full((), -7, tl.int32) // 2)
        tl.store(place + 2, tl.full((), -7, tl.int32) % 2)
        tl.store(place + 3, tl.full((), -1, tl.int32).to(tl.uint32, bitcast=True) >> 28)

    run(kernel, out)
    assert out.tolist() == [0x85EBCA6B * 0xC2B2AE35 % 2**32, -3, -1, 15]


def test_counter_based_numbers_are_those_of_philox() -> None:
    """The known answers of Philox 4x32-10 for a key and counter of zeros, and of ones."""
    assert philox.philox(0, 0) == 0x6627E8D5
    assert [philox.philox(1, 2**40), philox.philox(2**40, 1)] != [philox.philox(0, 2**40), philox.philox(2**40, 0)]
    draws = philox.uniform(7, np.arange(4000))
    assert draws.dtype == np.float32
    assert draws.min() >= 0
    assert draws.max() < 1
    # Mean within six standard errors: a false alarm of 2e-9.
    assert abs(draws.mean() - 0.5) < 6 / (12 * 4000) ** 0.5


def test_blocks_masks_and_programs() -> None:
    given, out = torch.arange(10.0), torch.full((2, 3), -1.0)

    def kernel(source: Any, place: Any, count: Any, SIZE: int) -> None:
        row = tl.program_id(0)
        cols = tl.arange(0, SIZE)
        block = tl.load(source + row * 5 + cols, mask=cols < count, other=100.0)
        found = tl.cumsum(tl.where(block > 50.0, 0.0, block), axis=0)
        tl.store(place + row * 3 + cols, found, mask=cols < 3)

    run(kernel, given, out, 2, grid=(2,), SIZE=4, num_warps=4)
    assert out.tolist() == [[0, 1, 1], [5, 11, 11]]


def test_bits_become_uniforms_as_in_triton() -> None:
    """All ones and all zeros are 0; the sign bit alone is the largest number, which is below 1."""
    found = philox.scaled(np.array([0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000], dtype=np.uint32))
    assert found.tolist() == [0, 0, 1 - 2**-24, 1 - 2**-24]


def test_sums_of_truth_values_and_numbers_beside_nan() -> None:
    out = torch.zeros(3)

    def kernel(place: Any) -> None:
        cols = tl.arange(0, 4)
        tl.store(place, tl.sum(cols < 3, axis=0))
        tl.store(place + 1, tl.maximum(tl.full((), float("nan"), tl.float32), 2.0))
        tl.store(place + 2, tl.max(tl.where(cols < 1, float("nan"), cols.to(tl.float32)), axis=0))

    run(kernel, out)
    assert out.tolist() == [3, 2, 3]


def test_a_number_stored_over_one_that_is_drawn_later() -> None:
    def kernel(noise: Any, place: Any, out: Any) -> None:
        _, index = tl.max(1.0 / tl.load(noise + tl.arange(0, 2)), axis=0, return_indices=True)
        tl.store(place, index)
        tl.store(place, 7)
        tl.store(out, tl.load(place))

    def call() -> Any:
        place, out = torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
        run(kernel, torch.empty(2).exponential_(), place, out)
        return int(out[0])

    assert dict(law_of(call)) == {7: 1}


@pytest.mark.parametrize("offset", [-1, 4])
def test_addresses_outside_of_an_array(offset: int) -> None:
    given = torch.zeros(4)
    with pytest.raises(IndexError, match=f"element {offset} of an array of 4"):
        run(lambda place: tl.load(place + offset), given)
    with pytest.raises(IndexError, match="of an array of 4"):
        run(lambda place: tl.store(place + tl.arange(0, 2) + offset, 1.0, mask=tl.arange(0, 2) < 1), given)
    run(lambda place: tl.load(place + offset, mask=False, other=0.0), given)


def test_what_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(Refused, match=r"triton\.language\.dot"):
        run(lambda: tl.dot(1, 2))
    with pytest.raises(Refused, match="exp of int32"):
        run(lambda: tl.exp(tl.arange(0, 2)))
    with pytest.raises(TypeError):
        run(lambda place: None)


def test_uniforms_in_a_kernel_have_their_exact_law() -> None:
    """Compared twice, a uniform stays one number; ``<=`` is told from ``<``."""

    def kernel(coin: Any, place: Any) -> None:
        u = tl.load(coin)
        tl.store(place, (u * 2.0 < 0.5).to(tl.int32) + (u < 0.5).to(tl.int32))
        tl.store(place + 1, (tl.load(coin + 1) <= 0.0).to(tl.int32))

    def call() -> Any:
        out = torch.zeros(2, dtype=torch.int32)
        run(kernel, torch.rand(2), out)
        return out

    law = law_of(call)
    assert law.map(lambda found: found[0]) == {0: 0.5, 1: 0.25, 2: 0.25}
    assert law.map(lambda found: found[1])[1] == 2.0**-24


def race(drawn: int, SIZE: int) -> Any:
    """A race in a kernel over four weights, handed through memory to a second kernel that reads ``drawn`` of two."""

    def choose(noise: Any, weights: Any, place: Any, SIZE: int) -> None:
        best, who = tl.full((), float("-inf"), tl.float32), 0
        for start in range(0, 4, SIZE):
            cols = start + tl.arange(0, SIZE)
            score = tl.load(weights + cols, mask=cols < 4, other=0.0) / tl.load(noise + cols, mask=cols < 4, other=1.0)
            top, index = tl.max(score, axis=0, return_indices=True)
            if top > best:
                best, who = top, start + index
        for row in range(2):
            tl.store(place + row, tl.minimum(who, 3))

    def use(place: Any, out: Any) -> None:
        for row in range(drawn):
            tl.store(out + row, tl.load(place + row))

    def call() -> Any:
        noise = torch.empty(4).exponential_()
        places, out = torch.zeros(2, dtype=torch.int32), torch.full((2,), -1, dtype=torch.int32)
        run(choose, noise, torch.tensor(RACE), places, SIZE=SIZE)
        run(use, places, out)
        return out

    return call


def test_race_in_a_kernel_has_its_exact_law_and_is_drawn_where_it_is_used() -> None:
    law = law_of(race(1, SIZE=4))
    assert {found[0]: float(p) for found, p in law.items()} == pytest.approx({0: 0.5, 1: 0.25, 2: 0.25}, abs=1e-6)
    assert law_of(race(0, SIZE=4)).paths == 1
    # Both rows hold the same draw.
    assert all(one == other for one, other in law_of(race(2, SIZE=4)))


def test_race_over_several_blocks_is_refused() -> None:
    with pytest.raises(Refused, match="use larger blocks"):
        law_of(race(1, SIZE=2))


def test_numbers_drawn_later_do_not_pass_for_memory() -> None:
    """Who reads the tensor past us sees a number that is no token."""

    def kernel(noise: Any, place: Any) -> None:
        _, index = tl.max(1.0 / tl.load(noise + tl.arange(0, 2)), axis=0, return_indices=True)
        tl.store(place, index)

    def call() -> Any:
        out = torch.zeros(1, dtype=torch.int32)
        run(kernel, torch.empty(2).exponential_(), out)
        return int(out[0])

    assert next(iter(law_of(call))) < -1000
