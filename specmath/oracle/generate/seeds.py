"""Whole generate calls under real seeds: the same ones must give the same texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specmath.oracle.audit import SEEDS
from specmath.oracle.kinds import reseed, shown
from specmath.oracle.prompted import Text
from specmath.oracle.reach import Held, RealState, Seeds
from specmath.oracle.run import entries


def differs(generate: Callable[..., Any], prompt: Text, length: int, held: Held) -> str:
    """What a call gave twice under the same seeds, where it gave two different things; empty where it never did.

    Then something that draws is not intercepted. Generators that the function holds are seeded too, and settings of
    models are put back, so that neither is taken for it.
    """
    with RealState(), Seeds(generate) as seeds:

        def text(seed: int) -> str:
            held.restart()
            reseed(seed)
            seeds.seed(seed)
            try:
                return shown(entries(generate(prompt, length)))
            except (Exception, SystemExit) as error:
                return f"{type(error).__name__}: {shown(str(error))}"

        text(0)  # the first call may fill caches
        for seed in range(SEEDS):
            one, other = text(seed), text(seed)
            if one != other:
                return f"{one} and then {other}"
    return ""
