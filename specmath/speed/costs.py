"""What a forward pass costs: straight lines, measured curves, and the roofline of weights, cache and arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specmath.speed.check import cost, positive, probability, whole


@dataclass(frozen=True)
class Line:
    """seconds = fixed + per_token * tokens + per_context * context (tokens in the cache of all requests).

    Source: liu2024optimizing (SmartSpec's linear model).

    >>> Line(0.006, 2e-5)(100), Line(0.006, 2e-5, 4e-8)(1, 10_000)
    (0.008, 0.00642)
    """

    fixed: float
    per_token: float = 0.0
    per_context: float = 0.0

    def __post_init__(self) -> None:
        for name in ("fixed", "per_token", "per_context"):
            cost(name, getattr(self, name))

    def __call__(self, tokens: float, context: float = 0.0) -> float:
        return self.fixed + self.per_token * tokens + self.per_context * context


@dataclass(frozen=True)
class Curve:
    """Measured seconds at some numbers of tokens, straight lines between; ValueError outside of what was measured.

    >>> Curve((1, 4, 8), (1.0, 1.0, 2.0))(6)
    1.5
    """

    tokens: tuple[int, ...]
    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.tokens or len(self.tokens) != len(self.seconds):
            raise ValueError(
                f"Curve: {len(self.tokens)} tokens and {len(self.seconds)} seconds; allowed are one or more, as many"
            )
        for place, size in enumerate(self.tokens):
            whole(f"tokens[{place}]", size)
        if any(a >= b for a, b in zip(self.tokens, self.tokens[1:], strict=False)):
            raise ValueError(f"tokens is {self.tokens}; allowed are rising whole numbers")
        for place, value in enumerate(self.seconds):
            positive(f"seconds[{place}]", value)

    def __call__(self, tokens: float) -> float:
        if not self.tokens[0] <= tokens <= self.tokens[-1]:
            raise ValueError(f"tokens is {tokens}; measured were {self.tokens[0]} to {self.tokens[-1]}")
        return float(np.interp(tokens, self.tokens, self.seconds))


@dataclass(frozen=True)
class Device:
    """A processor: bytes per second from memory, operations per second, and seconds that every pass takes anyway."""

    bandwidth: float
    operations: float
    fixed: float = 0.0

    def __post_init__(self) -> None:
        positive("bandwidth", self.bandwidth)
        positive("operations", self.operations)
        cost("fixed", self.fixed)

    def ridge(self, bytes_per_parameter: float = 2.0) -> float:
        """Tokens at which reading the weights takes as long as computing with them: operations bytes / (2 bandwidth).

        >>> round(Device(2.0e12, 312e12).ridge())  # A100, 16 bits a parameter
        156
        """
        return self.operations * positive("bytes_per_parameter", bytes_per_parameter) / (2 * self.bandwidth)


@dataclass(frozen=True)
class Experts:
    """Mixture-of-experts layers: each token is sent to ``active`` of ``total`` experts.

    Attributes
    ----------
    total, active : experts in a layer, and those that one token uses.
    weight_bytes : of all experts of all layers together.
    independent : how many choices of their own k tokens make: 1 + independent (k - 1). 1 for independent uniform
        routing; measured trees lie far below it.
    """

    total: int
    active: int
    weight_bytes: float = 0.0
    independent: float = 1.0

    def __post_init__(self) -> None:
        total, active = whole("total", self.total), whole("active", self.active)
        if not 1 <= active <= total:
            raise ValueError(f"active is {active}; allowed are 1 to {total}, the experts there are")
        cost("weight_bytes", self.weight_bytes)
        probability("independent", self.independent)

    def touched(self, tokens: int) -> float:
        """Expected distinct experts of a layer that so many tokens use: E (1 - (1 - k/E)^t), t = 1 + i (tokens - 1).

        Raises ValueError for what is no whole number >= 0.

        Source: huang2025moesd, for independent tokens.

        >>> round(Experts(64, 8).touched(4), 1), Experts(64, 8).touched(1)
        (26.5, 8.0)
        """
        if not whole("tokens", tokens):
            return 0.0
        if self.active == self.total:
            return float(self.total)
        choices = 1 + self.independent * (tokens - 1)
        return self.total * -math.expm1(choices * math.log1p(-self.active / self.total))


@dataclass(frozen=True)
class Model:
    """What of a model its speed depends on.

    Attributes
    ----------
    weight_bytes : read in every pass; without the experts' if there are ``experts``.
    parameters : that one token is multiplied with (of a mixture: shared and active ones).
    cache_bytes : keys and values per token of context: 2 * layers * kv_heads * head_dim * bytes.
    attention : multiplications and additions per new token and token of context: 4 * layers * heads * head_dim.
    experts : of a mixture-of-experts model.
    """

    weight_bytes: float
    parameters: float
    cache_bytes: float = 0.0
    attention: float = 0.0
    experts: Experts | None = None

    def __post_init__(self) -> None:
        for name in ("weight_bytes", "parameters", "cache_bytes", "attention"):
            cost(name, getattr(self, name))

    @property
    def balance(self) -> float:
        """Tokens of context, over all requests, whose cache has as many bytes as the weights; inf without a cache.

        >>> round(Model(16.06e9, 8.03e9, 131_072).balance)  # Llama-3 8B, 16 bits
        122528
        """
        return self.weight_bytes / self.cache_bytes if self.cache_bytes else math.inf


@dataclass(frozen=True)
class Forward:
    """One pass on the roofline: seconds = max(memory, compute) + fixed."""

    seconds: float
    memory: float
    compute: float

    @property
    def bound(self) -> str:
        """What the pass waits for: "memory" or "compute"."""
        return "memory" if self.memory >= self.compute else "compute"


def roofline(
    model: Model, device: Device, tokens: int, *, requests: int = 1, context: float = 0.0, devices: int = 1
) -> Forward:
    """Time of a pass over ``tokens`` new tokens of each of ``requests`` texts of length ``context``.

    memory = (weights + experts touched + requests context cache_bytes) / bandwidth,
    compute = requests tokens (2 parameters + attention context) / operations, both over ``devices`` that share the
    work without loss.

    Raises ValueError for negative or infinite numbers, and counts below 1.

    Source: sadhukhan2025magicdec; huang2025moesd (experts).

    >>> llama, a100 = Model(16.06e9, 8.03e9, 131_072), Device(2.0e12, 312e12)
    >>> roofline(llama, a100, 1).bound, roofline(llama, a100, 8, requests=64).bound
    ('memory', 'compute')
    """
    for name, value in (("tokens", tokens), ("requests", requests), ("devices", devices)):
        if whole(name, value) < 1:
            raise ValueError(f"{name} is {value}; allowed are whole numbers >= 1")
    context, new = cost("context", context), requests * tokens
    read = model.weight_bytes + requests * context * model.cache_bytes
    if model.experts is not None:
        read += model.experts.weight_bytes * model.experts.touched(new) / model.experts.total
    memory = read / (device.bandwidth * devices)
    compute = new * (2 * model.parameters + model.attention * context) / (device.operations * devices)
    return Forward(max(memory, compute) + device.fixed, memory, compute)


def verify_law(model: Model, device: Device, **options: Any) -> Any:
    """``tokens -> seconds`` of `roofline` with these options, for `plan_chain` and `trees.choose_size`.

    >>> law = verify_law(Model(16.06e9, 8.03e9), Device(2.0e12, 312e12), requests=1)
    >>> round(law(1) * 1000, 2), round(law(512) * 1000, 2)
    (8.03, 26.35)
    """
    return lambda tokens: roofline(model, device, tokens, **options).seconds


def line_through(tokens: Sequence[float], seconds: Sequence[float]) -> Line:
    """The line of the medians of all pairwise slopes (Theil and Sen): a quarter of the points may be wrong.

    Negative slopes or intercepts are set to zero. Raises ValueError for fewer than two different numbers of tokens.

    Source: sen1968estimates.

    >>> line_through([1, 2, 3, 4], [2.0, 3.0, 99.0, 5.0])
    Line(fixed=1.0, per_token=1.0, per_context=0.0)
    """
    x, y = np.asarray(tokens, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(np.unique(x)) < 2:
        raise ValueError("line_through: allowed are two lists of one length with two different numbers of tokens")
    i, j = np.triu_indices(len(x), 1)
    apart = x[i] != x[j]
    slope = max(float(np.median((y[j] - y[i])[apart] / (x[j] - x[i])[apart])), 0.0)
    return Line(max(float(np.median(y - slope * x)), 0.0), slope)
