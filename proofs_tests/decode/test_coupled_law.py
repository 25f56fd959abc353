"""The exact law of coupled text over two tokens: the exponential race has a single number there.

Gumbel noise G_v = -log E_v with E_v exponential: token 0 is chosen if E_0 / p_0 < E_1 / p_1, that is, if
x = E_0 / (E_0 + E_1) < p_0; and x is uniform. So two laws that share their noise, target and draft, choose by one
uniform: the same number split by both, which is what `Coins` does with Fractions.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from proofs_tests.decode.coins import Coins, by_round
from proofs_tests.decode.exact_law import rational, text_bias
from proofs_tests.decode.harness import table
from proofs_tests.decode.test_coupled import ByRound, BySlot
from proofs_tests.decode.zoo import COUPLED
from reference import decode, drafters
from reference.decode import judge
from reference.models.table import TableModel
from reference.random import Keyed, Stream
from specmath import exact

PROMPT, LENGTH = (1, 0, 1, 0), 4
TWO = table(2, 2, floor=1), table(9, 2, floor=1)


def coupled_bias(target: TableModel, drafter, *, key=by_round, patches=(), truth=None):
    """Total variation between the text's law and the target's."""

    def run(chance):
        coins = Coins(chance, key)

        def scores(logits, laws, temperature, noise, positions):
            rows = np.full(laws.shape, -np.inf)
            for row, law, position in zip(rows, laws, positions, strict=True):
                row[law > 0] = 0.0
                row[coins.token(rational(law), coins.tags(position, Stream.COUPLED, 1)[0])] = 1.0
            return rows

        options = decode.Options(max_tokens=LENGTH)
        with mock.patch.object(judge, "scores", scores):
            return decode.collect(decode.stream(target, PROMPT, drafter=drafter, options=options)).tokens

    for patch in patches:
        patch.start()
    try:
        law = exact.law(run, budget=20_000)
    finally:
        for patch in patches:
            patch.stop()
    return text_bias(law, truth or target, PROMPT, LENGTH, frozenset())


LOOKING = ["chain", "confident chain", "patient chain", "tree", "uneven tree", "paths", "best first", "lookup"]


@pytest.mark.parametrize("kind", [None, *LOOKING])
def test_coupled_text_has_the_targets_law(kind):
    for target, draft in (TWO, (table(5, 2), table(11, 2)), (TWO[0], TWO[0])):
        assert coupled_bias(target, kind and COUPLED[kind](draft)) == 0


def test_one_number_stands_for_the_noise_of_two_tokens():
    """The premise: with the real noise, token 0 is chosen if and only if x < p_0."""
    from reference.gumbel import Noise, scores

    noise = Noise(Keyed(3, 0), 2)
    law = np.array([[0.3, 0.7]])
    for place in range(2000):
        race = np.exp(-noise.row(place))
        chosen = int(np.argmax(scores(np.log(law), law, 1.0, noise, [place])[0]))
        assert chosen == int(race[0] / race.sum() >= 0.3)


def shared_by_two(position, stream, index):
    """The planted defect: neighbouring places have one noise."""
    return position // 2, stream, index


def test_noise_that_two_places_share_is_caught():
    """Every decoder emits the same text with it, and it is the wrong one."""
    for drafter in (None, drafters.chain(TWO[1], 3)):
        assert coupled_bias(TWO[0], drafter, key=shared_by_two) > 0


@pytest.mark.parametrize("wrong", [BySlot, ByRound])
def test_noise_of_the_slot_or_of_the_round_is_caught(wrong):
    patches = [mock.patch.object(judge, "Coupled", wrong)]
    assert coupled_bias(TWO[0], COUPLED["tree"](TWO[1]), patches=patches) > 0
