"""The loop of every decoder: draft a tree, read it in one target call, keep a path of it, commit.

A round is written as the papers write it, for one text, and never calls a model: it yields what it wants read and is
sent the logits. Whoever drives it decides what goes into one forward pass. `Stream` drives one text; `decode.batched`
drives many and puts their reads together.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from reference.decode.judge import Judge, judge_of
from reference.decode.request import Request, Saved
from reference.decode.text import Text
from reference.decode.trace import Round
from reference.drafters.protocol import Drafting, Proposal, Task
from reference.models.protocol import LanguageModel, Read, State, on_host
from reference.random import Keyed, Uniforms
from specmath.arrays import Array

Steps = Generator[Read, Array, Round]


def one_round(text: Text, target: State, drafting: Drafting | None, judge: Judge) -> Steps:
    """One draft-then-verify step. Autoregressive decoding is the same with an empty tree.

    Before it the target's state holds the text without its last token, and after it again.
    """
    position = text.begin()

    # 1. draft a tree of N nodes below the text
    proposal = Proposal()
    if drafting is not None and text.room > 1:  # the round emits one token more than it keeps
        proposal = yield from drafting.propose(tuple(text.tokens), text.room - 1)
        proposal.check(text.room - 1)

    # 2. one target call: the laws after the text and after each node
    logits = yield Read(target, text.tokens[target.length :], proposal.tokens, proposal.parents)
    rows = on_host(logits[-len(proposal.tokens) - 1 :])  # (N + 1, V)
    laws = judge.laws("target", rows)

    # 3. keep a path of the tree, then one token more
    kept = judge.decide(position, rows, laws, proposal)

    # 4. commit; both caches keep the path and forget the rest
    committed = text.commit(kept.path, kept.emitted, laws, proposal)
    target.keep(kept.path)
    if drafting is not None:
        drafting.keep(kept.path)
    return committed


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
        emitted, rounds = (own.saved.emitted, own.saved.rounds) if own.saved else ((), 0)
        self.text = Text(target, own.prompt, own.options, emitted=emitted, rounds=rounds)
        self.judge = judge_of(own.rule, own.drafter, own.options, source, target.vocabulary_size)
        self.target, self.drafting, self.ended = (start or target.start)(), None, False
        if own.drafter is not None:
            judge, make = self.judge, open or (lambda model: model.start())
            size = target.vocabulary_size
            task = Task(make, judge.laws, judge.scores, source, judge.drafts, judge.at_least, size)
            try:
                self.drafting = own.drafter.begin(task, own.saved.memory if own.saved else None)
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
        text, drafting = self.text, self.drafting
        return Saved(
            prompt=text.prompt,
            emitted=text.emitted,
            rounds=text.rounds,
            options=text.options,
            rule=None if drafting is None else self.judge.rule,
            memory=None if drafting is None else drafting.memory(),
        )

    def close(self) -> None:
        """Give the models' rows back."""
        if not self.ended:
            self.ended = True
            self.target.close()
            if self.drafting is not None:
                self.drafting.close()
