"""The random calls of torch: what is drawn, and from which state of which generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from specmath.oracle.draws import UnsupportedRandomness
from specmath.oracle.grid import TORCH
from specmath.oracle.term import Term
from specmath.oracle.torch_source.filled import write
from specmath.oracle.torch_source.unknown import Unknown, look, refuse


def _numbers(
    source: Any, generator: torch.Generator | None, law: str, count: int, make: Callable[[], int]
) -> list[int]:
    """Numbers of new cells, or of those that this state of the generator gave before."""
    generator = torch.default_generator if generator is None else generator
    state = generator.get_state().numpy().tobytes()
    if source.expected.get(id(generator), state) != state:
        source.seeded(generator, state)
    found = source.draws.numbers(("torch", state, id(generator)), law, count, make)
    torch.empty(1, device=generator.device).uniform_(generator=generator)  # the state moves on
    source.expected[id(generator)] = generator.get_state().numpy().tobytes()
    return found


def _grid(dtype: torch.dtype, call: str, device: torch.device) -> Any:
    name = str(dtype).removeprefix("torch.")
    if device.type != "cpu":
        raise UnsupportedRandomness(f"torch's {call} on {device.type}: the grid of its uniforms is not known")
    if name not in TORCH:
        raise UnsupportedRandomness(f"torch's {call} of dtype {name}")
    return TORCH[name]


def _uniform(source: Any, shape: Any, dtype: torch.dtype, device: torch.device, generator: Any, call: str) -> Term:
    grid = _grid(dtype, call, device)
    shape = torch.Size(shape)
    source.draws.calls[f"torch {call} {str(dtype)[6:]}"] = None
    found = _numbers(source, generator, f"uniform {dtype}", shape.numel(), lambda: source.draws.uniform(grid))
    return Term("uniform", torch.tensor(found, dtype=torch.int64, device=device).reshape(shape), dtype)


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if key not in ("generator", "out")}


def _rand(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Unknown:
    if kwargs.get("out") is not None:
        refuse("torch's rand(out=...)")
    like = torch.empty(*args, **_plain(kwargs))
    term = _uniform(source, like.shape, like.dtype, like.device, kwargs.get("generator"), "rand")
    return Unknown(source.draws, term, like.dtype)


def _rand_like(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Unknown:
    given = args[0] if args else kwargs["input"]
    dtype, device = kwargs.get("dtype") or given.dtype, torch.device(kwargs.get("device") or given.device)
    term = _uniform(source, given.shape, dtype, device, kwargs.get("generator"), "rand_like")
    return Unknown(source.draws, term, dtype)


def _fill(source: Any, given: torch.Tensor, term: Term) -> Unknown:
    return write(given, term) if isinstance(given, Unknown) else source.filled.fill(given, term)


def _uniform_(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Unknown:
    given, *ends = args
    low = ends[0] if ends else kwargs.get("from", 0.0)
    high = ends[1] if len(ends) > 1 else kwargs.get("to", 1.0)
    if (low, high) != (0, 1):
        raise UnsupportedRandomness(f"torch's uniform_({low}, {high}); (0, 1) is supported")
    term = _uniform(source, given.shape, given.dtype, given.device, kwargs.get("generator"), "uniform_")
    return _fill(source, given, term)


def _exponential_(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Unknown:
    given = args[0]
    rate = args[1] if len(args) > 1 else kwargs.get("lambd", 1.0)
    if rate != 1:
        raise UnsupportedRandomness(f"torch's exponential_({rate}); rate 1 is supported")
    source.draws.calls["torch exponential_"] = None
    found = _numbers(source, kwargs.get("generator"), "exponential", given.numel(), source.draws.exponential)
    index = torch.tensor(found, dtype=torch.int64, device=given.device).reshape(given.shape)
    return _fill(source, given, Term("exponential", index, given.dtype))


def _multinomial(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names = ("input", "num_samples", "replacement")
    bound = {**dict(zip(names, args, strict=False)), **kwargs}
    given, count, again = bound["input"], bound["num_samples"], bound.get("replacement", False)
    if isinstance(given, Unknown):
        refuse("torch's multinomial")
    rows = given.detach().to(torch.float64).reshape(-1, given.shape[-1]).tolist()
    for row in rows:
        if any(not 0 <= weight < float("inf") for weight in row):  # in torch's own words
            raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
        if not sum(row) > 0:
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
        if count > (len(row) if not again else count):
            raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
        if not again and count > sum(weight > 0 for weight in row):
            raise RuntimeError("invalid multinomial distribution (with replacement=False, not enough non-negative ...)")
    kind = "multinomial" if count == 1 or again else "multinomial without replacement"
    source.draws.calls[f"torch {kind}"] = None
    todo = iter([row for row in rows for _ in range(count)])
    if kind == "multinomial":
        found = _numbers(
            source, bound.get("generator"), kind, len(rows) * count, lambda: source.draws.category(next(todo))
        )
    else:
        found = _numbers(source, bound.get("generator"), kind, 1, lambda: source.draws.category((1.0,)))
        values = [value for row in rows for value in _without_replacement(source, row, count)]
        return torch.tensor(values, device=given.device).reshape(*given.shape[:-1], count)
    index = torch.tensor(found, dtype=torch.int64, device=given.device).reshape(*given.shape[:-1], count)
    return Unknown(source.draws, Term("category", index, torch.int64), torch.int64)


def _without_replacement(source: Any, row: list[float], count: int) -> list[int]:
    row, found = list(row), []
    for _ in range(count):
        found.append(source.draws.choose(row))
        row[found[-1]] = 0.0
    return found


def _flips(source: Any, law: torch.Tensor, generator: Any, dtype: torch.dtype) -> torch.Tensor:
    source.draws.calls["torch bernoulli"] = None
    heads = iter(law.detach().to(torch.float64).reshape(-1).tolist())

    def one() -> int:
        head = next(heads)
        if not 0 <= head <= 1:
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
        return source.draws.category((1 - head, head))

    found = _numbers(source, generator, "bernoulli", law.numel(), one)
    index = torch.tensor(found, dtype=torch.int64, device=law.device).reshape(law.shape)
    return look(Unknown(source.draws, Term("category", index, torch.int64), dtype))


def _bernoulli(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    given = args[0] if args else kwargs["input"]
    head = args[1] if len(args) > 1 else kwargs.get("p")
    law = given if head is None else torch.full(given.shape, head, dtype=torch.float64, device=given.device)
    return _flips(source, law, kwargs.get("generator"), given.dtype)


def _bernoulli_(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    given = args[0]
    head: Any = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
    if isinstance(head, torch.Tensor):
        law = head.expand(given.shape)
    else:
        law = torch.full(given.shape, head, dtype=torch.float64, device=given.device)
    return given.copy_(_flips(source, law, kwargs.get("generator"), given.dtype))


def _randint(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    shape: Any = next((arg for arg in args if isinstance(arg, tuple | list)), kwargs.get("size"))
    ends = [int(arg) for arg in args if not isinstance(arg, tuple | list)]
    ends += [int(kwargs[name]) for name in ("low", "high") if name in kwargs]
    low, high = (0, ends[0]) if len(ends) == 1 else ends
    like = torch.empty(shape, dtype=kwargs.get("dtype") or torch.int64, device=kwargs.get("device"))
    return _integers(source, like, low, high, kwargs.get("generator"), "randint")


def _random_(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    given, *ends = args
    if not ends:
        raise UnsupportedRandomness("torch's random_() without ends has too many outcomes to enumerate")
    low, high = (0, ends[0]) if len(ends) == 1 else ends
    return given.copy_(_integers(source, given, int(low), int(high), kwargs.get("generator"), "random_"))


def _integers(source: Any, like: Any, low: int, high: int, generator: Any, call: str) -> torch.Tensor:
    source.draws.calls[f"torch {call}"] = None
    weights = (1,) * min(high - low, 1 << 20)
    found = _numbers(
        source, generator, f"{call} {low}..{high - 1}", like.numel(), lambda: source.draws.category(weights)
    )
    index = torch.tensor(found, dtype=torch.int64, device=like.device).reshape(like.shape)
    return look(Unknown(source.draws, Term("category", index, torch.int64), like.dtype)) + low


def _randperm(source: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    count = args[0]
    source.draws.calls["torch randperm"] = None
    _numbers(source, kwargs.get("generator"), f"randperm {count}", 1, lambda: source.draws.category((1.0,)))
    return torch.tensor(_without_replacement(source, [1.0] * count, count), device=kwargs.get("device"))


CALLS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.rand: _rand,
    torch.rand_like: _rand_like,
    torch.Tensor.uniform_: _uniform_,
    torch.Tensor.exponential_: _exponential_,
    torch.multinomial: _multinomial,
    torch.Tensor.multinomial: _multinomial,
    torch.bernoulli: _bernoulli,
    torch.Tensor.bernoulli: _bernoulli,
    torch.Tensor.bernoulli_: _bernoulli_,
    torch.randint: _randint,
    torch.Tensor.random_: _random_,
    torch.randperm: _randperm,
}
"""What is intercepted."""

OFF = frozenset([torch.dropout, torch.nn.functional.dropout, torch.nn.functional.alpha_dropout])
"""Of `REFUSED` those that draw nothing outside of training."""

REFUSED = frozenset(
    getattr(home, name)
    for home, names in (
        (torch, "randn randn_like normal poisson binomial randint_like _standard_gamma _sample_dirichlet dropout"),
        (torch.Tensor, "normal_ cauchy_ log_normal_ geometric_"),
        (torch.nn.functional, "dropout alpha_dropout feature_alpha_dropout rrelu gumbel_softmax"),
    )
    for name in names.split()
)
"""Random calls that are refused by name."""
