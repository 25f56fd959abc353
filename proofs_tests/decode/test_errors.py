"""Bad input: refused before any work, with a message that names the argument, what is wrong and what is allowed."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_tests.decode.harness import table
from reference import decode, drafters
from reference.models.table import TableModel
from specmath import rules

MODEL = table(0, 3)
TWO = TableModel(lambda prefix: [0.5, 0.5], 2)
TIGHT = TableModel(MODEL.law, 3, context_length=2)


def holds(value: float) -> TableModel:
    """A model of two tokens whose logits hold this value."""
    model = TableModel(lambda prefix: [0.5, 0.5], 2)
    model.logits = lambda prefix: np.array([value, 0.0])  # type: ignore[method-assign]
    return model


class Untouched(TableModel):
    """A model that must not be asked."""

    def cache(self, rows=1):
        raise AssertionError("work began before the checks")


IDLE = Untouched(MODEL.law, 3)
CHAIN = drafters.chain(MODEL, 2)
HUBS = drafters.tree(MODEL, (2,), drafts="hub")


@pytest.mark.parametrize(
    ("prompt", "drafter", "rule", "options", "message"),
    [
        ([], CHAIN, None, {}, "prompt is empty; allowed is one token or more"),
        ([0, 3], CHAIN, None, {}, r"prompt\[1\] is 3; allowed are token ids from 0 to 2"),
        ([-1], CHAIN, None, {}, r"prompt\[0\] is -1; allowed are token ids from 0 to 2"),
        ([0.5], CHAIN, None, {}, r"prompt\[0\] is 0.5; allowed are whole numbers from 0 to 2"),
        (["0"], None, None, {}, r"prompt\[0\] is '0'; allowed are whole numbers"),
        ([True], None, None, {}, r"prompt\[0\] is True; allowed are whole numbers"),
        ([0], CHAIN, None, {"stop": {3}}, r"stop\[0\] is 3; allowed are token ids from 0 to 2"),
        ([0], drafters.chain(TWO, 2), None, {}, "target has 3 tokens and draft 2; .* reference.models.mapped"),
        ([0], drafters.tree(TWO, (2,)), None, {}, "target has 3 tokens and draft 2"),
        ([0], drafters.best_first(TWO), None, {}, "target has 3 tokens and draft 2"),
        ([0], CHAIN, "blok", {}, "rule is 'blok'; allowed for a chain with 1 candidates a node are .*'token_wise'"),
        ([0], CHAIN, "spechub", {}, "rule is 'spechub'; allowed for a chain"),
        ([0], drafters.tree(MODEL, (2,)), "block", {}, "rule is 'block'; allowed for a paths with 2 candidates"),
        ([0], drafters.tree(MODEL, (2, 2)), "single", {}, "rule is 'single'; allowed for a tree"),
        ([0], drafters.tree(MODEL, (2, 2)), "multipath_block", {}, "rule is 'multipath_block'; allowed for a tree"),
        ([0], HUBS, "recursive", {}, "rule is 'recursive'; .* drawn by hub are 'sampler_match', 'spechub', 'optimal'"),
        ([0], HUBS, rules.get("traversal"), {}, "rule is 'traversal'; allowed .* drawn by hub"),
        ([0], HUBS, None, {"randomness": "rejection", "temperature": 1.0}, None),
        ([0], CHAIN, "block", {"randomness": "coupled"}, "rule: given with coupled randomness, .* allowed is None"),
        ([0], None, "block", {}, "rule: given without a drafter; there is nothing to judge"),
    ],
)
def test_bad_requests_are_refused_before_any_work(prompt, drafter, rule, options, message):
    given = decode.Options(**options)
    if message is None:  # the default rule is one that fits
        list(decode.stream(MODEL, prompt, drafter=drafter, rule=rule, options=given))
        return
    with pytest.raises(ValueError, match=message):
        decode.stream(IDLE, prompt, drafter=drafter, rule=rule, options=given)
    with pytest.raises(ValueError, match=message):
        decode.batched(IDLE, [decode.Request(prompt=prompt, drafter=drafter, rule=rule, options=given)])


def test_a_prompt_that_fills_the_context_is_refused():
    for prompt in ([0, 1], [0, 1, 2]):
        with pytest.raises(ValueError, match=f"prompt has {len(prompt)} tokens; allowed are up to 1, so that"):
            decode.autoregressive(TIGHT, prompt)
    assert decode.autoregressive(TIGHT, [0]).stop_reason == "context"


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, r"\+?inf")])
@pytest.mark.parametrize("rule", [None, "token_wise"])
def test_logits_from_which_no_law_follows_name_their_model(value, said, rule):
    with pytest.raises(ValueError, match=f"^target: logits: .*{said}"):
        decode.chain(holds(value), TWO, [0], draft_length=2, rule=rule)
    with pytest.raises(ValueError, match=f"^draft: logits: .*{said}"):
        decode.chain(TWO, holds(value), [0], draft_length=2, rule=rule)


def test_tokens_of_other_integer_types_are_tokens():
    plain = decode.autoregressive(MODEL, [0, 1], options=decode.Options(max_tokens=4))
    for prompt in (np.array([0, 1]), (np.int32(0), np.uint8(1)), range(2)):
        found = decode.autoregressive(MODEL, prompt, options=decode.Options(max_tokens=4))  # type: ignore[arg-type]
        assert found.tokens == plain.tokens


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_tokens", 0, "whole numbers >= 1"),
        ("max_tokens", 2.5, "whole numbers >= 1"),
        ("max_tokens", True, "whole numbers >= 1"),
        ("max_tokens", None, "whole numbers >= 1"),
        ("temperature", -1.0, ""),
        ("temperature", float("nan"), ""),
        ("top_k", 0, "whole numbers >= 1"),
        ("top_k", 1.5, "whole numbers >= 1"),
        ("top_p", 0.0, ""),
        ("top_p", 1.5, ""),
        ("seed", -1, "whole numbers from 0"),
        ("seed", 2**64, "whole numbers from 0"),
        ("request", 2**32, "whole numbers from 0"),
        ("randomness", "none", "'coupled' and 'rejection'"),
    ],
)
def test_bad_options_are_named(name, value, allowed):
    with pytest.raises(ValueError, match=f"{name} is .*allowed are .*{allowed}"):
        decode.Options(**{name: value})


def test_rounds_that_do_not_end_a_text_are_not_collected():
    stream = decode.stream(MODEL, [0], options=decode.Options(max_tokens=4))
    with pytest.raises(ValueError, match="rounds: 2 without a stop reason at the end"):
        decode.collect([next(stream), next(stream)])
    with pytest.raises(ValueError, match="rounds: 0 without"):
        decode.collect([])
