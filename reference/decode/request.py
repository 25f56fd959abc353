"""What is to be decoded: a prompt and how to continue it, or a text that was put aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reference.decode.judge import choose
from reference.decode.options import Options, check_request
from reference.decode.text import Text
from reference.drafters.protocol import Drafter
from reference.models.protocol import LanguageModel, check_tokens
from specmath import rules
from specmath.rules import Rule

SCHEMA_VERSION = 1
"""Of what `Saved.as_json` gives."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A text between two rounds, from which it can be continued to the same end.

    Attributes
    ----------
    prompt, emitted : tokens.
    rounds : how many rounds emitted them.
    options : as at the start.
    rule : name of the rule that judges the drafts; None under coupled randomness and without drafts.
    memory : what the drafter remembers beside the text, as JSON values.
    """

    prompt: tuple[int, ...]
    emitted: tuple[int, ...]
    rounds: int
    options: Options
    rule: str | None = None
    memory: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or self.rounds < 0:
            raise ValueError(f"saved.rounds is {self.rounds!r}; allowed are whole numbers >= 0")

    def as_json(self) -> dict[str, Any]:
        """JSON values; `from_json` reads them back."""
        options = vars(self.options) | {"stop": sorted(self.options.stop)}
        own = {"prompt": list(self.prompt), "emitted": list(self.emitted), "options": options}
        return {"schema_version": SCHEMA_VERSION} | vars(self) | own

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Saved:
        """The text that `as_json` described; raises ValueError or TypeError for anything else."""
        given = dict(values)
        if given.pop("schema_version", None) != SCHEMA_VERSION:
            raise ValueError(f"saved: schema_version is not {SCHEMA_VERSION}; allowed is what as_json gave")
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
    saved : a text to go on with; prompt, options and the rule's name are then taken from it.
    """

    prompt: Sequence[int] = ()
    options: Options = field(default_factory=Options)
    drafter: Drafter | None = None
    rule: str | Rule | None = None
    saved: Saved | None = None

    def resolved(self) -> Request:
        """The same with prompt, options and rule of ``saved`` filled in; ValueError for a rule that is another one."""
        saved = self.saved
        if saved is None:
            return self
        rule = saved.rule if self.rule is None else self.rule
        name = rule.name if isinstance(rule, Rule) else rule
        if name != saved.rule:
            raise ValueError(f"rule is {name!r}; the saved text was judged by {saved.rule!r}, and allowed is that")
        if rule is not None and not isinstance(rule, Rule) and rule not in rules.names():
            raise ValueError(f"rule: the saved text was judged by {rule!r}, which is unknown here; hand in the rule")
        return replace(self, prompt=saved.prompt, options=saved.options, rule=rule)

    def check(self, target: LanguageModel) -> None:
        """Everything that can be wrong before the first model call; raises ValueError."""
        own = self.resolved()
        _check_kind("options", own.options, Options, "an Options object")
        check_request(target, own.prompt, own.options)
        if own.saved is not None:
            check_tokens("saved.emitted", own.saved.emitted, target.vocabulary_size)
            if not own.options.stop.isdisjoint(own.saved.emitted[:-1]):
                raise ValueError("saved.emitted: a stop token stands before its end; allowed is one at the end")
            reason = Text(target, own.prompt, own.options, emitted=own.saved.emitted).ended
            if reason:
                raise ValueError(f"saved: the text has ended ({reason}); allowed is one that can go on")
        if own.drafter is not None:
            for name in ("laws", "branches", "shape", "check", "begin"):
                if not hasattr(own.drafter, name):
                    raise ValueError(
                        f"drafter is a {type(own.drafter).__name__} without {name!r}; allowed are drafters, such as "
                        "reference.drafters.chain(model, 4)"
                    )
            own.drafter.check(target)
        choose(own.rule, own.drafter, own.options)


def _check_kind(name: str, value: object, kind: type, wanted: str) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{name} is a {type(value).__name__}; allowed is {wanted}")
