"""The judge: a text token by token, the whole prefix through the network each time, nothing kept.

It shares no code with the decoders, the cache, the drafters or the random source: the loop, the choice of a token, the
filters and the noise are written here once more, on numbers of the Python language, from their documentation. Only the
network itself is the same, for it is what the text is a text of.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Asked(NamedTuple):
    """How a text is to be continued, in the judge's own words."""

    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int
    request: int
    stop: frozenset[int]
    max_tokens: int
    context: int


class Judged(NamedTuple):
    """Emitted tokens, the logits (V,) that decided each, the natural log of each one's probability, why it ended."""

    tokens: tuple[int, ...]
    logits: list[Tensor]
    logprobs: list[float]
    reason: str


def judged(read: Callable[[Sequence[int]], Tensor], prompt: Sequence[int], asked: Asked) -> Judged:
    """Continue the prompt; ``read(text)`` gives the logits (V,) after a text that it reads from the start."""
    text, rows, logs = list(prompt), [], []
    end = min(len(prompt) + asked.max_tokens, asked.context)
    while len(text) < end:
        rows.append(read(text))
        values = rows[-1].tolist()
        law = weights(values, asked)
        if asked.temperature == 0:
            score = values
        else:
            top = max(values)
            score = [(v - top) / asked.temperature + noise(asked, len(text), i) for i, v in enumerate(values)]
        allowed = [token for token in range(len(law)) if law[token] > 0]
        text.append(max(allowed, key=lambda token: (score[token], -token)))
        logs.append(math.log(law[text[-1]]))
        if text[-1] in asked.stop:
            return Judged(tuple(text[len(prompt) :]), rows, logs, "stop")
    full = len(prompt) + asked.max_tokens > asked.context
    return Judged(tuple(text[len(prompt) :]), rows, logs, "context" if full else "length")


def weights(values: list[float], asked: Asked) -> list[float]:
    """The law that is sampled: temperature, then the k likeliest, then the fewest likeliest with mass top_p."""
    order = sorted(range(len(values)), key=lambda token: (-values[token], token))
    if asked.temperature == 0:
        return [float(token == order[0]) for token in range(len(values))]
    law = [math.exp((value - values[order[0]]) / asked.temperature) for value in values]
    kept = order if asked.top_k is None else order[: asked.top_k]
    if asked.top_p is not None and asked.top_p < 1:
        total, before, few = math.fsum(law[token] for token in kept), 0.0, []
        for token in kept:
            if before < asked.top_p:
                few.append(token)
            before += law[token] / total
        kept = few
    total = math.fsum(law[token] for token in kept)
    return [law[token] / total if token in kept else 0.0 for token in range(len(law))]


def noise(asked: Asked, position: int, token: int) -> float:
    """Gumbel noise -log(-log u) of a position and token; u = k 2^-53 from two words of a block of four, 0 as 2^-54."""
    block = philox4x32((token // 2, position, 4, asked.request), (asked.seed % 2**32, asked.seed >> 32))
    high, low = block[token % 2 * 2], block[token % 2 * 2 + 1]
    u = (high << 21 | low >> 11) * 2.0**-53
    return -math.log(-math.log(u or 2.0**-54))


def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Ten rounds, from salmon2011random, on whole 64-bit products."""
    x, k = list(counter), list(key)
    for _ in range(10):
        left, right = x[0] * 0xD2511F53, x[2] * 0xCD9E8D57
        x = [right >> 32 ^ x[1] ^ k[0], right % 2**32, left >> 32 ^ x[3] ^ k[1], left % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return x


class Sheet:
    """Where the network puts keys and values of one call, and finds them again: as they are handed over, in order."""

    def __init__(self) -> None:
        self.keys: list[Tensor] = []  # of each layer (G, T, d)
        self.values: list[Tensor] = []

    def write(self, layer: int, rows: object, places: object, key: Tensor, value: Tensor) -> None:
        self.keys.append(key[0].transpose(0, 1))
        self.values.append(value[0].transpose(0, 1))

    def read(self, layer: int, rows: object, end: int) -> tuple[Tensor, Tensor]:
        return self.keys[layer][None], self.values[layer][None]


class Fresh:
    """A network without a cache: logits (T, V), keys and values (L, G, T, d) of a whole text, read from the start."""

    def __init__(self, network: Callable[..., Tensor], device: torch.device | str = "cpu") -> None:
        self._network, self._device = network, device
        self._read = functools.lru_cache(256)(self._anew)

    def whole(self, text: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        return self._read(tuple(text))

    def _anew(self, text: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        sheet, size = Sheet(), len(text)
        at = torch.arange(size, device=self._device)
        tokens = torch.tensor([text], device=self._device)
        logits = self._network(tokens, sheet, at, slice(0, size), size, at[:, None] >= at, slice(0, 1))
        return logits[0], torch.stack(sheet.keys), torch.stack(sheet.values)

    def __call__(self, text: Sequence[int]) -> Tensor:
        return self.whole(text)[0][-1]
