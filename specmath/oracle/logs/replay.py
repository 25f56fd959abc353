"""Greedy and sampled output against a teacher-forced replay: rounding of the logits, or a bug, token by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specmath.arrays import to_numpy

Word = Literal["same", "numerics", "bug"]


@dataclass(frozen=True)
class Replayed:
    """Emitted tokens, judged by the logits of a plain pass over them.

    Attributes
    ----------
    words : for every token "same" (no logit is larger), "numerics" (a larger one is within twice the spread) or "bug".
    gaps : (T,) how far each token's logit is below the largest one.
    margins : (T,) how far the second largest logit is below the largest; small ones are where rounding may decide.
    spread : (T,) by how much rounding moves a logit, as handed in.
    """

    words: tuple[Word, ...]
    gaps: NDArray[np.float64]
    margins: NDArray[np.float64]
    spread: NDArray[np.float64]

    @property
    def bugs(self) -> tuple[int, ...]:
        """Places that rounding cannot explain."""
        return tuple(place for place, word in enumerate(self.words) if word == "bug")

    @property
    def passed(self) -> bool:
        """Whether no token is a bug."""
        return not self.bugs

    def __str__(self) -> str:
        counts = ", ".join(f"{self.words.count(word)} {word}" for word in ("same", "numerics", "bug"))
        if self.passed:
            return counts
        first = self.bugs[0]
        return f"{counts}; first bug at token {first}: {self.gaps[first]:.4g} below the largest logit, spread " + (
            f"{self.spread[first]:.4g}"
        )


def measured_spread(*passes: Any) -> float:
    """Largest difference of a logit between passes of one model over the same tokens, arrays (T, V).

    Take passes of the shapes that decoding and verification use: one row at a time, draft_length + 1 rows, other batch
    mates. The largest difference over a few thousand tokens, times two for those not seen, is a spread for
    `replay_greedy`.

    Raises ValueError for fewer than two passes and for shapes that differ.

    >>> import numpy as np
    >>> measured_spread(np.array([[1.0, 2.0]]), np.array([[1.25, 2.0]]))
    0.25
    """
    if len(passes) < 2:
        raise ValueError(f"passes: {len(passes)}; needed are at least two")
    logits = [_logits(f"passes[{place}]", one) for place, one in enumerate(passes)]
    for place, one in enumerate(logits[1:], start=1):
        if one.shape != logits[0].shape:
            raise ValueError(f"passes[{place}]: shape {one.shape}, passes[0]: {logits[0].shape}; allowed is one shape")
    apart = [np.where(one == logits[0], 0.0, one - logits[0]) for one in logits[1:]]  # -inf equals -inf
    return float(max(np.abs(one).max(initial=0.0) for one in apart))


def replay_greedy(tokens: ArrayLike, logits: Any, *, spread: ArrayLike) -> Replayed:
    """Judge greedy output by a plain pass of the target over it (teacher forcing).

    Token t is what some arithmetic took for the largest of logits (T, V), row t, given the tokens before it. If that
    arithmetic's logits differ from these by at most ``spread``, the token's logit is within 2 * spread of the largest.
    Hence a larger gap is a bug, and a smaller one is explained by rounding, wherever the first difference to plain
    decoding was: later tokens are judged on the text as emitted. Two texts need not be equal.

    Parameters
    ----------
    tokens : (T,) emitted tokens.
    logits : (T, V), numpy or torch, row t before token t; after processors such as bans, -inf for banned tokens.
    spread : by how much rounding moves a logit, scalar or (T,), see `measured_spread`. There is no default: for
        bfloat16 activations it is a few times 2**-8 of the largest logit, for float32 a thousand times less.

    Raises ValueError for shapes that do not fit, tokens outside the vocabulary, NaN, and a negative spread.

    >>> print(replay_greedy([1, 0, 2], [[1.0, 1.01, 0.0], [2.0, 2.02, 0.0], [3.0, 1.0, 0.0]], spread=0.02))
    1 same, 1 numerics, 1 bug; first bug at token 2: 3 below the largest logit, spread 0.02
    """
    rows = _logits("logits", logits)
    chosen = _tokens(tokens, rows)
    moved = np.asarray(spread, dtype=np.float64)
    if moved.shape not in ((), chosen.shape) or not (moved >= 0).all():
        raise ValueError(f"spread: {spread!r}; allowed is a number >= 0, or {len(chosen)} of them")
    moved = np.broadcast_to(moved, chosen.shape)
    ranked = np.partition(rows, -2, axis=-1)[:, -2:] if rows.shape[-1] > 1 else np.repeat(rows, 2, axis=-1)
    with np.errstate(invalid="ignore"):
        gaps = ranked[:, 1] - rows[np.arange(len(chosen)), chosen]
        margins = ranked[:, 1] - ranked[:, 0]
    words: list[Word] = [
        "same" if gap == 0 else "numerics" if gap <= 2 * s else "bug" for gap, s in zip(gaps, moved, strict=True)
    ]
    return Replayed(tuple(words), gaps, margins, moved)


def outside_support(tokens: ArrayLike, laws: Any) -> tuple[int, ...]:
    """Places of sampled output at which the token has probability zero under the replayed target law (T, V).

    The laws are those after temperature, top-k and top-p. Any place is a bug, unless rounding moved the edge of a top-k
    or top-p set; give those a law in which tokens at the edge are kept.

    Raises ValueError for shapes that do not fit and tokens outside the vocabulary.

    >>> outside_support([0, 1], [[0.5, 0.5], [1.0, 0.0]])
    (1,)
    """
    rows = _logits("laws", laws)
    chosen = _tokens(tokens, rows)
    return tuple(int(place) for place in np.flatnonzero(rows[np.arange(len(chosen)), chosen] <= 0))


def _logits(name: str, values: Any) -> NDArray[np.float64]:
    if hasattr(values, "detach"):  # torch: numpy has no bfloat16
        values = values.detach().double()
    rows = np.asarray(to_numpy(values) if hasattr(values, "__array__") else values, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"{name}: shape {rows.shape}; allowed is (tokens, vocabulary)")
    if np.isnan(rows).any() or (rows == np.inf).any() or (rows.max(axis=-1) == -np.inf).any():
        raise ValueError(f"{name}: NaN, infinity, or a row of -inf; allowed are numbers, and -inf for banned tokens")
    return rows


def _tokens(tokens: ArrayLike, rows: NDArray[np.float64]) -> NDArray[np.int64]:
    chosen = np.asarray(tokens)
    if chosen.shape != rows.shape[:1] or chosen.dtype.kind not in "iu":
        raise ValueError(
            f"tokens: {chosen.dtype} of shape {chosen.shape}; allowed is one integer for each of {len(rows)} rows"
        )
    if ((chosen < 0) | (chosen >= rows.shape[1])).any():
        raise ValueError(f"tokens: from {chosen.min()} to {chosen.max()}; allowed are 0 to {rows.shape[1] - 1}")
    return chosen.astype(np.int64)
