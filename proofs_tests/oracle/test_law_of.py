# ruff: noqa: NPY002  (foreign code draws that way)
"""Exact laws of foreign code: every way of drawing gives the law it must, and what cannot be followed is refused."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable
from fractions import Fraction
from random import random as drawn_by_name
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from specmath.exact import BudgetError
from specmath.oracle import UnsupportedRandomness, law_of

WEIGHTS = [0.5, 0.25, 0.125, 0.125, 0.0]
P = torch.tensor(WEIGHTS)
Q = np.array(WEIGHTS)
HELD = np.random.default_rng(5)
HELD_STATE = np.random.RandomState(5)
HELD_RANDOM = random.Random(5)
ATOM = 2.0**-24


def close(law: Any, expected: dict[Hashable, float], tolerance: float = 1e-6) -> None:
    assert set(law) <= set(expected)
    for outcome, probability in expected.items():
        assert float(law[outcome]) == pytest.approx(probability, abs=tolerance), outcome


def gumbel(shape: Any) -> torch.Tensor:
    return -torch.log(-torch.log(torch.rand(shape)))


def filled() -> torch.Tensor:
    noise = torch.empty_like(P)
    noise.exponential_()
    return noise


def divided_in_place() -> torch.Tensor:
    weights = P.clone()
    return weights.div_(filled()).argmax(dim=-1)


def filled_by_rows() -> int:
    noise = torch.ones(2, 5)
    for i in range(2):
        noise[i].exponential_()
    return int((P / noise).argmax(-1)[1])


TORCH_DRAWS: dict[str, Callable[[], Any]] = {
    "multinomial": lambda: torch.multinomial(P, 1).item(),
    "multinomial of rows": lambda: torch.multinomial(P.expand(3, -1), 1)[1, 0],
    "multinomial method": lambda: P.multinomial(1)[0],
    "categorical": lambda: torch.distributions.Categorical(P).sample(),
    "exponential race": lambda: (P / filled()).argmax(),
    "smallest of a race": lambda: (filled()[:4] / P[:4]).argmin(),
    "in place": divided_in_place,
    "rows filled one by one": filled_by_rows,
    "gumbel of uniforms": lambda: (P.log() + gumbel(5)).argmax(),
    "gumbel of exponentials": lambda: (P.log() - filled().log()).argmax(),
    "power race": lambda: (torch.rand(4) ** (1 / P[:4])).argmax(),
    "logarithms over weights": lambda: (torch.rand(4).log() / P[:4]).topk(1).indices[0],
    "inversion": lambda: torch.searchsorted(P.cumsum(0), torch.rand(1), right=True)[0],
    "bucketize": lambda: torch.bucketize(torch.rand(()), P.cumsum(0), right=True),
    "counted inversion": lambda: (P.cumsum(0) <= torch.rand(1)).sum(),
    "first true": lambda: int((torch.rand(()) < P.cumsum(0)).long().argmax()),
    "loop": lambda: next(i for u in [torch.rand(()).item()] for i in range(5) if u < float(P[: i + 1].sum())),
    "integers": lambda: [0, 0, 0, 0, 1, 1, 2, 3][int(torch.rand(()) * 8)],
    "floor": lambda: [0, 0, 0, 0, 1, 1, 2, 3][int(torch.floor(torch.rand(1) * 8).long())],
    "randint": lambda: [0, 0, 0, 0, 1, 1, 2, 3][int(torch.randint(8, (1,)))],
    "randperm": lambda: [0, 0, 1, 2][int(torch.randperm(4)[3])] if torch.rand(()) < 0.5 else half_of_them(),
    "bernoulli": lambda: 0 if torch.bernoulli(P[0]) else 1 if torch.bernoulli(torch.tensor(0.5)) else 2 + rest(),
    "python": lambda: random.choices(range(5), weights=WEIGHTS)[0],
    "python by name": lambda: sum(np.cumsum(Q) <= drawn_by_name() for _ in [0]).sum(),
    "numpy": lambda: int(np.random.choice(5, p=Q)),
}


def half_of_them() -> int:
    """Completes 1/4, 1/8, 1/8 to the weights."""
    return [0, 0, 1, 3][int(torch.randperm(4)[0])]


def rest() -> int:
    return int(torch.empty(()).bernoulli_(0.5))


@pytest.mark.parametrize("name", TORCH_DRAWS)
def test_draws_of_torch(name: str) -> None:
    close(law_of(TORCH_DRAWS[name]), dict(enumerate(WEIGHTS)))


NUMPY_DRAWS: dict[str, Callable[[], Any]] = {
    "choice": lambda: np.random.choice(5, p=Q),
    "held generator": lambda: HELD.choice(5, p=Q),
    "held state": lambda: HELD_STATE.choice(5, p=Q),
    "fresh generator": lambda: np.random.default_rng().choice(5, p=Q),
    "multinomial": lambda: np.argmax(HELD.multinomial(1, Q)),
    "inversion": lambda: int(np.searchsorted(np.cumsum(Q), np.random.rand(), side="right")),
    "digitize": lambda: np.digitize(HELD.random(1), np.cumsum(Q))[0],
    "gumbel": lambda: np.argmax(np.log(Q[:4]) + HELD.gumbel(size=4)),
    "exponential race": lambda: (Q / HELD.exponential(size=5)).argmax(),
    "uniforms": lambda: np.argmax(np.log(HELD.uniform(size=4)) / Q[:4]),
    "comparison": lambda: (np.cumsum(Q) <= HELD.random()).sum(),
    "float32": lambda: (np.cumsum(Q) <= HELD.random(1, dtype=np.float32)).sum(),
    "math": lambda: int((np.log(np.cumsum(Q)) <= math.log(HELD.random())).sum()),
    "integers": lambda: [0, 0, 0, 0, 1, 1, 2, 3][HELD.integers(8)],
    "held random": lambda: HELD_RANDOM.choices(range(5), WEIGHTS)[0],
    "randrange": lambda: [0, 0, 0, 0, 1, 1, 2, 3][random.randrange(8)],
    "as float": lambda: sum(float(HELD.random()) >= edge for edge in [0.5]) and 1 + rest_of_half(),
}


def rest_of_half() -> int:
    return int((HELD.random() >= np.array([0.5, 0.75])).sum())


@pytest.mark.parametrize("name", NUMPY_DRAWS)
def test_draws_of_numpy(name: str) -> None:
    close(law_of(NUMPY_DRAWS[name], arrays="numpy"), dict(enumerate(WEIGHTS)), 1e-6)


def test_draws_of_jax() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    law = jnp.asarray(Q)

    def joint() -> tuple[int, ...]:
        keys = jax.random.split(jax.random.key(3), 5)
        coin = jax.random.uniform(keys[2])
        return (
            int(jax.random.categorical(keys[0], jnp.log(law))),
            int(jnp.argmax(jnp.log(law) + jax.random.gumbel(keys[1], (5,)))),
            int((jnp.cumsum(law) <= coin).sum()),
            int(jax.random.bernoulli(keys[3], 0.25)),
        )

    seen = law_of(joint, arrays="jax")
    for place in range(3):
        close(seen.map(lambda outcome, place=place: outcome[place]), dict(enumerate(WEIGHTS)))
    independent = {(i, j): a * b for i, a in enumerate(WEIGHTS) for j, b in enumerate(WEIGHTS)}
    close(seen.map(lambda outcome: outcome[:2]), independent)


def test_jax_key_used_twice() -> None:
    """The same key gives the same numbers, as it does in jax."""
    jax = pytest.importorskip("jax")

    def twice() -> tuple[bool, bool]:
        key = jax.random.key(0)
        return bool(jax.random.uniform(key) < 0.5), bool(jax.random.uniform(key) < 0.5)

    assert dict(law_of(twice, arrays="jax")) == {(True, True): Fraction(1, 2), (False, False): Fraction(1, 2)}


def test_compiled_jax_runs_eagerly() -> None:
    jax = pytest.importorskip("jax")
    coin = jax.jit(lambda key: jax.numpy.where(jax.random.uniform(key) < 0.25, 1, 0))
    assert dict(law_of(lambda: int(coin(jax.random.key(1))), arrays="jax")) == {1: Fraction(1, 4), 0: Fraction(3, 4)}


def test_a_uniform_stays_the_same() -> None:
    def asked_often() -> tuple[Any, ...]:
        u = torch.rand(3)
        v = -torch.log(u[1])
        return (
            bool(u[1] < 0.5),
            bool(v > math.log(2)),
            int(u[1].item() * 4),
            bool(torch.clamp(1 - u, max=0.75)[1] > 0.5),
        )

    seen = law_of(asked_often)
    assert all(half == (quarter < 2) for half, _, quarter, _ in seen)
    assert float(seen.map(lambda o: o[2])[3]) == 0.25
    # -log(u) > log 2 and u < 1/2 may differ in the grid points that float32 rounds together.
    assert float(sum(p for (half, more, *_), p in seen.items() if half != more)) < 4 * ATOM
    assert float(sum(p for (half, *_, less), p in seen.items() if half != less)) <= ATOM


def test_probabilities_are_those_of_the_grid() -> None:
    law = law_of(lambda: bool(torch.rand(()) <= 0.0))
    assert law[True] == Fraction(1, 2**24)
    half = torch.arange(2**24).double().mul(ATOM).to(torch.bfloat16)  # every float32 uniform, rounded as torch does
    half[half == 1] = 0
    for threshold in (0.3, 0.0, 0.998):
        below = int((half <= threshold).sum())
        seen = law_of(lambda threshold=threshold: bool(torch.rand((), dtype=torch.bfloat16) <= threshold))
        assert seen[True] == Fraction(below, 2**24)
        low = law_of(lambda threshold=threshold: bool(torch.rand((), dtype=torch.bfloat16).sqrt() <= threshold))
        assert low[True] == Fraction(int((half.sqrt() <= threshold).sum()), 2**24)
    assert law_of(lambda: random.random() == 0.5, arrays="numpy")[True] == Fraction(1, 2**53)
    assert law_of(lambda: bool(torch.rand(()) != 0.25))[False] == Fraction(1, 2**24)
    assert law_of(lambda: bool(torch.rand(()) == 0.1))[True] == 0 < law_of(lambda: bool(torch.rand(()) * 4 == 1))[True]


def test_the_codes_arithmetic_decides() -> None:
    """``u * q < p`` and ``u < p / q`` differ where float32 rounds; a law in real numbers would not see it."""
    p, q = torch.tensor(0.1), torch.tensor(0.3)
    exact = {
        "product": law_of(lambda: bool(torch.rand(()) * q < p))[True],
        "ratio": law_of(lambda: bool(torch.rand(()) < p / q))[True],
    }
    for name, holds in (
        ("product", lambda u: u * q < p),
        ("ratio", lambda u: u < p / q),
    ):
        near = torch.arange(5592000, 5593000) * ATOM  # every grid point around 1/3
        below = int(holds(near.float()).sum())
        assert exact[name] == Fraction(5592000 + below, 2**24)


def test_draws_that_nobody_looks_at_are_not_explored() -> None:
    def ahead() -> int:
        tokens = torch.multinomial(P.expand(6, -1), 1)[:, 0].tolist()
        return tokens[3]

    seen = law_of(ahead)
    assert seen.paths == 1
    close(seen, dict(enumerate(WEIGHTS)))


def test_topk_of_a_race_draws_without_replacement() -> None:
    def pair() -> Any:
        return (P[:3].log() + gumbel(3)).topk(2).indices

    total = 0.875
    expected = {
        (i, j): WEIGHTS[i] / total * WEIGHTS[j] / (total - WEIGHTS[i]) for i in range(3) for j in range(3) if i != j
    }
    close(law_of(pair), expected)


def test_reseeding_gives_the_same_numbers() -> None:
    def reseeded() -> tuple[bool, bool]:
        torch.manual_seed(3)
        one = bool(torch.rand(1) < 0.5)
        torch.manual_seed(3)
        return one, bool(torch.rand(2)[0] < 0.5)

    assert dict(law_of(reseeded)) == {(True, True): Fraction(1, 2), (False, False): Fraction(1, 2)}


def test_the_worlds_generators_are_left_alone() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.rand(1).item(), np.random.random(), random.random()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    law_of(lambda: bool(torch.rand(()) < 0.5) and np.random.random() < 0.5 and random.random() < 0.5)
    assert (torch.rand(1).item(), np.random.random(), random.random()) == before
    assert isinstance(HELD.random(), float)


def swallowed() -> int:
    try:
        return int(torch.randn(1) > 0)
    except RuntimeError:
        return 0


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "randn": (lambda: torch.randn(2), "randn"),
    "normal_": (lambda: torch.empty(2).normal_(), "normal_"),
    "dropout": (lambda: F.dropout(P), "dropout"),
    "numpy normal": (lambda: np.random.normal(), "normal"),
    "numpy generator": (lambda: HELD.normal(), "Generator.normal"),
    "gauss": (lambda: random.gauss(0, 1), "gauss"),
    "two uniforms": (lambda: bool(torch.rand(1) < torch.rand(1)), "lt of two independent"),
    "a sum of uniforms": (lambda: bool(torch.rand(3).sum() < 1), "sum"),
    "a result": (lambda: torch.rand(1), "result"),
    "not monotone": (lambda: (lambda u: bool(u * (1 - u) < 0.2))(torch.rand(())), "rises and falls"),
    "no race": (lambda: (torch.rand(3) + torch.tensor([0.0, 0.1, 0.2])).argmax(), "race"),
    "float elsewhere": (lambda: math.isclose(np.random.rand(), 0.5), "math.isclose"),
    "caught by the code": (swallowed, "randn"),
    "as numpy": (lambda: torch.rand(2).numpy(), "numpy"),
    "many outcomes": (lambda: int(torch.randint(1 << 30, (1,))), "outcomes"),
    "two races by the same numbers": (lambda: (lambda e: ((P / e).argmax(), (1 / e).argmax()))(filled()), "two races"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(UnsupportedRandomness, match=words):
        law_of(call)


def test_budget() -> None:
    with pytest.raises(BudgetError, match="more than budget=3"):
        law_of(lambda: [bool(u < 0.5) for u in torch.rand(3)], budget=3)


def test_an_endless_run_is_refused() -> None:
    def loops() -> None:
        while torch.rand(()) >= 0.0:
            pass

    def draws_on() -> int:
        count = 0
        while bool(torch.rand(()) < 0.5):
            count += 1
        return count

    with pytest.raises((UnsupportedRandomness, BudgetError)):
        law_of(draws_on, budget=50)


def test_not_a_function_of_its_choices() -> None:
    calls: list[int] = []

    def drifting() -> bool:
        calls.append(0)
        return bool(torch.rand(()) < 0.1 * len(calls))

    with pytest.raises(UnsupportedRandomness, match="not a function of its choices"):
        law_of(drifting)


def test_views_of_what_was_drawn() -> None:
    close(law_of(lambda: torch.multinomial(P, 2, replacement=True).view(1, 2)[0, 1]), dict(enumerate(WEIGHTS[:4])))
    close(law_of(lambda: (torch.rand(2).view(2, 1) < 0.25).view(-1)[1]), {True: 0.25, False: 0.75})


def test_arrays_are_named() -> None:
    with pytest.raises(ValueError, match="arrays is 'cupy'; allowed are 'torch', 'numpy', 'jax' and 'python'"):
        law_of(lambda: 0, arrays="cupy")


@pytest.mark.gpu
def test_uniforms_of_a_device_are_refused() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    with pytest.raises(UnsupportedRandomness, match="cuda"):
        law_of(lambda: bool(torch.rand((), device="cuda") < 0.5))
    assert float(law_of(lambda: int(torch.multinomial(P.cuda(), 1)))[0]) == 0.5
