"""Acceptance that the optimal verifier attained in decoding, beside the optimum computed on the very same contexts.

At each place of a round, the k paths that agree with what was emitted before offer k independent candidates for the
next token. Given the past, an optimal verifier goes on with one of them with a probability that is known exactly, the
optimum of that context: alpha* = 1 - max_H [q(H)^k - p(H)] with p the target's law and q the draft's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reference.decode import Round
from reference.demo.contexts import Laws
from reference.demo.decoders import PathsDecoder
from reference.demo.decoding import Text
from reference.demo.evidence import Estimate, Judgement, bernoulli_cumulants, judged, ratio
from reference.demo.settings import COMPARED
from specmath import rules
from specmath.transport import optimum


@dataclass(frozen=True)
class Place:
    """All rounds of a decoder that reached one place of their paths (0 is the first drafted token).

    ``accepted`` of ``rounds`` went on with a drafted token there: ``measured`` with its 95 % interval over texts. On
    the same contexts and numbers of candidates, ``optimum`` is the mean of the computed optimum and ``others`` the mean
    acceptance that other rules would have had.
    """

    place: int
    rounds: int
    accepted: int
    measured: Estimate
    optimum: float
    others: dict[str, float]


@dataclass(frozen=True)
class Attained:
    """One decoder: its places, and the test of its accepted rounds against the optimum of each of them."""

    decoder: str
    rule: str
    n: int
    draft_length: int
    places: tuple[Place, ...]
    judgement: Judgement


@dataclass(frozen=True)
class Trials:
    """Places of rounds at which candidates were judged, what came of it, and what theory says; shape (trials,)."""

    text: NDArray[np.int64]
    place: NDArray[np.int64]
    accepted: NDArray[np.bool_]
    optimum: NDArray[np.float64]
    others: dict[str, NDArray[np.float64]]


def offers(one: Round) -> Iterator[tuple[int, int, bool]]:
    """(place, candidates, whether one of them was emitted) for each place of a round at which drafts were judged.

    Candidates at a place are the drafted tokens whose path agrees with what the round emitted before; a token that was
    drafted twice counts twice. Nothing is judged behind a rejection or a stop token.
    """
    agreeing = {-1}
    for place, token in enumerate(one.emitted):
        candidates = [node for node, parent in enumerate(one.parents) if parent in agreeing]
        if not candidates:
            return
        accepted = place < one.accepted
        yield place, len(candidates), accepted
        if not accepted:
            return
        agreeing = {node for node in candidates if one.drafted[node] == token}


def trials(texts: Sequence[Text], laws: Sequence[Laws]) -> Trials:
    """Every judged place of the texts of one decoder, with the optimum and the acceptance of other rules there."""
    found = [
        (number, place, count, accepted, one.position - len(text.start) + place)
        for number, text in enumerate(texts)
        for one in text.decoded.rounds
        for place, count, accepted in offers(one)
    ]
    number, place, count, accepted, row = np.array(found, dtype=np.int64).reshape(-1, 5).T
    best, others = np.zeros(len(found)), {name: np.zeros(len(found)) for name in COMPARED}
    for n in np.unique(count).tolist():
        here = np.flatnonzero(count == n)
        target = np.stack([laws[number[i]].target[row[i]] for i in here])
        draft = np.stack([laws[number[i]].draft[row[i]] for i in here])
        best[here] = np.clip(optimum(target, draft, n).acceptance, 0.0, 1.0)
        for name, values in others.items():
            values[here] = rules.acceptance(name, target, draft, n).values
    return Trials(number, place, accepted.astype(bool), best, others)


def attained(decoder: PathsDecoder, texts: Sequence[Text], laws: Sequence[Laws]) -> Attained | None:
    """What one decoder attained on its texts; None if it judged nothing."""
    found = trials(texts, laws)
    if not len(found.text):
        return None
    places = tuple(_place(found, place) for place in np.unique(found.place).tolist())
    judgement = agreement(found.accepted, found.optimum)
    return Attained(decoder.name, decoder.rule, decoder.n, decoder.draft_length, places, judgement)


def agreement(accepted: NDArray[np.bool_], chances: NDArray[np.float64]) -> Judgement:
    """Test that each trial was accepted, given the past, with its own chance; arrays of shape (trials,)."""
    return judged(accepted.astype(float), chances, chances * (1 - chances), bernoulli_cumulants(chances))


def _place(found: Trials, place: int) -> Place:
    here = found.place == place
    texts = np.unique(found.text[here])  # a text without a round that came so far says nothing
    made = [int((here & (found.text == text)).sum()) for text in texts]
    kept = [int((here & (found.text == text) & found.accepted).sum()) for text in texts]
    return Place(
        place,
        sum(made),
        sum(kept),
        ratio(kept, made, most=1.0),
        float(found.optimum[here].mean()),
        {name: float(values[here].mean()) for name, values in found.others.items()},
    )
