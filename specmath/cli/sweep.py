"""All contexts of a dump, chunk by chunk: here, in several processes, or on a cluster; finished chunks are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any

from specmath.cli.checkpoint import Checkpoint
from specmath.cli.chunk import Rows, Work, compute, compute_elsewhere
from specmath.cli.clusters import Workers, configuration
from specmath.cli.laws import Pair
from specmath.cli.progress import Bar
from specmath.comparison import ENTRIES, Part, granule


def chunk_size(vocabulary: int, contexts: int | None = None) -> int:
    """Contexts in a chunk: a whole number of granules that holds at least ``contexts``, or some `ENTRIES` of laws.

    >>> chunk_size(50), chunk_size(50, 300), chunk_size(128_000, 3)
    (2560, 512, 3)
    """
    size = granule(vocabulary)
    return size * -(-contexts // size) if contexts is not None else size * max(1, ENTRIES // (vocabulary * size))


def sweep(dump: Pair, work: Work, *, chunk: int, workers: Workers, checkpoint: Checkpoint | None = None) -> list[Part]:
    """The parts of all contexts; those in the checkpoint are taken from there, new ones are added to it.

    The numbers depend neither on ``chunk``, a multiple of the granule, nor on the workers. Raises ValueError for rows
    that are no laws or cannot give the drafts, for a checkpoint that does not fit, and for a cluster out of reach;
    ModuleNotFoundError when a library that the backend needs is missing.
    """
    parts = [] if checkpoint is None else checkpoint.parts()
    ranges = missing(parts, dump.contexts, chunk)
    size = granule(dump.vocabulary)
    steps = [len(work.todo.jobs) * -(-(stop - first) // size) for first, stop in ranges]
    here = workers.backend is None and workers.jobs in (None, 1)
    with Bar(total=sum(steps), label="acceptance") as bar:
        found = _here(dump, work, ranges, bar.advance) if here else _elsewhere(dump, work, ranges, workers, size, bar)
        for part in found:
            if checkpoint is not None:
                checkpoint.write(part)
            parts.append(part)
    return parts


def missing(parts: Sequence[Part], contexts: int, chunk: int) -> list[tuple[int, int]]:
    """Ranges (first, stop) of up to ``chunk`` contexts that no part covers; the parts are in order.

    >>> missing([], 5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    found = []
    begin = 0
    for first, stop in [*((part.first, part.stop) for part in parts), (contexts, contexts)]:
        found += [(start, min(start + chunk, first)) for start in range(begin, first, chunk)]
        begin = stop
    return found


def _here(dump: Pair, work: Work, ranges: Sequence[tuple[int, int]], step: Callable[[], object]) -> Iterator[Part]:
    for first, stop, rows in _tasks(dump, ranges, send=work.source.mapped is None):
        yield compute(work, first, stop, rows, step)


def _tasks(dump: Pair, ranges: Sequence[tuple[int, int]], send: bool) -> Iterator[tuple[int, int, Rows | None]]:
    """The chunks, with their rows when they are read here."""
    if send:
        yield from dump.chunks(ranges)
    else:
        yield from ((first, stop, None) for first, stop in ranges)


def _elsewhere(
    dump: Pair, work: Work, ranges: Sequence[tuple[int, int]], workers: Workers, size: int, bar: Bar
) -> Iterator[Part]:
    """Parts as they are finished, in any order. After an error no chunk is begun, and those begun are awaited."""
    from joblib import delayed, parallel_config

    failures: list[tuple[int, Exception]] = []

    def calls() -> Iterator[Any]:
        at = 0
        try:
            for at, stop, rows in _tasks(dump, ranges, workers.send or work.source.mapped is None):
                if failures:
                    return
                yield delayed(compute_elsewhere)(work, at, stop, rows)
        except Exception as error:  # joblib pulls this in a thread of its own, where errors may get lost
            failures.append((at, error))

    try:
        with configuration(workers) as options, parallel_config(**options):
            for outcome in _outcomes(calls()):
                if isinstance(outcome, Part):
                    yield outcome
                    bar.advance(len(work.todo.jobs) * -(-(outcome.stop - outcome.first) // size))
                else:
                    failures.append(outcome)
    except BrokenProcessPool as error:  # also the parent of loky's own
        raise ValueError(
            f"a worker process ended before its work did ({error}); if memory ran out, use fewer --jobs or a smaller "
            "--chunk; --resume keeps what is finished"
        ) from error
    if failures:
        raise min(failures, key=lambda failure: failure[0])[1]


def _outcomes(calls: Iterator[Any]) -> Iterator[Part | tuple[int, Exception]]:
    """Results of the calls; only a few calls are made ahead, so that rows that are sent do not pile up."""
    from joblib import Parallel, effective_n_jobs

    try:
        # Without max_nbytes rows would be laid down as temporary files on the way to a process.
        parallel = Parallel(return_as="generator_unordered", max_nbytes=None)
    except ValueError:  # Ray's backend gives lists only: then in waves
        wave = 4 * effective_n_jobs()
        while batch := list(islice(calls, wave)):
            yield from Parallel(max_nbytes=None)(batch)  # type: ignore[misc]
    else:
        yield from parallel(calls)  # type: ignore[misc]
