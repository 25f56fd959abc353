"""Sampling of what cannot be followed: many laws tested side by side, each outcome held against hard rules."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from specmath.oracle.kinds import Raised
from specmath.oracle.reach import RealState
from specmath.oracle.sampled.evidence import Evidence
from specmath.oracle.sampled.sequential import FALSE_ALARM, MISSED, ends, found_from

Text = tuple[tuple[int, ...], ...]
"""One text per row; a single one for all kinds but batches."""


@dataclass(frozen=True)
class Drawn:
    """One run: the text it belongs to, or what was wrong.

    Attributes
    ----------
    text : completed to full length; `Raised` for a run that raised or returned no tokens; None with ``wrong``.
    emitted : what the function returned.
    wrong : the check that it fails without a text: "support" for numbers that are no tokens, "nothing_after_stop".
    impossible : whether it emitted tokens of target probability zero.
    """

    text: Text | Raised | None
    emitted: Text = ()
    wrong: str = ""
    impossible: bool = False


@dataclass(frozen=True)
class Trial:
    """What is sampled once: an instance, or a prompt.

    Attributes
    ----------
    name : of the instance.
    reference : text -> probability that it should have.
    draw : ``draw(seed, uniform)`` is one run; ``uniform()`` gives numbers in [0, 1) for what is not the function's own.
    touched : names of inputs that were changed by a run.
    """

    name: str
    reference: Mapping[Text, float]
    draw: Callable[[int, Callable[[], float]], Drawn]
    touched: Mapping[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """Sizes of the errors of a sequential verdict.

    Attributes
    ----------
    false_alarm : probability with which any function whose law is right is called biased.
    missed : probability with which the total variation exceeds the verdict's ``tolerance`` in spite of it.
    samples : the most for one instance.
    found_from : total variation on one instance from which on a bias is found within ``samples``...
    power : ... with this probability, whatever the law.
    """

    false_alarm: float
    missed: float
    samples: int
    found_from: float
    power: float = 0.99


@dataclass
class Sampled:
    """What one trial showed.

    Attributes
    ----------
    trial : the trial.
    seen : evidence of its texts.
    counts : text -> how often it came.
    raised : the first run that raised.
    wrong : name of a check -> what was emitted by the first run that fails it; "zero_probability" is one.
    rejected : whether the law is refuted.
    """

    trial: Trial
    seen: Evidence
    counts: Counter[Text] = field(default_factory=Counter)
    raised: Raised | None = None
    wrong: dict[str, Text] = field(default_factory=dict)
    rejected: bool = False

    @property
    def samples(self) -> int:
        """Runs that gave tokens."""
        return self.counts.total()


def sample(
    trials: Sequence[Trial],
    *,
    samples: int,
    tolerance: float,
    seed: int = 0,
    false_alarm: float = FALSE_ALARM,
    missed: float = MISSED,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Sampled], Told]:
    """Sample all trials side by side until one is refuted, or each is shown to be within ``tolerance``, or ``samples``.

    Each trial is tested as by `sequential_test`, at a part of ``false_alarm`` and ``missed`` that the number of trials
    gives (Bonferroni). Seeds are drawn afresh for every run, from ``seed``; global generators are left as they were.
    A run that raises ends everything.
    """
    with RealState():
        return _sampled(trials, samples, tolerance, seed, false_alarm, missed, progress)


def _sampled(
    trials: Sequence[Trial],
    samples: int,
    tolerance: float,
    seed: int,
    false_alarm: float,
    missed: float,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Sampled], Told]:
    part = len(trials)
    level = math.log(part / false_alarm)
    found = [Sampled(trial, Evidence(trial.reference)) for trial in trials]
    streams = [np.random.default_rng([seed, number]) for number in range(part)]
    still = list(range(part))
    for end in ends(samples):
        for number in list(still):
            one, stream = found[number], streams[number]
            _draw(one, stream, end - one.seen.samples)
            if one.raised is not None:
                return found, _told(found, samples, false_alarm, missed)
            one.rejected = bool(one.wrong) or one.seen.log_e_value >= level
            if one.rejected:
                return found, _told(found, samples, false_alarm, missed)
            if one.seen.interval(missed / part)[1] <= tolerance:
                still.remove(number)
                if progress is not None:
                    progress(part - len(still), part)
        if not still:
            break
    return found, _told(found, samples, false_alarm, missed)


def _draw(one: Sampled, stream: np.random.Generator, count: int) -> None:
    """``count`` more runs; fewer where one raised."""
    # Blocks of numbers of our own: the function may seed, or use up, every global generator.
    seeds = stream.integers(2**31, size=count).tolist()
    own = iter(_uniforms(stream))
    texts: list[Any] = []
    for seed in seeds:
        drawn = one.trial.draw(seed, own.__next__)
        if isinstance(drawn.text, Raised):
            one.raised = drawn.text
            break
        for name in (drawn.wrong, "zero_probability" * drawn.impossible):
            if name:
                one.wrong.setdefault(name, drawn.emitted)
        if drawn.text is not None:
            texts.append(drawn.text)
    one.seen.update(texts)
    one.counts.update(texts)


def _uniforms(stream: np.random.Generator) -> Any:
    while True:
        yield from stream.random(256).tolist()


def _told(found: Sequence[Sampled], samples: int, false_alarm: float, missed: float) -> Told:
    cells = max(len(one.trial.reference) for one in found)
    least = found_from(cells, samples, false_alarm=false_alarm / len(found))
    return Told(false_alarm, missed, samples, least)
