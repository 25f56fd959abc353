"""Ways to decode the texts of a case: alone, interrupted and resumed, and together in a batch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from proofs_tests.equivalence import networks
from proofs_tests.equivalence.cases import Case, Text
from proofs_tests.equivalence.judge import Asked, Fresh, judged
from proofs_tests.equivalence.scripted import ScriptedDrafter
from proofs_tests.equivalence.watch import Seen, Watched
from reference import decode, drafters
from reference.decode import Batch, Request, Round, Saved
from reference.drafters import Confidence, Drafter, Tree
from reference.models import mapped

BEYOND = 8
"""Tokens of the true continuation behind the last that may be emitted: a decoder that goes too far finds them."""

MOST_STEPS = 300


def asked(text: Text, context: int, *, further: bool = False) -> Asked:
    """The judge's words for the options; ``further``: the continuation without stop tokens, and longer."""
    o = text.options
    stop, most = (frozenset(), o.max_tokens + BEYOND) if further else (o.stop, o.max_tokens)
    return Asked(o.temperature, o.top_k, o.top_p, o.seed, o.request, stop, most, context)


class World:
    """A case with its models on a device, and what the judge says about it: made before any defect is planted."""

    def __init__(self, case: Case, device: str = networks.DEVICE) -> None:
        self.case = case
        kinds = ("target", *networks.DRAFTS)
        self.models = {kind: networks.model(kind, case.network, case.arithmetic, device) for kind in kinds}
        self.fresh = {kind: Fresh(model.prepared, device) for kind, model in self.models.items()}
        self.target = self.models["target"]
        context, read = self.target.context_length, self.fresh["target"]
        self.judged = [judged(read, text.prompt, asked(text, context)) for text in case.texts]
        self.truths = [
            text.prompt + judged(read, text.prompt, asked(text, context, further=True)).tokens if text.scripted else ()
            for text in case.texts
        ]

    @cached_property
    def plain(self) -> list[tuple[float, ...]]:
        """Log-probabilities that plain decoding reports."""
        return [
            decode.autoregressive(self.target, text.prompt, options=text.options).logprobs for text in self.case.texts
        ]


class Models:
    """The watched models of one run, and the drafters that use them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.watched = {kind: Watched(model) for kind, model in world.models.items()}
        self.target = self.watched["target"]
        self.small = mapped(self.watched["small"], self.target.vocabulary_size, unknown=0)

    def drafter(self, text: Text) -> Drafter | None:
        if text.scripted:
            truth = self.world.truths[self.world.case.texts.index(text)]
            return ScriptedDrafter(text.drafter, truth, self.target.vocabulary_size)  # type: ignore[arg-type]
        draft, early = self.watched["draft"], self.watched["early"]
        kinds: dict[str, Callable[..., Drafter | None]] = {
            "none": lambda: None,
            "chain": lambda length: drafters.chain(draft, length),
            "tree": lambda parents: drafters.tree(draft, Tree(parents)),
            "paths": lambda n, length: drafters.paths(draft, n, length),
            "best_first": lambda n, depth, width: drafters.best_first(draft, n, depth, width),
            "lookup": lambda length: drafters.lookup(length),
            "early": lambda length: drafters.chain(early, length),
            "confident": lambda length: drafters.chain(draft, length, policy=Confidence(0.3)),
            "mapped": lambda length: drafters.chain(self.small, length),
        }
        name, *sizes = text.drafter
        return kinds[name](*sizes)  # type: ignore[index]

    def peek(self) -> None:
        if self.world.case.peek:
            for model in self.watched.values():
                model.peek()


@dataclass
class Run:
    """What one way of decoding left of each text: rounds, and the states that were opened for it, in order."""

    rounds: list[list[Round]]
    targets: list[list[Seen]]
    drafts: list[list[Seen]]


def _sorted(world: World, models: Models, order: Sequence[int], rounds: list[list[Round]]) -> Run:
    """States by text. They are opened in the order in which the texts were submitted."""
    texts = world.case.texts
    targets: list[list[Seen]] = [[] for _ in texts]
    drafts: list[list[Seen]] = [[] for _ in texts]
    for kind, watched in models.watched.items():
        mine = [index for index in order if kind in ("target", texts[index].draft)]
        for index, seen in zip(mine, watched.opened, strict=True):
            (targets if kind == "target" else drafts)[index].append(seen)
    return Run(rounds, targets, drafts)


def alone(world: World, *, pauses: Sequence[int] = ()) -> Run:
    """Each text by itself, interrupted after so many rounds: saved as JSON, closed, and resumed."""
    models, order = Models(world), []
    rounds: list[list[Round]] = []
    for index, text in enumerate(world.case.texts):
        drafter, done = models.drafter(text), []
        rounds.append(done)
        stream = decode.stream(models.target, text.prompt, drafter=drafter, options=text.options)
        order.append(index)
        pause = pauses[index % len(pauses)] if pauses else None
        for _ in range(MOST_STEPS):
            if len(done) == pause and not stream.ended:
                saved = Saved.from_json(json.loads(json.dumps(stream.save().as_json())))
                stream.close()
                stream, pause = decode.resume(models.target, saved, drafter=drafter), None
                order.append(index)
            made = next(stream, None)
            if made is None:
                break
            done.append(made)
            models.peek()
        else:
            raise RuntimeError("the text does not end")
    return _sorted(world, models, order, rounds)


def together(world: World) -> Run:
    """All texts in a batch, with joins and preemptions."""
    case, models = world.case, Models(world)
    batch = Batch(models.target, rows=case.rows)
    order: list[int] = []  # the text of each ticket
    rounds: list[list[Round]] = [[] for _ in case.texts]
    joins = {index: case.joins[index] if index < len(case.joins) else 0 for index in range(len(case.texts))}
    for step in range(MOST_STEPS):
        for index in [index for index, when in joins.items() if when <= step]:
            del joins[index]
            text = case.texts[index]
            batch.submit(Request(prompt=text.prompt, options=text.options, drafter=models.drafter(text)))
            order.append(index)
        if not batch.busy and not joins:
            break
        for event in batch.step():
            if not isinstance(event.outcome, Round):
                raise RuntimeError(event.outcome.error)
            rounds[order[event.ticket]].append(event.outcome)
        models.peek()
        for index in [index for when, index in case.preempts if when == step and index in order]:
            with contextlib.suppress(KeyError):  # it waits, or has ended
                batch.submit(batch.preempt(len(order) - 1 - order[::-1].index(index)))
                order.append(index)
    else:
        raise RuntimeError("the batch does not end")
    return _sorted(world, models, order, rounds)
