"""Survival curves S_k = P(the first k drafts of a chain are all accepted), k = 1 .. K.

A chain's acceptance enters its speed through this curve alone: a round of L drafts emits 1 + S_1 + .. + S_L tokens on
average.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specmath.speed.check import Floats, positive, probability, survival_rows, whole
from specmath.speed.check import probabilities as checked
from specmath.stopping import Process, blind
from specmath.stopping.compiled import FRESH, compiled

_ROUNDING = 1e-9


def iid(acceptance: float, longest: int) -> Floats:
    """Every draft is accepted with the same probability: S_k = acceptance^k, (K,).

    Source: leviathan2023fast, Section 3.1.

    >>> iid(0.5, 3).tolist()
    [0.5, 0.25, 0.125]
    """
    return _falling(probability("acceptance", acceptance) ** np.arange(1, whole("longest", longest) + 1))


def by_position(conditional: Sequence[float]) -> Floats:
    """From P(draft k accepted | drafts 1 .. k - 1 accepted): S_k = product of the first k, (K,).

    Source: chen2024sequoia; any log of accepted counts per position gives these.

    >>> by_position([0.8, 0.5]).tolist()
    [0.8, 0.4]
    """
    return _falling(np.cumprod(checked("conditional", conditional)))


def markov(acceptances: Sequence[float], transition: Any, beginning: Sequence[float], longest: int) -> Floats:
    """A hidden state z moves with each draft and sets its acceptance: S_k = b D (P D)^(k - 1) 1, D = diag.

    Parameters
    ----------
    acceptances : (Z,), of a draft in state z.
    transition : (Z, Z), row z is the law of the next state.
    beginning : (Z,), law b of the state of a round's first draft.
    longest : K.

    All rounds begin by the same law (`stopping.Markov` with ``renewal``). Where the text goes on from round to round,
    more of them begin in hard stretches, and no one curve serves all lengths: `stopping.best_fixed`.

    Raises ValueError for entries that are no probabilities and rows that do not sum to one.

    >>> markov([1.0, 0.5], [[0.5, 0.5], [0, 1]], [1, 0], 3).round(4).tolist()
    [1.0, 0.75, 0.5]
    """
    rates = np.asarray(checked("acceptances", acceptances))
    law, moves = _law("beginning", beginning, len(rates)), np.asarray(transition, dtype=np.float64)
    if moves.shape != (len(rates),) * 2:
        raise ValueError(f"transition has shape {moves.shape}; allowed is {(len(rates),) * 2}, as many states")
    moves = np.stack([_law(f"transition[{z}]", row, len(rates)) for z, row in enumerate(moves)])
    found, weight = [], law
    for _ in range(whole("longest", longest)):
        weight = weight * rates
        found.append(weight.sum())
        weight = weight @ moves
    return _falling(found)


def mixture(acceptances: Sequence[float], probabilities: Sequence[float], longest: int) -> Floats:
    """Rounds differ: with probability ``probabilities[i]`` all drafts of one have ``acceptances[i]``; S_k = E[A^k].

    These are shares of rounds. Easy requests need fewer rounds for as many tokens, so shares of requests of equal
    length would promise too much: for those use `stopping.RandomEffect` and `stopping.best_fixed`.

    A^k is convex in A, so this curve lies above that of the mean acceptance: one number fitted to short drafts
    promises too little of long ones.

    >>> mixture([1.0, 0.0], [0.5, 0.5], 3).tolist()
    [0.5, 0.5, 0.5]
    """
    rates = np.asarray(checked("acceptances", acceptances))
    law = _law("probabilities", probabilities, len(rates))
    powers = rates[None, :] ** np.arange(1, whole("longest", longest) + 1)[:, None]
    return _falling(powers @ law)


def beta(a: float, b: float, longest: int) -> Floats:
    """Rounds' acceptances follow Beta(a, b), as in `mixture`: S_k = prod_{i < k} (a + i) / (a + b + i).

    >>> beta(1, 1, 3).round(4).tolist()
    [0.5, 0.3333, 0.25]
    """
    a, b = positive("a", a), positive("b", b)
    steps = np.arange(whole("longest", longest))
    return _falling(np.cumprod((a + steps) / (a + b + steps)))


def of(process: Process, longest: int) -> Floats:
    """The curve of a `specmath.stopping` process, for rounds that begin as a text does: (K,).

    Exact for a process whose rounds all begin alike. Where the text goes on from round to round (``rejected`` or
    ``bonus`` name a state), one curve does not serve all lengths: ValueError, with what to ask instead.

    >>> from specmath.stopping import Observable
    >>> of(Observable((0.5, 1.0), (0.5, 0.5)), 3).tolist()
    [0.75, 0.5625, 0.421875]
    """
    numbered = compiled(process)
    if set(numbered.graph()) != {FRESH}:
        raise ValueError(
            "process: its rounds do not all begin alike, so no one survival curve serves all lengths; allowed are "
            "renewal processes; for this one ask stopping.best_fixed or stopping.solve"
        )
    length = whole("longest", longest)
    return by_position([float(one) for one in blind(process, length).acceptances]) if length else _falling([])


def expected_tokens(survival: Sequence[float] | Floats) -> Floats:
    """1 + S_1 + .. + S_L for L = 0 .. K, (K + 1,): emitted tokens per round of L drafts.

    Raises ValueError for curves that rise or leave [0, 1].

    >>> expected_tokens([0.5, 0.25]).tolist()
    [1.0, 1.5, 1.75]
    """
    return 1 + np.concatenate([[0.0], np.cumsum(survival_rows(survival))])


def _falling(values: Any) -> Floats:
    """Rounding must not let a curve rise, nor exceed one."""
    return np.minimum.accumulate(np.minimum(np.asarray(values, dtype=np.float64), 1.0))


def _law(name: str, values: Any, size: int) -> Floats:
    law = np.asarray(checked(name, list(values)), dtype=np.float64)
    if law.shape != (size,) or abs(law.sum() - 1) > _ROUNDING:
        raise ValueError(f"{name} is {law.tolist()}; allowed is a law over {size} states, sum 1")
    return law
