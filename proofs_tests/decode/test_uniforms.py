"""The real draws and rules use every uniform of a round once; and rounds that cannot draft what a rule needs."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from reference import decode, drafters
from reference.models.table import TableModel
from reference.random import Stream
from specmath import rules

SIZE, N, PROMPT = 256, 3, (0,)
Key = tuple[int, int, int]


def told_apart(rule: str, length: int, drafts: str = "iid") -> tuple[list[Key], list[Key], list[Key]]:
    """(position, stream, index) behind every drafted token but the first ones of drafts that are not i.i.d., behind
    every uniform that the rule reads, and behind the bonus token, if it is a draw of its own; of the first round.

    All laws are uniform on 256 tokens, and the k-th uniform that is asked for lies in the middle of the k-th token: a
    token drawn by inversion says which uniform drew it. Asking twice for one uniform gives the same number.
    """
    keys: list[Key] = []
    judged: list[float] = []
    even = TableModel(lambda prefix: [Fraction(1, SIZE)] * SIZE, SIZE)
    law = rules.get(rule)

    def uniforms(position: int, stream: int, count: int) -> np.ndarray:
        asked = [(position, int(stream), index) for index in range(count)]
        keys.extend(key for key in asked if key not in keys)
        assert len(keys) <= SIZE
        return (np.array([keys.index(key) for key in asked], dtype=float) + 0.5) / SIZE

    def step(target, draft, tokens, points, *rest, **options):
        judged.extend(points.tolist())
        return law.under(drafts).step(target, draft, tokens, points, *rest, **options)

    stream = decode.stream(
        even,
        PROMPT,
        drafter=drafters.paths(even, N, length, drafts=drafts),
        rule=dataclasses.replace(law.under(drafts), step=step),
        options=decode.Options(max_tokens=length + 2),
        uniforms=uniforms,
    )
    first = next(iter(stream))
    assert len(first.drafted) == N * length, "the text leaves room for all paths"
    tokens = [token for node, token in enumerate(first.drafted) if drafts == "iid" or node >= N]  # level by level
    bonus = [first.emitted[-1]] if law.layout == "node" and first.accepted else []
    return [keys[token] for token in tokens], [keys[int(u * SIZE)] for u in judged], [keys[token] for token in bonus]


CASES = [(name, 1) for name in ("recursive", "k_seq", "optimal")] + [(name, 3) for name in rules.names("tree")]


@pytest.mark.parametrize(("name", "length"), CASES)
def test_no_uniform_of_a_round_is_used_twice(name: str, length: int) -> None:
    drafted, judged, bonus = told_apart(name, length)
    used = [*drafted, *judged, *bonus]
    assert len(judged) == rules.get(name).uniforms(N * length)
    assert bonus or length > 1, "with equal laws a candidate is accepted"
    assert len(set(used)) == len(used)
    assert {position for position, _, _ in used} == {len(PROMPT)}
    assert {stream for _, stream, _ in drafted} == {Stream.DRAFT}
    assert {stream for _, stream, _ in judged[:-1]} == {Stream.ACCEPT}
    assert [stream for _, stream, _ in [judged[-1], *bonus]] == [Stream.RESIDUAL, Stream.TARGET][: 1 + len(bonus)]


@pytest.mark.parametrize("name", ["optimal_paths", "conditional_transport"])
def test_paths_after_distinct_first_tokens_share_no_uniform(name: str) -> None:
    """The first places take their own uniforms, as many as the draft law says; the other places follow them."""
    drafted, judged, _ = told_apart(name, 3, "without_replacement")
    used = [*drafted, *judged]
    assert len(drafted) == 2 * N
    assert len(set(used)) == len(used)
    assert min(index for _, _, index in drafted) >= N


def one_hot(size: int) -> TableModel:
    return TableModel(lambda prefix: [1] + [0] * (size - 1), size)


@pytest.mark.parametrize(("rule", "drafts", "n"), [("spechub", "hub", 2), ("recursive", "iid", 2)])
def test_a_draft_with_one_possible_token(rule: str, drafts: str, n: int) -> None:
    """No pair of distinct tokens can be drafted, and a rule for pairs cannot judge one token: the round is a plain draw
    from the target. A rule for any number of i.i.d. drafts judges the same token twice."""
    target = TableModel(lambda prefix: [Fraction(1, 3)] * 3, 3)
    options = decode.Options(max_tokens=6)
    found = decode.tree(target, one_hot(3), PROMPT, shape=(n,), drafts=drafts, rule=rule, options=options)
    sizes = {len(one.drafted) for one in found.rounds if one.stop_reason is None}
    assert sizes == ({0} if rule == "spechub" else {n})
    assert len(found.tokens) == 6
    if rule == "spechub":
        assert [one.accepted for one in found.rounds] == [0] * 6


def test_a_rule_for_pairs_is_never_handed_fewer() -> None:
    """A draft law that can be cut down to one token, with a rule that takes no less than two."""
    pairs = dataclasses.replace(rules.get("recursive_without_replacement"), at_least=2)
    target = TableModel(lambda prefix: [Fraction(1, 3)] * 3, 3)
    options = decode.Options(max_tokens=4)
    arguments = {"shape": (2,), "drafts": "without_replacement", "options": options}
    found = decode.tree(target, one_hot(3), PROMPT, rule=pairs, **arguments)
    assert [one.drafted for one in found.rounds] == [()] * 4
    any_number = decode.tree(target, one_hot(3), PROMPT, rule="recursive_without_replacement", **arguments)
    assert {len(one.drafted) for one in any_number.rounds if one.stop_reason is None} == {1}
