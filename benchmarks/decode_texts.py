"""Prompts of the benchmark: the shipped ones, and pieces of the corpus that no model was trained on."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from benchmarks.decode_players import Job
from reference import pair
from reference.pair import corpus, prompts

SHORTEST, LENGTHS = 8, 33
"""Pieces are 8 to 40 bytes long, all lengths equally often."""


def shipped(start: int, stop: int) -> list[Job]:
    """Shipped prompts ``start`` to ``stop`` - 1 in an order that visits the kinds in turn."""
    found = prompts.spread(len(prompts.load()))[start:stop]
    return [Job(tuple(pair.encode(one.prompt)), number) for number, one in enumerate(found, start=start)]


@functools.cache
def many(count: int) -> tuple[Job, ...]:
    """All shipped prompts, then pieces of held-out text at even distances, ``count`` in all."""
    jobs = shipped(0, count)
    if len(jobs) == count:
        return tuple(jobs)
    text = corpus.tokens([document for document in corpus.documents() if document.held_out])
    starts = np.linspace(0, len(text) - SHORTEST - LENGTHS, count - len(jobs) + 1, dtype=np.int64)[:-1]
    for number, start in enumerate(starts, start=len(jobs)):
        piece = text[start : start + SHORTEST + 10 * number % LENGTHS]  # 10 and 33 have no common factor
        jobs.append(Job((corpus.END, *(int(byte) for byte in piece)), number))
    return tuple(jobs)


def singly(jobs: Sequence[Job]) -> list[list[Job]]:
    """A block for each job."""
    return [[job] for job in jobs]
