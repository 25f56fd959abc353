"""Speculative decoding with n candidates a round: n paths are drafted, one target call reads them all.

A path is one candidate for the next token and what the draft says after it. With paths of length one the round is a
single node, which the node rules judge ("optimal", "recursive", ...); longer paths are a tree of n chains for the tree
rules. Both emit the accepted tokens and one more from the target's laws.

What it costs: one target call a round, over all drafted tokens (each sees its own path only), and one draft call for
each place of a path, over all n paths. Nothing of the tree stays in a cache: accepted tokens are read again with the
next round's call, so that a round reads up to draft_length + 1 + n draft_length tokens instead of the 1 + n
draft_length that moving cache entries would leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from reference.decode.options import Options, check_count, check_request
from reference.decode.text import Text
from reference.decode.trace import Decoded, Round, collect
from reference.models.protocol import LanguageModel, State
from reference.random import Stream, Uniforms, keyed
from specmath import draft_laws, rules
from specmath.draft_laws import DraftLaw
from specmath.draws import categorical
from specmath.rules import Rule


def paths(
    target: LanguageModel,
    draft: LanguageModel,
    prompt: Sequence[int],
    *,
    n: int,
    draft_length: int = 1,
    drafts: str = "iid",
    rule: str | Rule = "optimal",
    options: Options | None = None,
    uniforms: Uniforms | None = None,
) -> Decoded:
    """Continue ``prompt`` by rounds of ``n`` paths of ``draft_length`` drafted tokens; the text's law is the target's.

    ``drafts`` names the law that draws the n first tokens (`specmath.draft_laws`); each path goes on with single draws
    of its own. ``rule`` is a rule of `specmath.rules` or its name: one for nodes if ``draft_length`` is 1, else one for
    trees. A round drafts shorter paths where max_tokens or a context leaves room for less, and fewer of them where the
    draft's law has too few possible tokens for n. ``uniforms`` replaces the counter-based source of randomness.

    Raises ValueError before any work for different vocabularies, a rule that does not judge such paths or such drafts,
    n or a draft length below one, an empty prompt, one that fills the target's context, or token ids out of range; and
    for logits that hold NaN.

    >>> from reference.models.table import TableModel
    >>> ones = TableModel(lambda prefix: [0, 1], 2)
    >>> decoded = paths(ones, ones, [0], n=2, rule="recursive", options=Options(max_tokens=3))
    >>> decoded.tokens, [(one.drafted, one.accepted) for one in decoded.rounds]
    ((1, 1, 1), [((1, 1), 1), ((), 0)])
    """
    return collect(
        paths_rounds(
            target,
            draft,
            prompt,
            n=n,
            draft_length=draft_length,
            drafts=drafts,
            rule=rule,
            options=options,
            uniforms=uniforms,
        )
    )


def paths_rounds(
    target: LanguageModel,
    draft: LanguageModel,
    prompt: Sequence[int],
    *,
    n: int,
    draft_length: int = 1,
    drafts: str = "iid",
    rule: str | Rule = "optimal",
    options: Options | None = None,
    uniforms: Uniforms | None = None,
) -> Iterator[Round]:
    """The same as a stream: each round as soon as it is committed; checks run before the first."""
    options = Options() if options is None else options
    chosen, law = paths_rule(rule, n=n, draft_length=draft_length, drafts=drafts)
    check_request(target, draft, prompt, options)
    uniforms = uniforms or keyed(options.seed, options.request)
    return _decode(target, draft, Text(target, prompt, options), n, draft_length, law, chosen, options, uniforms)


def paths_rule(rule: str | Rule, *, n: int, draft_length: int, drafts: str) -> tuple[Rule, DraftLaw]:
    """The rule and the draft law by name; ValueError unless the rule judges ``n`` such paths of that length."""
    check_count("n", n)
    check_count("draft_length", draft_length)
    found = rule if isinstance(rule, Rule) or rule not in rules.names() else rules.get(rule)
    if not isinstance(found, Rule) or found.layout == "chain":
        name = found.name if isinstance(found, Rule) else rule
        raise ValueError(
            f"rule is {name!r}; allowed for n paths are {', '.join(map(repr, rules.names('node')))} at draft_length 1 "
            f"and {', '.join(map(repr, rules.names('tree')))}"
        )
    if found.layout == "node" and draft_length > 1:
        raise ValueError(
            f"draft_length is {draft_length}: rule {found.name!r} judges candidates for one token; allowed is 1, or "
            f"one of the rules {', '.join(map(repr, rules.names('tree')))}"
        )
    law = draft_laws.get(found.supported(n, drafts))
    problem = law.needs(n, 2**62)  # a draft without end: what still fails is no matter of a context
    if problem:
        raise ValueError(f"n is {n}: drafts={law.name!r} {problem}")
    return found.under(law.name), law


def path_parents(n: int, length: int) -> list[int]:
    """Parents of ``n`` paths of ``length`` tokens, one path after the other.

    >>> path_parents(2, 3)
    [-1, 0, 1, -1, 3, 4]
    """
    return [node - 1 if node % length else -1 for node in range(n * length)]


def _decode(
    target: LanguageModel,
    draft: LanguageModel,
    text: Text,
    n: int,
    draft_length: int,
    law: DraftLaw,
    rule: Rule,
    options: Options,
    uniforms: Uniforms,
) -> Iterator[Round]:
    # Both states hold a prefix of the text that lacks at least its last token; what was drafted is never stored.
    target_state, draft_state = target.start(), draft.start()
    while True:
        position = text.begin()
        length = text.drafts(draft_length, draft)  # L

        # 1. draft n paths, one place at a time
        coins = partial(uniforms, position)
        drafted, drawn_from, calls = _draft(draft_state, text.tokens, n, length, law, rule, options, coins)
        count = len(drafted)  # N
        parents = path_parents(count // length, length) if count else []

        # 2. one target call: the laws after the text and after each drafted token
        logits = target_state.extend(text.tokens[target_state.length :], drafted, parents)  # (new tokens + N, V)
        target_laws = options.laws("target", logits[-count - 1 :])  # (N + 1, V)

        # 3. keep the beginning of one path, then one token more
        if count:
            emitted, accepted = _judge(rule, target_laws, drawn_from, drafted, parents, coins)
        else:
            emitted, accepted = [int(categorical(target_laws[0], coins(Stream.TARGET, 1)[0]))], 0

        # 4. commit
        committed = text.commit(
            emitted,
            accepted=accepted,
            drafted=drafted,
            parents=parents,
            target_laws=target_laws[np.array(parents, dtype=np.int64) + 1],
            draft_laws=drawn_from,
            draft_calls=calls,
        )
        yield committed
        if committed.stop_reason:
            return


def _draft(
    state: State,
    text: Sequence[int],
    n: int,
    length: int,
    law: DraftLaw,
    rule: Rule,
    options: Options,
    coins: Callable[[int, int], NDArray[np.float64]],
) -> tuple[list[int], NDArray[np.float64], int]:
    """Drafted tokens path after path, the draft's law (N, V) at the place of each, and the number of draft calls."""
    drafted: list[int] = []
    laws: list[NDArray[np.float64]] = []  # for each place (n, V)
    points = np.empty(0)
    for place in range(length):
        state.rewind(min(state.length, len(text) - 1))
        logits = state.extend(text[state.length :], drafted, path_parents(n, place))  # (new tokens + drafted, V)
        if not place:
            first = options.laws("draft", logits[-1:])  # (1, V)
            n = _possible(n, int((first > 0).sum()), law, rule)
            if not n:
                return [], np.zeros((0, first.shape[-1])), 1
            points = coins(Stream.DRAFT, law.uniforms(n) + n * (length - 1))
            drafted = law.sample(first[0], n, points[: law.uniforms(n)]).tolist()
            laws.append(np.repeat(first, n, axis=0))
        else:
            laws.append(options.laws("draft", logits[-n * place :][place - 1 :: place]))  # after each path's last token
            own = points[law.uniforms(n) + n * (place - 1) :][:n]
            following = categorical(laws[-1], own).tolist()
            drafted = [token for k in range(n) for token in (*drafted[k * place : (k + 1) * place], following[k])]
    if not length:
        return [], np.zeros((0, 0)), 0
    return drafted, np.stack(laws, axis=1).reshape(n * length, -1), length


def _possible(n: int, support: int, law: DraftLaw, rule: Rule) -> int:
    """The largest number of candidates up to n that a draft with so many possible tokens can give this rule, or 0."""
    return next((m for m in range(n, rule.at_least - 1, -1) if not law.needs(m, support)), 0)


def _judge(
    rule: Rule,
    target: NDArray[np.float64],
    draft: NDArray[np.float64],
    drafted: Sequence[int],
    parents: Sequence[int],
    coins: Callable[[int, int], NDArray[np.float64]],
) -> tuple[list[int], int]:
    """Emitted tokens of the round, and how many of them were drafted."""
    tokens = np.array(drafted)
    points = np.concatenate([coins(Stream.ACCEPT, rule.uniforms(len(drafted)) - 1), coins(Stream.RESIDUAL, 1)])
    if rule.layout == "tree":
        verdict = rule.verify(target, draft, tokens, points, np.array(parents), check=False)
        emitted = [token for token in verdict.tokens.tolist() if token >= 0]
        return emitted, len(emitted) - 1
    verdict = rule.verify(target[0], draft[0], tokens, points, check=False)
    emitted, kept = [int(verdict.tokens)], int(verdict.accepted)
    if kept < 0:
        return emitted, 0
    # The accepted candidate's row was computed along with the others: the bonus token costs nothing more.
    return [*emitted, int(categorical(target[kept + 1], coins(Stream.TARGET, 1)[0]))], 1
