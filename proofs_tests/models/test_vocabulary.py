"""Drafts over another vocabulary: the law that they claim, and decoders that stay lossless whatever the mapping."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.exact_law import bias
from proofs_tests.decode.harness import SEEDS, table
from reference import decode, drafters
from reference.models import mapped
from reference.models.protocol import Read
from reference.models.table import TableModel
from reference.models.vocabulary import MappedModel


@st.composite
def mappings(draw: st.DrawFn) -> tuple[int, int, list[int] | None, int]:
    """Sizes of draft and target, ids, and the token for unknown ones."""
    own, size = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    unknown = draw(st.integers(0, own - 1))
    if draw(st.booleans()):
        return own, size, None, unknown
    goals = draw(st.permutations(range(size)))[:own]
    ids = draw(st.permutations([*goals, *[-1] * (own - len(goals))]))
    return own, size, list(ids), unknown


def expected_law(model: TableModel, text: list[int], size: int, ids: list[int] | None, unknown: int) -> list[Any]:
    """By the definition: the text in the draft's words, and its law with what the target lacks left out."""
    goals = ids if ids is not None else [d if d < size else -1 for d in range(model.vocabulary_size)]
    words = tuple(goals.index(token) if token in goals else unknown for token in text)
    law = model.law(words)
    return [law[goals.index(token)] if token in goals else Fraction(0) for token in range(size)]


@settings(max_examples=60)
@given(mapping=mappings(), seed=SEEDS, data=st.data())
def test_the_law_is_the_drafts_in_the_targets_words(mapping: Any, seed: int, data: st.DataObject) -> None:
    own, size, ids, unknown = mapping
    model = table(seed, own, floor=1)
    draft = mapped(model, size, ids=ids, unknown=unknown)
    text = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4))
    tree = data.draw(st.lists(st.integers(0, size - 1), max_size=3))
    state = draft.start()
    logits = state.extend(text, tree, list(range(-1, len(tree) - 1)))
    whole = [*text, *tree]
    for place, row in enumerate(np.exp(logits)):
        assert row == pytest.approx([float(w) for w in expected_law(model, whole[: place + 1], size, ids, unknown)])
    assert (state.length, state.nodes) == (len(text), len(tree))
    if tree:
        state.keep([0])
        assert (state.length, state.nodes) == (len(text) + 1, 0)
    state.rewind(0)
    assert np.array_equal(state.extend(text), logits[: len(text)])


@pytest.mark.parametrize("broken", ["ids", "unknown"])
def test_a_mapping_gone_wrong_is_seen(broken: str) -> None:
    """Planted: the ids of two tokens exchanged, or unknown tokens read as another one."""
    model, ids = table(3, 4, floor=1), [2, 0, -1, 1]
    wrong = mapped(model, 4, ids=[0, 2, -1, 1] if broken == "ids" else ids, unknown=3 if broken == "unknown" else 2)
    row = np.exp(wrong.start().extend([3]))[0]
    assert row != pytest.approx([float(w) for w in expected_law(model, [3], 4, ids, 2)])


CASES = [
    (2, 3, None, 0),  # the target is padded
    (3, 2, None, None),  # the draft is
    (3, 3, [2, 0, 1], None),
    (3, 3, [-1, 2, 0], 0),
]


@pytest.mark.parametrize(("own", "size", "ids", "unknown"), CASES)
@pytest.mark.parametrize("rule", ["token_wise", "block", "traversal"])
def test_lossless_whatever_the_mapping(own: int, size: int, ids: Any, unknown: Any, rule: str) -> None:
    """Exact law of the decoder over fractions; that it is not any law, the last line shows."""
    target, draft = table(5, size, floor=1), mapped(table(9, own, floor=1), size, ids=ids, unknown=unknown)
    drafter = drafters.tree(draft, (2, 1)) if rule == "traversal" else drafters.chain(draft, 2)
    assert bias(target, drafter, rule, prompt=(1, 0), length=2) == 0
    assert bias(target, drafter, rule, prompt=(1, 0), length=2, truth=table(6, size, floor=1)) > 0


@settings(max_examples=25)
@given(mapping=mappings(), seeds=st.tuples(SEEDS, SEEDS), temperature=st.sampled_from([0.0, 0.7, 1.0]))
def test_coupled_text_does_not_change(mapping: Any, seeds: tuple[int, int], temperature: float) -> None:
    own, size, ids, unknown = mapping
    target, draft = table(seeds[0], size), mapped(table(seeds[1], own, floor=1), size, ids=ids, unknown=unknown)
    options = decode.Options(max_tokens=9, seed=seeds[0], temperature=temperature)
    expected = decode.autoregressive(target, [0], options=options)
    assert decode.chain(target, draft, [0], draft_length=3, options=options).tokens == expected.tokens
    assert decode.tree(target, draft, [0], shape=(2, 2), options=options).tokens == expected.tokens


def test_a_target_padded_or_not_accepts_as_much() -> None:
    """Tokens that only pad are never drafted: with a target that never emits them the decoder does as without."""
    model = table(4, 3, floor=1)
    padded = TableModel(lambda prefix: [*model.law(tuple(min(t, 2) for t in prefix)), Fraction(0), Fraction(0)], 5)
    own = decode.Options(max_tokens=30, randomness="rejection")
    found = decode.chain(padded, mapped(model, 5, unknown=0), [0], options=own)
    assert all(one.accepted == len(one.drafted) for one in found.rounds)


def test_rows_of_a_batch_are_those_of_the_model() -> None:
    target, model = table(1, 4, floor=1), table(2, 3, floor=1)
    draft = mapped(model, 4, unknown=1)
    requests = [
        decode.Request(prompt=[seed], options=decode.Options(max_tokens=6, seed=seed), drafter=drafters.chain(draft, 2))
        for seed in range(4)
    ]
    together = decode.batched(target, requests, rows=3)
    for one, request in zip(together, requests, strict=True):
        assert isinstance(one, decode.Decoded)
        assert one.tokens == decode.autoregressive(target, request.prompt, options=request.options).tokens
    cache = draft.cache(2)
    first, second = cache.start(), cache.start()
    with pytest.raises(ValueError, match="every row is taken"):
        cache.start()
    with pytest.raises(ValueError, match=r"tokens\[0\] is 4"):
        cache.extend([Read(first, [1]), Read(second, [4])])
    assert first.length == 0  # nothing was read
    with pytest.raises(ValueError, match="its state belongs to another cache"):
        cache.extend([Read(draft.start(), [1])])
    second.close()
    second.close()
    for use in (lambda: second.extend([1]), lambda: second.keep([]), lambda: second.rewind(0)):
        with pytest.raises(ValueError, match="state: it is closed"):
            use()
    assert cache.start().extend([3]).shape == (1, 4)


class Torch:
    """A model whose logits are tensors, as those of networks."""

    def __init__(self, inner: TableModel) -> None:
        self.vocabulary_size, self.context_length, self._inner = inner.vocabulary_size, inner.context_length, inner

    def cache(self, rows: int = 1) -> Any:
        made: Any = self._inner.cache(rows)
        plain = made.extend
        setattr(made, "extend", lambda reads: [torch.tensor(row, dtype=torch.float32) for row in plain(reads)])  # noqa: B010
        return made

    def start(self) -> Any:
        return self.cache().start()


def test_tensors_stay_tensors() -> None:
    model = table(7, 3, floor=1)
    for draft in (mapped(Torch(model), 5, unknown=0), mapped(Torch(model), 2)):
        plain = mapped(model, draft.vocabulary_size, unknown=0).start().extend([0, 1])
        logits = draft.start().extend([0, 1])
        assert isinstance(logits, torch.Tensor)
        assert logits.dtype == torch.float32
        assert np.exp(logits.numpy()) == pytest.approx(np.exp(plain), abs=1e-6)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (0, {}, "size is 0; allowed are whole numbers >= 1"),
        (True, {}, "size is True"),
        (3, {"ids": [0, 1]}, "ids: 2 entries; the model has 3 tokens"),
        (3, {"ids": [0, 1, 3]}, r"ids\[2\] is 3; allowed are -1 and token ids from 0 to 2"),
        (3, {"ids": [0, 1, 1.0]}, r"ids\[2\] is 1\.0"),
        (3, {"ids": [0, 1, 0]}, r"ids\[2\] is 0, as is ids\[0\]"),
        (3, {"ids": [-1, -1, -1], "unknown": 0}, "ids: no token in common"),
        (5, {}, "unknown is None, but the model does not know 2 of the target's 5 tokens .the first is 3."),
        (5, {"unknown": 3}, "unknown is 3; allowed are token ids of the model from 0 to 2"),
        (5, {"unknown": -1}, "unknown is -1"),
    ],
)
def test_bad_mappings(size: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mapped(table(0, 3), size, **options)


def test_a_text_without_shared_tokens_has_no_law() -> None:
    """The draft allows only what the target lacks: it drafts nothing, or, for rejection, the error says whose law."""
    target, draft = table(1, 2, floor=1), mapped(TableModel(lambda prefix: [0, 0, 1], 3), 2)
    assert isinstance(draft, MappedModel)
    options = decode.Options(max_tokens=8)
    found = decode.chain(target, draft, [0], options=options)
    assert found.tokens == decode.autoregressive(target, [0], options=options).tokens
    assert not any(one.drafted for one in found.rounds)
    with pytest.raises(ValueError, match=r"draft: .*masked"):
        decode.chain(target, draft, [0], options=decode.Options(randomness="rejection"))
