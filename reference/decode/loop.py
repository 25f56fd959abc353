"""The loop of every decoder: draft a tree, read it in one target call, keep a path of it, commit.

A round is written as the papers write it, for one text, and never calls a model: it yields what it wants read and is
sent the logits. Whoever drives it decides what goes into one forward pass. `Stream` drives one text; `decode.batched`
drives many and puts their reads together.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reference.decode.judge import Coupled, Judge, Rejection, choose
from reference.decode.options import Options, check_request
from reference.decode.text import Text
from reference.decode.trace import Round
from reference.drafters.protocol import Drafter, Drafting, Proposal, Task
from reference.models.protocol import LanguageModel, Read, State, check_tokens, on_host
from reference.random import Keyed, Uniforms
from specmath.arrays import Array
from specmath.rules import Rule

Steps = Generator[Read, Array, Round]


def one_round(text: Text, target: State, drafting: Drafting | None, judge: Judge) -> Steps:
    """One draft-then-verify step. Autoregressive decoding is the same with an empty tree.

    Before it the target's state holds the text without its last token, and after it again.
    """
    position = text.begin()

    # 1. draft a tree of N nodes below the text
    proposal = Proposal()
    if drafting is not None and text.room > 1:  # the round emits one token more than it keeps
        proposal = yield from drafting.propose(text.tokens, text.room - 1)

    # 2. one target call: the laws after the text and after each node
    logits = yield Read(target, text.tokens[target.length :], proposal.tokens, proposal.parents)
    rows = on_host(logits[-len(proposal.tokens) - 1 :])  # (N + 1, V)
    laws = text.options.laws("target", rows)

    # 3. keep a path of the tree, then one token more
    kept = judge.decide(position, rows, laws, proposal)

    # 4. commit; both caches keep the path and forget the rest
    committed = text.commit(kept.path, kept.emitted, laws, proposal)
    target.keep(kept.path)
    if drafting is not None:
        drafting.keep(kept.path)
    return committed


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A text between two rounds, from which it can be continued to the same end.

    Attributes
    ----------
    prompt, emitted : tokens.
    rounds : how many rounds emitted them.
    options : as at the start.
    memory : what the drafter remembers beside the text, as JSON values.
    """

    prompt: tuple[int, ...]
    emitted: tuple[int, ...]
    rounds: int
    options: Options
    memory: Any = None

    def as_json(self) -> dict[str, Any]:
        """JSON values; `from_json` reads them back."""
        options = vars(self.options) | {"stop": sorted(self.options.stop)}
        return vars(self) | {"prompt": list(self.prompt), "emitted": list(self.emitted), "options": options}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Saved:
        """The text that `as_json` described; raises ValueError or TypeError for anything else."""
        given = dict(values)
        try:
            options = Options(**given.pop("options"))
            tokens = {name: tuple(given.pop(name)) for name in ("prompt", "emitted")}
        except KeyError as missing:
            raise ValueError(f"saved: without {missing}; allowed is what as_json gave") from None
        return cls(**tokens, **given, options=options)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt and how to continue it.

    Attributes
    ----------
    prompt : token ids, at least one.
    options : see `Options`.
    drafter : None for autoregressive decoding.
    rule : a rule of `specmath.rules` or its name, for rejection; None: see `Options.randomness`.
    saved : a text to go on with; prompt and options are then taken from it.
    """

    prompt: Sequence[int] = ()
    options: Options = field(default_factory=Options)
    drafter: Drafter | None = None
    rule: str | Rule | None = None
    saved: Saved | None = None

    def resolved(self) -> Request:
        """The same with prompt and options of ``saved`` filled in."""
        return self if self.saved is None else replace(self, prompt=self.saved.prompt, options=self.saved.options)

    def check(self, target: LanguageModel) -> None:
        """Everything that can be wrong before the first model call; raises ValueError."""
        own = self.resolved()
        check_request(target, own.prompt, own.options)
        if own.saved is not None:
            check_tokens("saved.emitted", own.saved.emitted, target.vocabulary_size)
            reason = Text(target, own.prompt, own.options, emitted=own.saved.emitted).ended
            if reason:
                raise ValueError(f"saved: the text has ended ({reason}); allowed is one that can go on")
        if own.drafter is not None:
            own.drafter.check(target)
        choose(own.rule, own.drafter, own.options)


class Stream:
    """One text: an iterator over its rounds, each as soon as it is committed."""

    def __init__(
        self,
        target: LanguageModel,
        request: Request,
        *,
        uniforms: Uniforms | None = None,
        start: Callable[[], State] | None = None,
        open: Callable[[LanguageModel], State] | None = None,
    ) -> None:
        """``uniforms`` replaces the counter-based source of randomness, ``start`` where the target's state is made and
        ``open`` where those of drafts are."""
        request.check(target)
        own = request.resolved()
        source = uniforms or Keyed(own.options.seed, own.options.request)
        rule, drafts = choose(own.rule, own.drafter, own.options)
        size = target.vocabulary_size
        saved = own.saved
        self.text = Text(
            target, own.prompt, own.options, emitted=saved.emitted if saved else (), rounds=saved.rounds if saved else 0
        )
        self.judge = Coupled(own.options, source, size) if rule is None else Rejection(rule, drafts, source, size)
        self.target, self.drafting, self.ended = (start or target.start)(), None, False
        if own.drafter is not None:
            scores = self.judge.scores if isinstance(self.judge, Coupled) else None
            least = 1 if rule is None else rule.at_least
            make = open or (lambda model: model.start())
            task = Task(make, own.options.laws, scores, source, drafts, least, size)
            try:
                self.drafting = own.drafter.begin(task, saved.memory if saved else None)
            except BaseException:
                self.close()
                raise

    def round(self) -> Steps:
        """The next round, as reads to be served."""
        return one_round(self.text, self.target, self.drafting, self.judge)

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Round:
        if self.ended:
            raise StopIteration
        steps = self.round()
        try:
            read = next(steps)
            while True:
                read = steps.send(read.state.extend(read.tokens, read.tree, read.parents))
        except StopIteration as end:
            committed: Round = end.value
        except BaseException:  # half a round is in the caches; the text itself can be saved still
            self.close()
            raise
        if committed.stop_reason:
            self.close()
        return committed

    def save(self) -> Saved:
        """The text as it is between two rounds."""
        text = self.text
        memory = None if self.drafting is None else self.drafting.memory()
        return Saved(prompt=text.prompt, emitted=text.emitted, rounds=text.rounds, options=text.options, memory=memory)

    def close(self) -> None:
        """Give the models' rows back."""
        if not self.ended:
            self.ended = True
            self.target.close()
            if self.drafting is not None:
                self.drafting.close()
