"""What logged laws add to a trace: the optimum of every first position, and whether tokens follow the laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from specmath.arrays import as_array, check_pair, to_numpy
from specmath.oracle.logs.excess import Excess, above_optimum
from specmath.oracle.logs.followed import Followed, follows
from specmath.oracle.logs.rounds import Logged

SAMPLED = ("iid", "without_replacement")
"""Draft laws whose first candidate is a draw from the draft itself."""


def judge_laws(
    log: Sequence[Logged], laws: Sequence[tuple[ArrayLike, ArrayLike] | None], drafts: str, false_alarm: float
) -> tuple[Excess | None, list[tuple[str, Followed]]]:
    """Acceptance of first positions against the optimum, and first tokens against the laws they should follow.

    The emitted token is one of the n candidates with probability at most alpha*(target, draft, n, drafts) given
    everything before the round, under every lossless rule; so is "the likeliest token is drafted" (emitted) an event of
    known probability. Rounds without laws, or without drafts, are left out. Raises ValueError for what are no laws,
    naming the round.
    """
    from specmath import optimum

    rows = [place for place, pair in enumerate(laws) if pair is not None and log[place].emitted]
    groups: dict[tuple[int, int], list[int]] = {}  # rounds with one vocabulary and number of candidates
    given = {place: _arrays(laws[place], place) for place in rows}
    for place in rows:
        groups.setdefault((given[place][0].shape[0], len(log[place].first)), []).append(place)
    hits, bounds, drawn, kept = [], [], [], []
    for (size, n), places in groups.items():
        target, draft = _checked([given[place] for place in places], places)  # (rounds, V)
        emitted = np.array([log[place].emitted[0] for place in places])
        first = np.array([log[place].first for place in places]).reshape(len(places), n)
        if max(emitted.max(), first.max(initial=0)) >= size:
            row = int(np.argmax(np.maximum(emitted, first.max(axis=-1, initial=0)) >= size))
            raise ValueError(
                f"laws[{places[row]}]: {size} tokens, and token {max(emitted[row], *first[row])} is logged"
            )
        kept.append((emitted, target, draft))
        if not n:
            continue
        hits += (first == emitted[:, None]).any(axis=-1).tolist()
        bounds += optimum(target, draft, n, drafts).upper.tolist()
        if drafts in SAMPLED:
            drawn.append((first[:, 0], draft, target))
    excess = above_optimum(hits, 1, np.minimum(bounds, 1.0), false_alarm=false_alarm) if hits else None
    places = (("draft_law", drawn), ("target_law", kept))
    return excess, [
        (name, follows(found, emitted=name == "target_law", false_alarm=false_alarm)) for name, found in places if found
    ]


def _arrays(pair: Any, place: int) -> list[np.ndarray]:
    try:
        found = [to_numpy(as_array(f"laws[{place}]", one)) for one in pair]
    except TypeError:
        found = []
    if len(found) != 2 or any(one.ndim != 1 for one in found) or len({one.shape for one in found}) > 1:
        shapes = [tuple(one.shape) for one in found]
        raise ValueError(f"laws[{place}]: shapes {shapes}; allowed are two laws (V,), the target's and the draft's")
    return found


def _checked(pairs: list[list[np.ndarray]], places: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Target and draft (rounds, V) in float64; ValueError naming the first round whose laws are none."""
    try:
        found = check_pair(*(np.stack([pair[side] for pair in pairs]) for side in (0, 1)))
    except ValueError as error:
        for place, pair in zip(places, pairs, strict=True):
            try:
                check_pair(*pair)
            except ValueError as precise:
                raise ValueError(f"laws[{place}]: {precise}") from None
        raise ValueError(f"laws: {error}") from None
    return to_numpy(found.target), to_numpy(found.draft)
