"""Speculative decoding of a chain: draft L tokens one by one, judge them with one target call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from reference.decode.options import Options, check_count, check_request
from reference.decode.text import Text
from reference.decode.trace import Decoded, Round, collect
from reference.models.protocol import LanguageModel
from reference.random import Stream, Uniforms, keyed
from specmath import rules
from specmath.draws import categorical
from specmath.rules import Rule


def chain(
    target: LanguageModel,
    draft: LanguageModel,
    prompt: Sequence[int],
    *,
    draft_length: int,
    rule: str | Rule = "token_wise",
    options: Options | None = None,
    uniforms: Uniforms | None = None,
) -> Decoded:
    """Continue ``prompt`` by rounds of ``draft_length`` drafted tokens; the text's law is the target's.

    ``rule`` is a chain rule of `specmath.rules` or its name. A round drafts fewer tokens where max_tokens or a context
    leaves room for fewer. ``uniforms`` replaces the counter-based source of randomness. Raises ValueError before any
    work for different vocabularies, an unknown rule or one that is not for chains, a draft length below one, an empty
    prompt, one that fills the target's context, or token ids out of range; and for logits that hold NaN.

    >>> from reference.models.table import TableModel
    >>> ones = TableModel(lambda prefix: [0, 1], 2)
    >>> decoded = chain(ones, ones, [0], draft_length=2, options=Options(max_tokens=4))
    >>> decoded.tokens, [one.accepted for one in decoded.rounds]
    ((1, 1, 1, 1), [2, 0])
    """
    return collect(
        chain_rounds(target, draft, prompt, draft_length=draft_length, rule=rule, options=options, uniforms=uniforms)
    )


def chain_rounds(
    target: LanguageModel,
    draft: LanguageModel,
    prompt: Sequence[int],
    *,
    draft_length: int,
    rule: str | Rule = "token_wise",
    options: Options | None = None,
    uniforms: Uniforms | None = None,
) -> Iterator[Round]:
    """The same as a stream: each round as soon as it is committed; checks run before the first."""
    options = Options() if options is None else options
    chosen = chain_rule(rule)
    check_count("draft_length", draft_length)
    check_request(target, draft, prompt, options)
    uniforms = uniforms or keyed(options.seed, options.request)
    return _decode(target, draft, Text(target, prompt, options), draft_length, chosen, options, uniforms)


def chain_rule(rule: str | Rule) -> Rule:
    """The rule itself or that of the name; ValueError listing the chain rules unless it judges chains."""
    found = rule if isinstance(rule, Rule) or rule not in rules.names() else rules.get(rule)
    if not isinstance(found, Rule) or found.layout != "chain":
        name = found.name if isinstance(found, Rule) else rule
        raise ValueError(f"rule is {name!r}; allowed for a chain are {', '.join(map(repr, rules.names('chain')))}")
    return found


def _decode(
    target: LanguageModel,
    draft: LanguageModel,
    text: Text,
    draft_length: int,
    rule: Rule,
    options: Options,
    uniforms: Uniforms,
) -> Iterator[Round]:
    # Before each round both states hold a prefix of the text that lacks at least its last token, so that one extend
    # brings them up to date. The target's lacks exactly that one; the draft's lacks two after full acceptance.
    target_state, draft_state = target.start(), draft.start()
    while True:
        position = text.begin()
        length = text.drafts(draft_length, draft)  # L

        # 1. draft x_1..x_L, one at a time: x_i ~ draft(. | text, x_<i)
        drafted: list[int] = []
        draft_laws = np.zeros((length, target.vocabulary_size))  # (L, V)
        coins = uniforms(position, Stream.DRAFT, length)  # (L,)
        for i in range(length):
            logits = draft_state.extend((text.tokens + drafted)[draft_state.length :])  # (new tokens, V)
            draft_laws[i] = options.laws("draft", logits[-1:])[0]
            drafted.append(int(categorical(draft_laws[i], coins[i])))

        # 2. one target call: the laws after the text and after each drafted token
        logits = target_state.extend((text.tokens + drafted)[target_state.length :])  # (new tokens, V)
        target_laws = options.laws("target", logits[-length - 1 :])  # (L + 1, V)

        # 3. keep a prefix of the drafts, then one token more
        if length:
            tests = uniforms(position, Stream.ACCEPT, len(rule.tests(length)))
            last = uniforms(position, Stream.RESIDUAL, 1)
            verdict = rule.verify(
                target_laws, draft_laws, np.array(drafted), np.concatenate([tests, last]), check=False
            )
            accepted = int(verdict.accepted) + 1
            emitted = verdict.tokens[: accepted + 1].tolist()  # accepted drafts, correction or bonus
        else:
            accepted, emitted = 0, [int(categorical(target_laws[0], uniforms(position, Stream.TARGET, 1)[0]))]

        # 4. commit, and forget what was rejected
        committed = text.commit(
            emitted,
            accepted=accepted,
            drafted=drafted,
            target_laws=target_laws[:length],
            draft_laws=draft_laws,
            draft_calls=length,
        )
        yield committed
        if committed.stop_reason:
            return
        target_state.rewind(text.length - 1)
        draft_state.rewind(min(draft_state.length, text.length - 1))
