"""What a worker does with one chunk of contexts; everything here can be sent to another process or machine."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import specmath
from specmath.cli.laws import Source
from specmath.comparison import Part, Plan, granule, joined, measure

Rows = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""Target and draft as stored."""


def versions() -> dict[str, str]:
    """Versions of what computes the numbers: the same versions, the same bits (on one kind of processor)."""
    from importlib.metadata import version

    return {"specmath": specmath.__version__, "numpy": np.__version__, "scipy": version("scipy")}


@dataclass(frozen=True)
class Work:
    """What is the same for all chunks: where the rows come from, what is computed, and with which libraries."""

    source: Source
    vocabulary: int
    todo: Plan
    seed: int
    replicates: int
    versions: dict[str, str] = field(default_factory=versions)


def compute(
    work: Work, first: int, stop: int, rows: Rows | None = None, step: Callable[[], object] = lambda: None
) -> Part:
    """The part of contexts ``first`` to ``stop - 1``, granule by granule; ``rows`` are read here when left out.

    Raises ValueError as `specmath.comparison.measure` does, and when the rows cannot be read here.
    """
    size = granule(work.vocabulary)
    parts = []
    for start in range(first, stop, size):
        end = min(start + size, stop)
        stored = (
            work.source.rows(start, end) if rows is None else tuple(one[start - first : end - first] for one in rows)
        )
        target, draft, correction = work.source.laws(start, stored[0], stored[1])
        part = measure(start, target, draft, work.todo, seed=work.seed, replicates=work.replicates, step=step)
        parts.append(replace(part, correction=correction))
    return joined(parts)


def compute_elsewhere(work: Work, first: int, stop: int, rows: Rows | None = None) -> Part | tuple[int, Exception]:
    """`compute` for a worker: an error is returned, with ``first``, so that other workers can end in peace.

    A worker with other versions than the process that sent the work refuses it.
    """
    try:
        if versions() != work.versions:
            raise ValueError(
                f"the worker on {socket.gethostname()} has {_list(versions())}, this process {_list(work.versions)}; "
                "their numbers would not be comparable: install the same versions on both"
            )
        return compute(work, first, stop, rows)
    except FileNotFoundError as error:
        missing = (
            f"{error.filename}: the worker on {socket.gethostname()} does not find this file; put it where all workers "
            "see it under one path, or use --send-rows"
        )
        return first, ValueError(missing)
    except Exception as error:
        return first, error


def _list(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())
