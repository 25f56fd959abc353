"""Share of prompts whose text is the same as that of plain decoding, one text at a time and one token a call.

Ours in every arithmetic, greedy and coupled, against our own autoregressive decoder; transformers' assisted and
left-padded batched generation, greedy in float32 and bfloat16, against its own plain generation. Work is done in units
of some prompts by several processes, and every unit is kept in a file, so that a run that was stopped goes on.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import decode_texts as texts
from benchmarks.decode_players import Job, Models, Peer, assistant, options, ours
from benchmarks.decode_turns import say
from reference import decode, drafters, pair
from reference.drafters import Drafter

ROWS = 8
"""Texts side by side in the batched decoders."""

PLAIN = "plain"
Texts = list[tuple[int, ...]]


@dataclass(frozen=True)
class Size:
    """How many prompts, tokens of each, and prompts of a unit."""

    prompts: int = 1000
    tokens: int = 16
    unit: int = 50

    @classmethod
    def quick(cls) -> Size:
        return cls(2, 2, 2)


@dataclass(frozen=True)
class Family:
    """Paths that are compared with one plain decoder: an arithmetic of ours, or transformers in a dtype."""

    name: str
    mode: str

    @property
    def label(self) -> str:
        return f"{self.name}, {self.mode}"

    @property
    def promised(self) -> bool:
        """Whether every text must be the same."""
        return self.name in ("exact64", "int8")


FAMILIES = (
    *(Family(name, mode) for name in ("exact64", "int8", "native") for mode in ("greedy", "coupled")),
    Family("transformers float32", "greedy"),
    Family("transformers bfloat16", "greedy"),
)


def measure(size: Size, workers: int, kept: Path | None) -> dict[str, Any]:
    """The table. AssertionError if a text that is promised to be the same is not. ``kept``: file of finished units."""
    known = _read(kept)
    units = [
        (family, start, min(start + size.unit, size.prompts), size)
        for family in FAMILIES
        for start in range(0, size.prompts, size.unit)
    ]
    open_units = [unit for unit in units if _key(unit) not in known]
    begun = time.perf_counter()
    for done, (key, outcome) in enumerate(_outcomes(open_units, workers), start=1):
        known[key] = outcome
        if kept is not None:
            with kept.open("a") as file:
                file.write(json.dumps([key, outcome]) + "\n")
        left = (time.perf_counter() - begun) / done * (len(open_units) - done)
        say(f"  equal: unit {done} of {len(open_units)} ({key}), about {left:.0f} s left")
    return {
        family.label: _joined(family, [known[_key(unit)] for unit in units if unit[0] == family]) for family in FAMILIES
    }


Unit = tuple[Family, int, int, Size]


def _key(unit: Unit) -> str:
    family, start, stop, size = unit
    return f"{family.label}, prompts {start} to {stop - 1} of {size.prompts}, {size.tokens} tokens"


def _read(kept: Path | None) -> dict[str, Any]:
    """Finished units; a line that was cut off while it was written is left out."""
    if kept is None or not kept.exists():
        return {}
    found = {}
    for line in kept.read_text().splitlines():
        try:
            key, outcome = json.loads(line)
        except ValueError:
            continue
        found[key] = outcome
    return found


def _outcomes(units: Sequence[Unit], workers: int) -> Any:
    if workers == 1:
        yield from map(work, units)
        return
    with multiprocessing.get_context("spawn").Pool(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.imap_unordered(work, units)


def work(unit: Unit) -> tuple[str, dict[str, Any]]:
    """Decode a unit in every way; for each path the prompts with another text than the plain decoder's."""
    family, start, stop, size = unit
    jobs = texts.many(size.prompts)[start:stop]
    decoded = _transformers(family, jobs, size.tokens) if " " in family.name else _ours(family, jobs, size.tokens)
    plain = decoded.pop(PLAIN)
    outcome: dict[str, Any] = {"prompts": len(jobs), "paths": {}}
    for path, found in decoded.items():
        different = [
            _difference(job, one, other) for job, one, other in zip(jobs, plain, found, strict=True) if one != other
        ]
        outcome["paths"][path] = different
    return _key(unit), outcome


def _difference(job: Job, plain: tuple[int, ...], other: tuple[int, ...]) -> dict[str, Any]:
    """Where two texts part, and how far apart the two tokens' logits are there, in exact64."""
    place = next(i for i, (one, two) in enumerate(zip(plain, other, strict=True)) if one != two)
    logits = _models("exact64").target.start().extend([*job.prompt, *plain[:place]])[-1]
    gap = abs(float(logits[plain[place]] - logits[other[place]]))
    return {"prompt": job.number, "token": place, "gap": float(f"{gap:.3g}")}


@functools.cache
def _models(arithmetic: str) -> Models:
    return Models.load(arithmetic)


@functools.cache
def _peer(dtype: str) -> Peer:
    return Peer(getattr(torch, dtype), pair.HOME)


def _drafters(models: Models) -> dict[str, Drafter | None]:
    return {
        PLAIN: None,
        "chain 4": drafters.chain(models.draft, 4),
        "tree 2 x 2 x 1": drafters.tree(models.draft, (2, 2, 1)),
    }


@torch.no_grad()
def _ours(family: Family, jobs: Sequence[Job], tokens: int) -> dict[str, Texts]:
    """One text at a time; and side by side, where the rows draft in turn nothing, a chain, a tree and best-first."""
    models = _models(family.name)
    ways = _drafters(models)
    found: dict[str, Texts] = {
        name: list(ours(models.target, drafter, family.mode, tokens)(jobs).texts) for name, drafter in ways.items()
    }
    rows = [*ways.values(), drafters.best_first(models.draft, nodes=8, depth=4, width=2)]
    requests = [
        decode.Request(prompt=j.prompt, drafter=rows[i % len(rows)], options=options(family.mode, tokens, j.number))
        for i, j in enumerate(jobs)
    ]
    outcomes = decode.batched(models.target, requests, rows=ROWS)
    found[f"batched {ROWS}, all kinds"] = [one.tokens for one in outcomes if isinstance(one, decode.Decoded)]
    return found


def _transformers(family: Family, jobs: Sequence[Job], tokens: int) -> dict[str, Texts]:
    peer = _peer(family.name.split()[1])
    return {
        PLAIN: list(peer.play(family.mode, tokens)(jobs).texts),
        "assisted 4": list(peer.play(family.mode, tokens, assist=assistant(4))(jobs).texts),
        f"batched {ROWS}, left-padded": list(peer.play(family.mode, tokens, rows=ROWS)(jobs).texts),
    }


def _joined(family: Family, outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Share of same texts for each path; where texts differ, the token at which the first does and the largest gap."""
    count = sum(outcome["prompts"] for outcome in outcomes)
    rows: dict[str, Any] = {}
    for path in outcomes[0]["paths"]:
        different = [one for outcome in outcomes for one in outcome["paths"][path]]
        if family.promised:
            assert not different, f"{family.label}, {path}: {len(different)} of {count} texts differ: {different[:3]}"
        rows[path] = {"prompts": count, "same": count - len(different), "share": (count - len(different)) / count}
        if different:
            rows[path]["largest gap"] = max(one["gap"] for one in different)
            rows[path]["first different token, median"] = sorted(one["token"] for one in different)[len(different) // 2]
    return rows
