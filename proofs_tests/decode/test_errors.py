"""Bad input: refused before any work, with a message that names the argument, what is wrong and what is allowed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from proofs_tests.decode.harness import table
from reference import decode, drafters
from reference.drafters import Proposal
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
    if rule is None:  # a draft cannot change coupled text, and so cannot end it: it proposes nothing
        options = decode.Options(max_tokens=8)
        drafted = decode.chain(TWO, holds(value), [0], draft_length=2, options=options)
        assert drafted.tokens == decode.autoregressive(TWO, [0], options=options).tokens
        assert not any(one.drafted for one in drafted.rounds)
    else:
        with pytest.raises(ValueError, match=f"^draft: logits: .*{said}"):
            decode.chain(TWO, holds(value), [0], draft_length=2, rule=rule)


class Abyss(TableModel):
    """Two tokens; logits hold NaN after token 1, which the target never chooses and every draft proposes."""

    def logits(self, prefix):
        return np.full(2, np.nan) if 1 in prefix else np.log(np.array([1.0, 1e-300]))


@pytest.mark.parametrize("shape", [(1, 1), (2, 2, 1)])
def test_logits_beside_the_path_do_not_matter_in_coupled_text(shape):
    target, draft = Abyss(lambda prefix: [1, 0], 2), TableModel(lambda prefix: [0.1, 0.9], 2)
    options = decode.Options(max_tokens=6, seed=3)
    plain = decode.autoregressive(target, [0], options=options)
    drafted = decode.tree(target, draft, [0], shape=shape, options=options)
    assert drafted.tokens == plain.tokens == (0,) * 6
    assert any(1 in one.drafted for one in drafted.rounds), "the abyss was never looked into"
    with pytest.raises(ValueError, match=r"^target: logits: .*NaN"):  # plain decoding falls into it as well
        decode.tree(target, draft, [0, 1], shape=shape, options=options)
    with pytest.raises(ValueError, match=r"^target: logits: .*NaN"):
        decode.tree(target, draft, [0], shape=shape, options=dataclasses.replace(options, randomness="rejection"))


@dataclasses.dataclass
class Liar:
    """Proposes whatever it was made with."""

    proposal: Proposal
    laws = None
    branches = (1, 2)
    shape = "tree"

    def check(self, target):
        """Any."""

    def begin(self, task, memory=None):
        return self

    def propose(self, tokens, most):
        yield from ()
        return self.proposal

    def keep(self, path):
        """Nothing."""

    def memory(self):
        return None

    def close(self):
        """Nothing."""


@pytest.mark.parametrize(
    ("proposal", "said"),
    [
        (Proposal([0, 0, 0], [-1, 0, 1]), "drafter: a tree 3 deep; allowed is 2, so that the text ends in time"),
        (Proposal([0, 0], [-1]), "drafter: 1 parents for 2 tokens; allowed is one each"),
        (Proposal([0, 0], [1, -1]), r"drafter: parents\[0\] is 1; allowed are -1 \(the text\) and earlier nodes"),
        (Proposal([0], [-1], [np.array([0.5, 0.5])] * 2), "drafter: 2 laws for 1 tokens; allowed are None or one each"),
        (Proposal([2], [-1]), r"tree\[0\] is 2; allowed are token ids from 0 to 1"),
    ],
)
@pytest.mark.parametrize("rule", [None, "sampler_match"])
def test_a_drafter_that_proposes_no_such_tree_is_told(proposal, said, rule):
    options = decode.Options(max_tokens=3)
    with pytest.raises(ValueError, match=said):
        decode.collect(decode.stream(TWO, [0], drafter=Liar(proposal), rule=rule, options=options))
    ended = decode.batched(TWO, [decode.Request(prompt=[0], drafter=Liar(proposal), rule=rule, options=options)])[0]
    assert isinstance(ended, decode.Failure)


HALF = np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("rule", "proposal", "said"),
    [
        ("recursive", Proposal([0], [-1], [np.array([1.5, -0.5])]), "the law below node -1 is none"),
        ("recursive", Proposal([0], [-1], [np.array([np.nan, 1.0])]), "the law below node -1 is none"),
        ("traversal", Proposal([0], [-1], [HALF * 2]), "the law below node -1 is none"),
        (
            "token_wise",
            Proposal([0, 1], [-1, 0], [HALF, HALF / 2]),
            "the law below node 0 is none; allowed are 2 numbers",
        ),
        ("recursive", Proposal([0], [-1], [np.array([0.5, 0.25, 0.25])]), "the law below node -1 is none"),
        ("recursive", Proposal([0, 1], [-1, -1], [HALF, np.array([0.4, 0.6])]), "have different laws; allowed is one"),
        ("block", Proposal([0, 1], [-1, -1], [HALF, HALF]), r"it proposed a paths \(.*\); allowed is a chain"),
        (
            "multipath_block",
            Proposal([0, 1, 0], [-1, -1, 0], [HALF] * 3),
            "it proposed a tree .* allowed is paths of one",
        ),
        ("single", Proposal([0, 1], [-1, -1], [HALF, HALF]), "2 candidates below node -1; rule 'single' does not take"),
    ],
)
def test_rejection_refuses_proposals_under_which_the_law_would_be_another(rule, proposal, said):
    drafter = Liar(proposal)
    drafter.branches, drafter.shape = (1,), "chain"  # what it says of itself suits the rule
    options = decode.Options(max_tokens=5)
    with pytest.raises(ValueError, match=said):
        decode.collect(decode.stream(TWO, [0], drafter=drafter, rule=rule, options=options))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: decode.stream(TWO, [0], drafter=TWO), "drafter is a TableModel without 'laws'; allowed are drafters"),
        (lambda: decode.stream(TWO, [0], drafter="lookup"), "drafter is a str without 'laws'"),
        (lambda: decode.autoregressive([0], TWO), "target is a list without 'vocabulary_size'"),
        (lambda: decode.autoregressive(TWO, np.zeros((1, 3), int)), "prompt: it is no list of token ids"),
        (lambda: decode.autoregressive(TWO, "text"), "prompt: it is no list of token ids"),
        (
            lambda: decode.autoregressive(TWO, [0], options={"seed": 1}),
            "options is a dict; allowed is an Options object",
        ),
        (lambda: decode.Options(stop=5), "stop is 5; allowed are token ids in a list, set or tuple"),
    ],
)
def test_other_objects_are_refused_in_words(call, said):
    with pytest.raises(ValueError, match=said):
        call()


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
