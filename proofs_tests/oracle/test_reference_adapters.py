"""Our own decoders before the oracle: lossless as they are, biased with one line wrong."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

import numpy as np
import pytest

from reference import adapters
from reference.decode import judge, loop
from reference.gumbel import Noise
from specmath import rules
from specmath.oracle import Verdict, audit_generate
from specmath.oracle.adapters.registry import Whole, audit_adapter, get
from specmath.rules import token_wise


def verdict(whole: Whole, **options: Any) -> Verdict:
    known = {"prompts": whole.prompts, "length": whole.length, "draft": whole.draft, "together": whole.together}
    return audit_generate(whole.generate, whole.target, arrays="numpy", dtype="float64", **{**known, **options})


@pytest.mark.parametrize("name", [adapter.name for adapter in adapters.ADAPTERS])
def test_decoders_are_lossless(name: str) -> None:
    adapter = get(name)
    assert adapter is next(one for one in adapters.ADAPTERS if one.name == name)
    found = audit_adapter(name)
    assert found.status == "lossless", str(found)
    assert found.total_variation < 1e-15
    assert found.runs > 20  # it is explored, not sampled once


def test_planted_in_the_rule() -> None:
    """The residual is the target: every text has a positive probability still, and the wrong one."""
    broken = dataclasses.replace(rules.get("token_wise"), step=_residual_is_target)
    found = verdict(adapters.single(adapters.chain_of(2), broken))
    assert found.status == "biased"
    assert "matches: residual taken from the target" in found.cause
    assert found.instance is not None
    assert found.replay is not None
    assert found.replay().status == "biased"


def _residual_is_target(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Any:
    right = token_wise.step(target, draft, tokens, uniforms)
    kept = int(right.accepted) + 1
    if kept == len(tokens):
        return right
    corrected = np.array(right.tokens)
    corrected[kept] = judge.categorical(target[kept], uniforms[len(tokens)])
    return rules.Verdict(corrected, right.accepted)


def test_planted_in_the_loop() -> None:
    """The laws of the round before: a mistake of the caller, around a rule that is right."""
    real = judge.Rejection.decide

    def decide(self: Any, position: int, logits: Any, laws: Any, proposal: Any) -> Any:
        return real(self, position, logits, laws[[0, *range(len(laws) - 1)]], proposal)

    with mock.patch.object(judge.Rejection, "decide", decide):
        found = verdict(adapters.single(adapters.chain_of(1), "token_wise"))
    assert found.status == "biased"
    assert found.instance is not None
    assert found.instance.length == 2  # the first round of a single token drafts nothing


def test_planted_in_the_noise() -> None:
    """One noise for all places of the text."""
    real = Noise.row
    with mock.patch.object(Noise, "row", lambda self, position: real(self, 2)):
        found = verdict(adapters.single(adapters.chain_of(1), None, adapters.GridNoise), draft=None)
    assert found.status == "biased"


def test_planted_in_the_batch() -> None:
    """Rows that are one text to the random counter have the same random numbers."""
    found = verdict(adapters.batch(adapters.chain_of(1), "token_wise", request=lambda row: 0), length=2)
    assert found.status == "biased"
    assert {check.name for check in found.checks if not check.passed} >= {"batch_mates"}


def test_the_source_is_the_counter_with_other_numbers() -> None:
    """What the adapters replace has the properties that they rely on: the same numbers for the same place."""
    cells = adapters.Cells()
    for source in (loop.Keyed(3, 1), cells(3, 1)):
        few, many, again = source(5, 2, 2), source(5, 2, 4), source(5, 2, 4)
        assert np.array_equal(few, many[:2])
        assert np.array_equal(many, again)
        assert not np.array_equal(many, source(6, 2, 4))
    assert np.array_equal(cells(3, 1)(5, 2, 4), cells(3, 1)(5, 2, 4))
    assert not np.array_equal(cells(3, 1)(5, 2, 4), cells(3, 2)(5, 2, 4))
