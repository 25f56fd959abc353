"""The ladder: what must be equal between a decoder and plain decoding, rung by rung.

bits      keys and values of every committed position, against a fresh run of the same text
logits    the logits that decided each emitted token, against a fresh run of the text before it
greedy    tokens at temperature 0, and why the text ended, against the judge
sampled   the same at other temperatures, with the noise of seed and position
logprobs  of emitted tokens: the bits of plain decoding, and the judge's numbers
rounds    what was drafted, kept and emitted: the same alone, in a batch, and after an interruption
draft     keys and values of the draft's own state, against a fresh run of the draft
error     the decoder raised, or did not end

The lower rungs look at a text's own tokens, so a rung that fails does not make those below fail with it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from proofs_tests.equivalence import networks
from proofs_tests.equivalence.cases import Case, Text
from proofs_tests.equivalence.judge import Asked, Fresh, Judged, judged
from proofs_tests.equivalence.scripted import ScriptedDrafter
from proofs_tests.equivalence.watch import Seen, Watched
from proofs_tests.numerics.helpers import same, threads
from reference import decode, drafters
from reference.decode import Batch, Request, Round, Saved
from reference.drafters import Confidence, Drafter, Tree

RUNGS = ("bits", "logits", "greedy", "sampled", "logprobs", "rounds", "draft", "error")
BEYOND = 8
"""Tokens of the true continuation behind the last that may be emitted: a decoder that goes too far finds them."""

MOST_STEPS = 300


def asked(text: Text, context: int, *, further: bool = False) -> Asked:
    """The judge's words for the options; ``further``: the continuation without stop tokens, and longer."""
    o = text.options
    stop, most = (frozenset(), o.max_tokens + BEYOND) if further else (o.stop, o.max_tokens)
    return Asked(o.temperature, o.top_k, o.top_p, o.seed, o.request, stop, most, context)


@dataclass
class World:
    """A case with its models on a device, and what the judge says about it: made before any defect is planted."""

    case: Case
    device: str = networks.DEVICE

    def __post_init__(self) -> None:
        key = self.case.network, self.case.arithmetic, self.device
        self.target, self.draft, self.early = networks.target(*key), networks.draft(*key), networks.early(*key)
        self.fresh, self.of_draft, self.of_early = (
            Fresh(model.prepared, self.device) for model in (self.target, self.draft, self.early)
        )
        context = self.target.context_length
        self.judged = [judged(self.fresh, text.prompt, asked(text, context)) for text in self.case.texts]
        self.truths = [
            text.prompt + judged(self.fresh, text.prompt, asked(text, context, further=True)).tokens
            if text.scripted
            else ()
            for text in self.case.texts
        ]

    @cached_property
    def plain(self) -> list[tuple[float, ...]]:
        """Log-probabilities that plain decoding reports."""
        return [decode.autoregressive(self.target, text.prompt, options=text.options).logprobs for text in self.case.texts]


@dataclass
class Report:
    """What failed, by rung, with the first detail; and what the rounds did."""

    failed: dict[str, str] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    def expect(self, rung: str, right: bool, detail: str) -> None:
        self.seen[rung] += 1
        if not right:
            self.failed.setdefault(rung, detail)

    def count(self, rounds: Sequence[Round]) -> None:
        """Drafted nodes that were accepted and rejected, rounds that did either, and that did both."""
        for one in rounds:
            rejected = len(one.drafted) - one.accepted
            self.seen["accepted nodes"] += one.accepted
            self.seen["rejected nodes"] += rejected
            self.seen["drafting rounds"] += bool(one.drafted)
            self.seen["accepting rounds"] += one.accepted > 0
            self.seen["mixed rounds"] += one.accepted > 0 and rejected > 0


class Models:
    """The watched models of one run, and the drafters that use them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.target, self.draft, self.early = Watched(world.target), Watched(world.draft), Watched(world.early)

    def drafter(self, index: int) -> Drafter | None:
        text = self.world.case.texts[index]
        if text.scripted:
            return ScriptedDrafter(text.drafter, self.world.truths[index], self.world.target.vocabulary_size)  # type: ignore[arg-type]
        name, *sizes = text.drafter
        kinds: dict[str, Callable[..., Drafter | None]] = {
            "none": lambda: None,
            "chain": lambda length: drafters.chain(self.draft, length),
            "tree": lambda parents: drafters.tree(self.draft, Tree(parents)),
            "paths": lambda n, length: drafters.paths(self.draft, n, length),
            "best_first": lambda n, depth, width: drafters.best_first(self.draft, n, depth, width),
            "lookup": lambda length: drafters.lookup(length),
            "early": lambda length: drafters.chain(self.early, length),
            "confident": lambda length: drafters.chain(self.draft, length, policy=Confidence(0.3)),
        }
        return kinds[name](*sizes)

    def drafting_model(self, index: int) -> Watched | None:
        text = self.world.case.texts[index]
        if text.scripted or text.drafter[0] in ("none", "lookup"):
            return None
        return self.early if text.drafter[0] == "early" else self.draft

    def peek(self) -> None:
        if self.world.case.peek:
            for model in (self.target, self.draft, self.early):
                model.peek()


@dataclass
class Run:
    """What one way of decoding left of each text: rounds, and the states that were opened for it, in order."""

    rounds: list[list[Round]]
    targets: list[list[Seen]]
    drafts: list[list[Seen]]


def alone(world: World, *, pauses: Sequence[int] = ()) -> Run:
    """Each text by itself, interrupted after so many rounds: saved as JSON, closed, and resumed."""
    models, texts = Models(world), world.case.texts
    run = Run([[] for _ in texts], [], [])
    for index, text in enumerate(texts):
        opened = len(models.target.opened), len(models.draft.opened), len(models.early.opened)
        drafter = models.drafter(index)
        stream = decode.stream(models.target, text.prompt, drafter=drafter, options=text.options)
        pause = pauses[index % len(pauses)] if pauses else None
        for _ in range(MOST_STEPS):
            if pause is not None and len(run.rounds[index]) == pause and not stream.ended:
                saved = Saved.from_json(json.loads(json.dumps(stream.save().as_json())))
                stream.close()
                stream, pause = decode.resume(models.target, saved, drafter=drafter), None
            made = next(stream, None)
            if made is None:
                break
            run.rounds[index].append(made)
            models.peek()
        else:
            raise RuntimeError("the text does not end")
        run.targets.append(models.target.opened[opened[0] :])
        run.drafts.append([*models.draft.opened[opened[1] :], *models.early.opened[opened[2] :]])
    return run


def together(world: World) -> Run:
    """All texts in a batch, with joins and preemptions. States are opened in the order of submission."""
    case, models = world.case, Models(world)
    batch = Batch(models.target, rows=case.rows)
    submitted: list[int] = []  # the text of each ticket
    rounds: list[list[Round]] = [[] for _ in case.texts]
    joins = {index: case.joins[index] if index < len(case.joins) else 0 for index in range(len(case.texts))}

    def submit(index: int, request: Request) -> None:
        batch.submit(request)
        submitted.append(index)

    for step in range(MOST_STEPS):
        for index in [index for index, when in joins.items() if when <= step]:
            del joins[index]
            text = case.texts[index]
            submit(index, Request(prompt=text.prompt, options=text.options, drafter=models.drafter(index)))
        if not batch.busy and not joins:
            break
        for event in batch.step():
            if not isinstance(event.outcome, Round):
                raise RuntimeError(event.outcome.error)
            rounds[submitted[event.ticket]].append(event.outcome)
        models.peek()
        for index in [index for when, index in case.preempts if when == step]:
            ticket = len(submitted) - 1 - submitted[::-1].index(index) if index in submitted else None
            if ticket is not None and not (rounds[index] and rounds[index][-1].stop_reason):
                try:
                    submit(index, batch.preempt(ticket))
                except KeyError:
                    pass  # it still waits
    else:
        raise RuntimeError("the batch does not end")

    def by_text(model: Watched, uses: Callable[[int], bool]) -> list[list[Seen]]:
        order = [index for index in submitted if uses(index)]
        found: list[list[Seen]] = [[] for _ in case.texts]
        for index, seen in zip(order, model.opened, strict=True):
            found[index].append(seen)
        return found

    drafts = by_text(models.draft, lambda index: models.drafting_model(index) is models.draft)
    early = by_text(models.early, lambda index: models.drafting_model(index) is models.early)
    targets = by_text(models.target, lambda index: True)
    return Run(rounds, targets, [one + other for one, other in zip(drafts, early, strict=True)])


def climb(world: World, report: Report | None = None) -> Report:
    """Decode the case alone, interrupted and in a batch, and compare on every rung."""
    report = report or Report()
    case = world.case
    with threads(case.threads):
        runs: dict[str, Run] = {}
        ways: dict[str, Callable[[], Run]] = {"alone": lambda: alone(world), "batched": lambda: together(world)}
        if case.pauses:
            ways["resumed"] = lambda: alone(world, pauses=case.pauses)
        for name, way in ways.items():
            try:
                runs[name] = way()
            except Exception as error:  # a planted defect may do anything
                report.expect("error", False, f"{name}: {type(error).__name__}: {error}")
        try:
            plain = world.plain
        except Exception as error:
            plain = []
            report.expect("error", False, f"plain: {type(error).__name__}: {error}")
    for name, run in runs.items():
        for index, text in enumerate(case.texts):
            where = f"{name}, text {index}"
            compare(report, world, index, run, where)
            if plain:
                own = tuple(value for one in run.rounds[index] for value in one.logprobs)
                report.expect("logprobs", own == plain[index], f"{where}: {own} and plain decoding {plain[index]}")
            if name != "alone" and "alone" in runs:
                one, other = (bare(r.rounds[index]) for r in (run, runs["alone"]))
                report.expect("rounds", one == other, f"{where}: {one} and alone {other}")
            report.count(run.rounds[index])
    return report


def bare(rounds: Sequence[Round]) -> list[Round]:
    """Rounds without their time."""
    return [replace(one, seconds=0.0) for one in rounds]


def compare(report: Report, world: World, index: int, run: Run, where: str) -> None:
    """One text of one run against the judge and against fresh runs of its own tokens."""
    text, truth, rounds = world.case.texts[index], world.judged[index], run.rounds[index]
    emitted = tuple(token for one in rounds for token in one.emitted)
    own = (*text.prompt, *emitted)
    if emitted == truth.tokens:
        rows = truth.logits
    else:
        rows = list(world.fresh.whole(own)[0][len(text.prompt) - 1 : -1])

    # i. keys and values; a preempted state holds less, the last one all but the last token
    for number, seen in enumerate(run.targets[index]):
        whole = number + 1 == len(run.targets[index])
        stored(report, "bits", seen, world.fresh, own, len(own) - 1 if whole else 0, where)
    for seen in run.drafts[index]:
        stored(report, "draft", seen, draft_of(world, text), own, 0, where)

    # ii. the logits that decided each token
    place = 0
    for one, found in zip(rounds, deciding(rounds, run.targets[index]), strict=False):
        for row in found:
            report.expect("logits", same(row, rows[place]), f"{where}: logits before token {place} of {own}")
            report.seen["logits off by 1e-3"] += float((row - rows[place]).abs().max()) > 1e-3
            place += 1
        place = one.position + len(one.emitted) - len(text.prompt)

    # iii, iv. tokens, why it ended, log-probabilities
    rung = "greedy" if text.options.temperature == 0 else "sampled"
    last = rounds[-1].stop_reason if rounds else None
    said = f"{where}: {emitted}, {last}; the judge says {truth.tokens}, {truth.reason}"
    report.expect(rung, (emitted, last) == (truth.tokens, truth.reason), said)
    logs = [value for one in rounds for value in one.logprobs]
    if emitted == truth.tokens:
        near = len(logs) == len(emitted) and all(
            abs(a - b) < 1e-9 for a, b in zip(logs, truth.logprobs, strict=True)
        )
        report.expect("logprobs", near, f"{where}: {logs}; the judge says {truth.logprobs}")
    starts = [len(text.prompt) + sum(len(other.emitted) for other in rounds[:number]) for number in range(len(rounds))]
    numbered = [(one.round, one.position) for one in rounds] == list(enumerate(starts))
    report.expect("rounds", numbered, f"{where}: rounds are numbered {[(one.round, one.position) for one in rounds]}")


def draft_of(world: World, text: Text) -> Fresh:
    return world.of_early if text.drafter[0] == "early" else world.of_draft


def stored(report: Report, rung: str, seen: Seen, fresh: Fresh, own: Sequence[int], least: int, where: str) -> None:
    """What a state held when it was closed: the text's keys and values, at least ``least`` of them."""
    if seen.stored is None:
        report.expect(rung, not least, f"{where}: nothing stored")
        return
    length = seen.stored[0].shape[2]
    used = min(length, len(own))  # a stop token may end the text inside the path that was kept
    _, keys, values = fresh.whole(own[:used])
    right = length >= least and all(
        same(mine[:, :, :used], true) for mine, true in zip(seen.stored, (keys, values), strict=True)
    )
    report.expect(rung, right, f"{where}: keys and values of {own[:used]}")


def deciding(rounds: Sequence[Round], states: Sequence[Seen]) -> Iterator[list[Tensor]]:
    """Of each round the target's logits after the text and after each accepted node, as far as tokens were emitted."""
    reads = [read for seen in states for read in seen.reads]
    for one, (read, logits) in zip(rounds, reads, strict=False):
        logits, node = logits[-len(read.tree) - 1 :], -1
        found = [logits[0]]
        for token in one.emitted[: one.accepted]:
            below = (child for child, parent in enumerate(read.parents) if parent == node)
            node = next((child for child in below if read.tree[child] == token), None)  # type: ignore[assignment]
            if node is None:
                break
            found.append(logits[node + 1])
        yield found[: len(one.emitted)]


