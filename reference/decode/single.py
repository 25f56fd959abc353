"""The decoders of one text, by name: each is the loop of `decode.loop` with another drafter."""

from __future__ import annotations

from collections.abc import Sequence

from reference import drafters
from reference.decode.loop import Stream
from reference.decode.options import Options
from reference.decode.request import Request, Saved
from reference.decode.trace import Decoded, collect
from reference.drafters import Drafter, Policy, Tree
from reference.models.protocol import LanguageModel
from reference.random import Uniforms
from specmath.rules import Rule


def stream(
    target: LanguageModel,
    prompt: Sequence[int],
    *,
    drafter: Drafter | None = None,
    rule: str | Rule | None = None,
    options: Options | None = None,
    uniforms: Uniforms | None = None,
) -> Stream:
    """Continue ``prompt`` round by round; `Stream.save` gives a text that `resume` goes on with.

    Without a drafter every round is one token. ``rule`` is a rule of `specmath.rules` or its name and implies
    rejection; without it randomness is coupled (`Options.randomness`). ``uniforms`` replaces the counter-based source
    of randomness. Raises ValueError before any work for an empty prompt, one that fills the target's context, token ids
    out of range, a drafter of another vocabulary, and a rule that does not judge the drafter's trees; and, while it
    runs, for logits that hold NaN.

    >>> from reference.models.table import TableModel
    >>> ones = TableModel(lambda prefix: [0, 1], 2)
    >>> [one.emitted for one in stream(ones, [0], drafter=drafters.chain(ones, 2), options=Options(max_tokens=4))]
    [(1, 1, 1), (1,)]
    """
    request = Request(prompt=prompt, options=options or Options(), drafter=drafter, rule=rule)
    return Stream(target, request, uniforms=uniforms)


def resume(
    target: LanguageModel, saved: Saved, *, drafter: Drafter | None = None, rule: str | Rule | None = None
) -> Stream:
    """Go on with a saved text. With the same models, drafter and rule the rest is what it would have been."""
    return Stream(target, Request(saved=saved, drafter=drafter, rule=rule))


def autoregressive(
    target: LanguageModel, prompt: Sequence[int], *, options: Options | None = None, uniforms: Uniforms | None = None
) -> Decoded:
    """Continue ``prompt`` token by token, x_t ~ target(. | x_<t): what every other decoder must reproduce.

    Errors as in `stream`.

    >>> from reference.models.table import TableModel
    >>> autoregressive(TableModel(lambda prefix: [0, 1], 2), [0], options=Options(max_tokens=3)).tokens
    (1, 1, 1)
    """
    return collect(stream(target, prompt, options=options, uniforms=uniforms))


def chain(
    target: LanguageModel,
    draft: LanguageModel,
    prompt: Sequence[int],
    *,
    draft_length: int = 4,
    drafts: str | None = None,
    policy: Policy | None = None,
    rule: str | Rule | None = None,
    options: Options | None = None,
    uniforms: Uniforms | None = None,
) -> Decoded:
    """Continue ``prompt`` by rounds of ``draft_length`` drafted tokens, one after the other.

    ``policy`` ends a round's drafting early. ``drafts`` names the law that draws a token (`specmath.draft_laws`), by
    default what the rule is made for. Errors as in `stream`.

    >>> from reference.models.table import TableModel
    >>> ones = TableModel(lambda prefix: [0, 1], 2)
    >>> decoded = chain(ones, ones, [0], draft_length=2, rule="token_wise", options=Options(max_tokens=4))
    >>> decoded.tokens, [one.accepted for one in decoded.rounds]
    ((1, 1, 1, 1), [2, 0])
    """
    drafter = drafters.chain(draft, draft_length, drafts=drafts, policy=policy)
    return collect(stream(target, prompt, drafter=drafter, rule=rule, options=options, uniforms=uniforms))


def tree(
    target: LanguageModel,
    draft: LanguageModel,
    prompt: Sequence[int],
    *,
    shape: Tree | Sequence[int] = (2, 2, 1),
    drafts: str | None = None,
    rule: str | Rule | None = None,
    options: Options | None = None,
    uniforms: Uniforms | None = None,
) -> Decoded:
    """Continue ``prompt`` by rounds of a static tree, read in one target call.

    ``shape`` says how many children the nodes of each level have, or is a `drafters.Tree`. For trees that grow with the
    draft's certainty hand `drafters.best_first` to `stream`. Errors as in `stream`.

    >>> from reference.models.table import TableModel
    >>> coins = TableModel(lambda prefix: [0.5, 0.5], 2)
    >>> options = Options(max_tokens=9, seed=4)
    >>> tree(coins, coins, [0], options=options).tokens == autoregressive(coins, [0], options=options).tokens
    True
    """
    drafter = drafters.tree(draft, shape, drafts=drafts)
    return collect(stream(target, prompt, drafter=drafter, rule=rule, options=options, uniforms=uniforms))
