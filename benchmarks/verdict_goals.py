"""Audits that the package promises a time for, on one core."""

from __future__ import annotations

import random
import time
from fractions import Fraction
from typing import Any

from proofs_tests.oracle.corpus.correct.torch_chain import loop_with_item
from specmath import oracle
from specmath.oracle.adapters.registry import audit_adapter
from specmath.oracle.instance import table

PAIRS, TOKENS, DRAFT_LENGTH = 20, 4, 3
NEW = 4
"""Tokens that a whole generate call is asked for."""


def pairs(seed: int = 0) -> tuple[oracle.Instance, ...]:
    """Chains of three drafts over four tokens; three rows each of target and draft, of small whole weights.

    Every draft is possible, so that none is left out; the target has zeros.
    """
    draws = random.Random(seed)

    def rows(least: int) -> tuple[tuple[Fraction, ...], ...]:
        made = []
        while len(made) < 3:
            weights = [draws.choice((least, 1, 2, 3, 5, 8)) for _ in range(TOKENS)]
            if any(weights):
                made.append(tuple(Fraction(weight, sum(weights)) for weight in weights))
        return tuple(made)

    depth = DRAFT_LENGTH + 1
    return tuple(
        oracle.Instance(
            f"pair {number}", "chain", table(rows(0), TOKENS, depth), table(rows(1), TOKENS, depth),
            tuple(range(-1, DRAFT_LENGTH - 1)),
        )
        for number in range(PAIRS)
    )  # fmt: skip


def transformers_chain(target: Any, draft: Any, tokens: Any) -> Any:
    """transformers' `_speculative_sampling`, unmodified, on the logs of the laws."""
    from transformers.generation.utils import _speculative_sampling

    emitted, _ = _speculative_sampling(
        candidate_input_ids=tokens[None],
        candidate_logits=draft.log()[None],
        candidate_length=len(tokens),
        new_logits=target.log()[None],
    )
    return emitted[0]


def goals() -> dict[str, dict[str, Any]]:
    """Seconds (CPU, one thread) and verdict of each."""
    about = f"{PAIRS} pairs of laws, {TOKENS} tokens, {DRAFT_LENGTH} drafts, all of them"
    found = {"chain, plain torch": _timed(loop_with_item, about + "; goal 5 s")}
    try:
        import transformers
    except ImportError:
        return found
    version = f"transformers {transformers.__version__}"
    found["chain, transformers"] = _timed(transformers_chain, f"{about}; goal 20 s; {version}")
    begun = time.process_time()
    verdict = audit_adapter("transformers.assisted", length=NEW, minimise=False)
    found["generate, transformers with an assistant"] = {
        "seconds": round(time.process_time() - begun, 3),
        "status": verdict.status,
        "runs": verdict.runs,
        "about": f"the ready adapter, {NEW} new tokens, import and models included; goal 180 s; {version}",
    }
    return found


def _timed(function: Any, about: str) -> dict[str, Any]:
    chains = pairs()
    oracle.audit(function, kind="chain", arrays="torch", instances=chains[:1], minimise=False)  # imports
    begun = time.process_time()
    verdict = oracle.audit(function, kind="chain", arrays="torch", instances=chains, minimise=False)
    seconds = time.process_time() - begun
    return {"seconds": round(seconds, 3), "status": verdict.status, "runs": verdict.runs, "about": about}
