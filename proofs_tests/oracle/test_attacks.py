"""Attacks: right code that must not be called biased or failed, wrong code that must not be called lossless."""

# ruff: noqa: NPY002 (people use these)

from __future__ import annotations

import functools
import itertools
import os
import random
import secrets
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from random import random as by_name
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from specmath.exact import Explorer
from specmath.oracle import (
    Instance,
    UnsupportedRandomness,
    Verdict,
    audit,
    audit_generate,
    audit_or_sample,
    law_of,
    standard,
)
from specmath.oracle.checks import tolerance
from specmath.oracle.joint import Joint

INSTANCES = standard("chain", n=2)[:4]
Uniform = Callable[[], Any]


def verified(target: Any, draft: Any, tokens: Any, uniform: Uniform, *, wrong: bool = False) -> list[Any]:
    """A right round, or one whose residual is the target itself."""
    for i, token in enumerate(tokens.tolist()):
        if not uniform() < target[i, token] / draft[i, token]:
            left = target[i] if wrong else (target[i] - draft[i]).clamp(min=0)
            law = left if left.sum() > 0 else target[i]
            return [*tokens[:i].tolist(), torch.multinomial(law, 1).item()]
    return [*tokens.tolist(), torch.multinomial(target[-1], 1).item()]


def judged(function: Callable[..., Any], **options: Any) -> Verdict:
    return audit(function, arrays="torch", instances=INSTANCES, minimise=False, **options)


def failed_checks(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def of(uniform: Uniform, *, wrong: bool = False) -> Callable[..., Any]:
    return lambda target, draft, tokens: verified(target, draft, tokens, uniform, wrong=wrong)


# Generators that code keeps in places of its own.


class Inner:
    def __init__(self) -> None:
        self.torch, self.python = torch.Generator().manual_seed(3), random.Random(4)
        self.numpy = np.random.default_rng(5)


class Outer:
    def __init__(self, kind: str, wrong: bool) -> None:
        self.inner, self.kind, self.wrong = Inner(), kind, wrong

    def uniform(self) -> Any:
        held = getattr(self.inner, self.kind)
        return torch.rand((), generator=held) if self.kind == "torch" else held.random()

    def __call__(self, target: Any, draft: Any, tokens: Any) -> Any:
        return verified(target, draft, tokens, self.uniform, wrong=self.wrong)


GENERATORS = [random.Random(1), np.random.default_rng(2)]
NAMED = {"numpy": np.random.default_rng(3), "bound": random.Random(4).random}


def with_option(target: Any, draft: Any, tokens: Any, wrong: bool = False) -> Any:
    return verified(target, draft, tokens, by_name, wrong=wrong)


def with_keyword(target: Any, draft: Any, tokens: Any, *, rng: Any, wrong: bool) -> Any:
    return verified(target, draft, tokens, rng.random, wrong=wrong)


def held(wrong: bool) -> Iterator[Callable[..., Any]]:
    yield from (Outer(kind, wrong) for kind in ("torch", "python", "numpy"))
    yield from (of(lambda i=i: GENERATORS[i].random(), wrong=wrong) for i in range(2))
    yield of(lambda: NAMED["numpy"].random(), wrong=wrong)
    yield of(lambda: NAMED["bound"](), wrong=wrong)
    yield functools.partial(with_option, wrong=wrong)
    yield functools.partial(with_keyword, rng=np.random.default_rng(6), wrong=wrong)


@pytest.mark.parametrize("place", range(9))
def test_generators_are_found_where_code_keeps_them(place: int) -> None:
    for wrong, status in ((False, "lossless"), (True, "biased")):
        found = judged(next(itertools.islice(held(wrong), place, None)))
        assert found.status == status, found.cause
    assert isinstance(GENERATORS[0], random.Random)
    assert type(GENERATORS[1]) is np.random.Generator


def test_held_generators_are_left_as_they_were() -> None:
    before = NAMED["numpy"].bit_generator.state, GENERATORS[0].getstate()
    judged(of(lambda: NAMED["numpy"].random() if GENERATORS[0].random() < 2 else 0))
    assert (NAMED["numpy"].bit_generator.state, GENERATORS[0].getstate()) == before


# Draws that nobody sees.


@torch.jit.script
def scripted():
    return torch.rand([1])


def in_a_thread() -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: torch.rand(())).result()


UNSEEN: dict[str, tuple[Uniform, str]] = {
    "thread": (in_a_thread, "torch was drawn from by a call that is not intercepted"),
    "torchscript": (scripted, "torch was drawn from by a call that is not intercepted"),
    "operator": (lambda: torch.ops.aten.rand([1]), "torch was drawn from by a call that is not intercepted"),
    "scipy": (lambda: stats.uniform.rvs(), "numpy's global generator was drawn from"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_draws_that_are_not_seen(name: str) -> None:
    """They obey the seeds, so that equal seeds give equal tokens; one path of them looked like a law."""
    uniform, says = UNSEEN[name]
    found = judged(of(uniform))
    assert found.status == "undecided"
    assert says in found.cause
    with pytest.raises(UnsupportedRandomness, match=says):
        law_of(lambda: bool(uniform() < 0.5))


SYSTEM: dict[str, Callable[[], Any]] = {
    "os.urandom": lambda: os.urandom(1)[0],
    "secrets": lambda: secrets.randbelow(4),
    "SystemRandom": lambda: random.SystemRandom().random(),
}


@pytest.mark.parametrize("name", SYSTEM)
def test_the_systems_randomness_is_named(name: str) -> None:
    with pytest.raises(UnsupportedRandomness, match="operating system"):
        law_of(SYSTEM[name], arrays="python")
    assert len(os.urandom(2)) == 2
    assert secrets.randbelow(1) == 0


def test_names_may_be_random() -> None:
    def named() -> bool:
        return bool(uuid.uuid4()) and bool(torch.rand(()) < 0.25)

    assert law_of(named)[True] == Fraction(1, 4)


# Code that remembers.


def test_a_count_of_calls_is_no_law() -> None:
    calls = itertools.count()

    def every_fiftieth(target: Any, draft: Any, tokens: Any) -> Any:
        return [0] if next(calls) % 50 == 49 else verified(target, draft, tokens, lambda: torch.rand(()))

    found = judged(every_fiftieth)
    assert found.status == "undecided"
    assert "not a function of its" in found.cause


def test_what_repeats_by_chance_is_caught_by_replays() -> None:
    """A branch that equal seeds do not reach: only the exploration goes there."""
    coins = itertools.cycle([0, 1])

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        found = verified(target, draft, tokens, lambda: torch.rand(()))
        if torch.rand((), dtype=torch.float64) < 1e-12:
            found[0] = next(coins)
        return found

    assert judged(verify).status == "undecided"


def test_numbers_of_earlier_calls() -> None:
    kept: dict[Any, Any] = {}

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        pool = iter(kept.setdefault(tuple(tokens.tolist()), torch.rand(3)))
        return verified(target, draft, tokens, lambda: next(pool))

    found = judged(verify)
    assert found.status == "undecided"
    assert "earlier call" in found.cause


def test_replay_of_a_path() -> None:
    explorer = Explorer(10)
    weights = [Fraction(1, 2), Fraction(1, 2)]
    more = [0, 0, 1]

    def program() -> int:
        return sum(explorer.choose(weights) for _ in range(1 + more.pop(0)))

    paths = explorer.paths(program)
    assert next(paths) == (0, Fraction(1, 2))
    assert explorer.again(program) == 0
    with pytest.raises(RuntimeError, match="a replay made 2 choices, and 1 before"):
        explorer.again(program)


# What code does with random numbers.


def test_views_made_before_the_draw() -> None:
    def twice() -> tuple[bool, bool]:
        square = torch.empty(2, 2)
        turned = square.t()
        square.uniform_()
        return bool(square[0, 1] < 0.5), bool(turned[1, 0] < 0.5)  # one number

    assert dict(law_of(twice)) == {(True, True): Fraction(1, 2), (False, False): Fraction(1, 2)}


ROUND: dict[str, tuple[Callable[[], Any], float]] = {
    "abs": (lambda: (torch.rand(()) - 0.3).abs() < 0.003, 0.006),
    "square": (lambda: (torch.rand(3) - 0.5).square()[1] < 1e-4, 0.02),
    "power": (lambda: (torch.rand(()) - 0.5) ** 2 < 1e-4, 0.02),
    "log": (lambda: torch.log(torch.rand(()) - 0.5) < -1, np.exp(-1)),
    "sqrt": (lambda: torch.sqrt(torch.rand(()) - 0.5) < 0.1, 0.01),
    "divided": (lambda: 1 / (torch.rand(()) - 0.5) < 4, 0.75),
    "reciprocal": (lambda: (torch.rand(()) - 0.5).reciprocal() < 4, 0.75),
    "numpy square": (lambda: np.square(np.random.rand(2) - 0.5)[0] < 1e-4, 0.02),
    "numpy power": (lambda: (np.random.rand() - 0.5) ** 2 < 1e-4, 0.02),
    "numpy log": (lambda: np.log(np.random.rand(2) - 0.5)[0] < -1, np.exp(-1)),
    "numpy divided": (lambda: 1 / (np.random.rand() - 0.5) < 4, 0.75),
}


@pytest.mark.parametrize("name", ROUND)
def test_expressions_that_turn(name: str) -> None:
    """The narrow ones lie between the points that are looked at."""
    call, chance = ROUND[name]
    assert float(law_of(lambda: bool(call()))[True]) == pytest.approx(chance, abs=1e-6)


def test_a_race_over_the_logarithm_of_uniforms() -> None:
    weights = torch.tensor([0.25, 0.25, 0.5])
    found = law_of(lambda: (weights / -torch.log(torch.rand(3))).argmax())
    assert [float(found[i]) for i in range(3)] == pytest.approx([0.25, 0.25, 0.5], abs=1e-9)


def test_an_index_may_be_asked_for_its_type() -> None:
    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        found = verified(target, draft, tokens, lambda: torch.rand(()))
        assert all(isinstance(token, int) for token in found)
        return found

    assert judged(verify).status == "lossless"


MISUSED: dict[str, Uniform] = {
    "hashed": lambda: next(iter({torch.rand(()).item(): 0})),
    "dtype": lambda: torch.rand(()) + torch.zeros((), dtype=float),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", MISUSED)
def test_errors_that_our_numbers_make_are_not_the_codes(name: str) -> None:
    found = judged(of(MISUSED[name]))
    assert found.status == "undecided"
    assert "random number" in found.cause


def test_errors_of_the_code_stay_its_own() -> None:
    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        raise TypeError("unhashable type: 'list'")

    assert judged(verify).status == "failed"


# Seeds.


def test_a_seed_after_the_last_draw() -> None:
    """The next call would begin where this one did."""

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        found = verified(target, draft, tokens, lambda: torch.rand(()))
        torch.manual_seed(5)
        return found

    found = judged(verify)
    assert found.status == "unsafe"
    assert failed_checks(found) == ["draft_stream"]


def test_a_generator_that_is_put_back() -> None:
    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(5)
        return verified(target, draft, tokens, lambda: torch.rand(()))

    assert judged(verify).status == "lossless"


def test_dropout_outside_of_training_draws_nothing() -> None:
    off, on = torch.nn.Dropout(0.5).eval(), torch.nn.Dropout(0.5)
    weights = torch.tensor([0.25, 0.75])
    assert law_of(lambda: torch.multinomial(off(weights), 1).item())[0] == Fraction(1, 4)
    with pytest.raises(UnsupportedRandomness, match="dropout"):
        law_of(lambda: torch.multinomial(on(weights), 1).item())


# Verdicts.


def test_a_bias_is_not_lost_to_the_budget() -> None:
    small, large = standard("chain", n=1)[:2], standard("chain", n=3)[-1:]
    function = of(lambda: torch.rand(()), wrong=True)
    found = audit(function, arrays="torch", instances=[*small, *large], budget=20)
    assert found.status == "biased"
    assert found.instance is not None
    assert isinstance(found.instance, Instance)
    assert found.instance.n == 1
    assert (
        audit(of(lambda: torch.rand(())), arrays="torch", instances=[*small, *large], budget=20).status == "undecided"
    )


def test_calls_have_their_own_names() -> None:
    assert judged(of(random.random)).calls[0] == "random.random float64"
    assert judged(of(lambda: random.uniform(0, 1))).calls[0] == "random.random float64"


def texts(step: Callable[[tuple[int, ...]], int]) -> Callable[..., Any]:
    def generate(prompt: tuple[int, ...], n_tokens: int) -> list[int]:
        text = prompt
        for _ in range(n_tokens):
            text = (*text, int(step(text)))
        return list(text[len(prompt) :])

    return generate


def even(text: Any) -> list[float]:
    return [0.5, 0.25, 0.25]


def test_generate_compares_many_seeds() -> None:
    """Randomness that is not intercepted, after some texts only."""
    coins = itertools.cycle([0, 1])  # stands for what cannot be followed
    generate = texts(lambda text: np.random.choice(3, p=even(text)) if text[-1] != 1 else next(coins))
    found = audit_generate(generate, even, length=3)
    assert found.status == "undecided"
    assert "with the same seeds" in found.cause
    assert failed_checks(found) == ["same_seed"]


def test_generate_with_generators_of_its_own() -> None:
    for rng in (np.random.default_rng(1), np.random.RandomState(1)):
        generate = texts(lambda text, rng=rng: rng.choice(3, p=even(text)))
        assert audit_generate(generate, even, length=3).status == "lossless"
        assert audit_or_sample(generate, kind="generate", target=even, length=3).status == "lossless"
        wrong = texts(lambda text, rng=rng: rng.choice(3, p=[0.25, 0.5, 0.25]))
        assert audit_generate(wrong, even, length=3).status == "biased"


@pytest.mark.filterwarnings("ignore:coroutine")
def test_what_is_no_text_has_failed() -> None:
    class Reply:
        pass

    async def later(prompt: Any, n_tokens: int) -> list[int]:
        return [0] * n_tokens

    def streamed(prompt: Any, n_tokens: int) -> Any:
        yield from range(n_tokens)

    for generate in (later, streamed, lambda prompt, n_tokens: Reply(), lambda prompt, n_tokens: None):
        found = audit_generate(generate, even, length=2)
        assert found.status == "failed"
        assert " at 0x" not in str(found)


def test_generators_made_without_a_seed() -> None:
    """Each call makes one: equal seeds cannot give equal tokens, and the exploration follows it all the same."""
    for make in (np.random.default_rng, lambda: np.random.Generator(np.random.PCG64())):

        def verify(target: Any, draft: Any, tokens: Any, make: Any = make) -> int:
            rng, token = make(), tokens[0]
            if rng.random() < target[token] / draft[token]:
                return token
            left = np.maximum(target - draft, 0) if (target > draft).any() else target
            return int(rng.choice(len(target), p=left / left.sum()))

        followed = make is np.random.default_rng
        assert audit(verify, kind="node", n=1, arrays="numpy").status == ("lossless" if followed else "undecided")


def test_a_shape_with_open_tokens_is_the_same_in_every_replay() -> None:
    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        return torch.cat([torch.tensor([-1]), torch.multinomial(target[0], 1)])

    found = judged(verify)
    assert found.status == "failed"
    assert "padding" in failed_checks(found)


def test_runs_that_raise_are_lost_probability() -> None:
    """Half of every law is missing: 1/2 (sum |P - P / 2| + 1/2) = 1/2."""

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        if torch.rand(()) < 0.5:
            raise ValueError("half of the time")
        return verified(target, draft, tokens, lambda: torch.rand(()))

    found = judged(verify)
    assert found.status == "failed"
    assert found.total_variation == pytest.approx(0.5, abs=1e-6)


def test_generate_may_return_tokens_that_nobody_looked_at() -> None:
    def generate(prompt: tuple[int, ...], n_tokens: int) -> torch.Tensor:
        return torch.multinomial(torch.tensor([0.5, 0.25, 0.25]), n_tokens, replacement=True)

    assert audit_generate(generate, even, length=2).status == "lossless"
    assert audit_generate(generate, lambda text: [0.25, 0.5, 0.25], length=2).status == "biased"


def test_coarse_uniforms_are_judged_by_float32() -> None:
    """However coarse the laws are: else uniforms of bfloat16 would excuse themselves."""
    fine, coarse = Joint(INSTANCES[0]), Joint(INSTANCES[0], coarsest=Fraction(1, 256))
    assert tolerance(coarse, "bfloat16") == tolerance(fine, "float32") < tolerance(fine, "bfloat16")
