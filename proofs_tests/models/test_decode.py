"""Transformers models in every decoder: one text, whatever drafts and whoever decodes beside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proofs_tests.cache.world import SPARE, VOCABULARY
from proofs_tests.models.networks import Whole, model, network
from reference import decode, drafters
from reference.models import mapped
from reference.models.protocol import LanguageModel
from reference.models.transformers import TransformersModel

PROMPT = [3, 1, 4, 1, 5]

Pair = tuple[TransformersModel, LanguageModel]


def two_families() -> Pair:
    return model("gemma2"), model("gpt2")


def early_layers() -> Pair:
    target = model("qwen2")
    return target, target.early(1)


def another_arithmetic() -> Pair:
    stock = network("mistral")
    return TransformersModel(stock, spare=SPARE), TransformersModel(stock, "int8")


def another_vocabulary() -> Pair:
    return model("llama"), mapped(model("phi", vocab_size=20), VOCABULARY, unknown=0)


PAIRS = [two_families, early_layers, another_arithmetic, another_vocabulary]


def options(temperature: float, seed: int = 0) -> decode.Options:
    return decode.Options(max_tokens=14, temperature=temperature, seed=seed)


def greedy(target: TransformersModel, prompt: list[int], count: int) -> list[int]:
    """The judge at temperature 0: the whole text again for every token, and the likeliest."""
    judge, text = Whole(target.network, "exact64"), list(prompt)
    for _ in range(count):
        text.append(int(judge(text)[0][-1].argmax()))
    return text[len(prompt) :]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("pair", PAIRS)
def test_one_text_with_every_decoder(pair: Callable[[], Pair], temperature: float) -> None:
    target, draft = pair()
    own = options(temperature)
    expected = decode.autoregressive(target, PROMPT, options=own)
    made = {
        "chain": decode.chain(target, draft, PROMPT, draft_length=3, options=own),
        "tree": decode.tree(target, draft, PROMPT, shape=(3, 2, 1), options=own),
        "best first": decode.collect(
            decode.stream(target, PROMPT, drafter=drafters.best_first(draft, nodes=6, depth=3, width=3), options=own)
        ),
        "lookup": decode.collect(decode.stream(target, PROMPT, drafter=drafters.lookup(draft_length=3), options=own)),
    }
    kinds = [drafters.chain(draft, 3), None, drafters.tree(draft, (2, 2)), drafters.chain(draft, 1)]
    prompts = [PROMPT, [7], PROMPT[::-1] * 4, [0, 0]]
    requests = [
        decode.Request(prompt=prompt, options=options(temperature, seed), drafter=kind)
        for seed, (prompt, kind) in enumerate(zip(prompts, kinds, strict=True))
    ]
    together = decode.batched(target, requests, rows=3)
    alone = [decode.autoregressive(target, one.prompt, options=one.options) for one in requests]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, decode.Decoded)
        assert one.tokens == other.tokens
    for name, decoded in made.items():
        assert decoded.tokens == expected.tokens, name
        assert decoded.logprobs == expected.logprobs, name
    if temperature == 0:
        assert list(expected.tokens) == greedy(target, PROMPT, 14)
    rounds = [one for decoded in made.values() for one in decoded.rounds if one.drafted]
    assert any(one.accepted for one in rounds)
    assert any(one.accepted < len(one.drafted) for one in rounds)


def test_the_context_ends_the_text() -> None:
    target = TransformersModel(network("gemma2"), context=24)
    own = decode.Options(max_tokens=200, seed=1)
    expected = decode.autoregressive(target, PROMPT, options=own)
    assert expected.rounds[-1].stop_reason == "context"
    assert len(expected.tokens) == 24 - len(PROMPT)
    assert decode.tree(target, model("gpt2"), PROMPT, shape=(2, 2, 1), options=own).tokens == expected.tokens


def test_rejection_with_a_rule_runs() -> None:
    """Laws are proved on tables; here only that logits of float32 pass through every kind of rule."""
    target, draft = two_families()
    for rule in ("token_wise", "block"):
        own = decode.Options(max_tokens=8)
        assert len(decode.chain(target, draft, PROMPT, rule=rule, options=own).tokens) == 8


def test_other_vocabularies_are_refused_without_a_mapping() -> None:
    target, draft = model("llama"), model("phi", vocab_size=20)
    with pytest.raises(ValueError, match=r"target has 23 tokens and draft 20; .*reference\.models\.mapped"):
        decode.chain(target, draft, PROMPT)
