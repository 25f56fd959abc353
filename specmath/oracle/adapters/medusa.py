"""Adapters for Medusa's repository: ``evaluate_posterior`` of `medusa/model/utils.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.registry import Adapter
from specmath.oracle.adapters.signatures import bind
from specmath.oracle.audit import Lossy

VERSIONS = "commit e2a5d20"
HOME = "https://github.com/FasterDecoding/Medusa"
MODULE = "medusa.model.utils"
FILE = "medusa/model/utils.py"
KNOWN = ("logits", "candidates", "temperature", "posterior_threshold", "posterior_alpha", "top_p", "sampling", "fast")
THRESHOLD, ALPHA, SMALL = 0.3, 0.09, 1e-5
"""``posterior_threshold``, ``posterior_alpha`` and the constant inside the logarithm, as the repository has them."""


def _evaluator(module: Any, **options: Any) -> Callable[..., Any]:
    """``evaluate_posterior(logits, candidates)`` with these options."""
    evaluate = bind(stubs.function(module, "evaluate_posterior"), KNOWN)
    return lambda logits, candidates: evaluate(logits=logits, candidates=candidates, temperature=1.0, **options)


def nucleus(source: Path | None) -> Callable[..., Any]:
    """``f(target (K+1, V), draft (K, V), tokens (K,)) -> emitted``, sampling "nucleus" with ``top_p`` 1, ``fast`` off.

    The next token is drawn by Medusa's ``get_nucleus_one_token``, as its ``generate_candidates`` draws it.
    """
    files = sources.find("medusa", "medusa", source)
    sources.need(files, MODULE, "get_nucleus_one_token")
    module = stubs.load(files, MODULE)
    evaluate = _evaluator(module, sampling="nucleus", top_p=1.0, fast=False)
    one = bind(stubs.function(module, "get_nucleus_one_token"), ("logit", "temperature", "top_p"))

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        import torch

        candidates = torch.cat([torch.zeros(1, dtype=torch.int64), tokens.long()])[None]
        length = int(evaluate(target.log()[None], candidates)[1])
        return [*tokens[:length].tolist(), one(logit=target[length].log()[None], temperature=1.0, top_p=1.0)[0]]

    return verify


def nucleus_law(target: Any, draft: Any) -> list[float]:
    """What one drafted token, matched with a draw from the target, emits if a mismatch is followed by another draw.

    ``r(x) = q(x) p(x) + p(x) sum_y q(y) (1 - p(y))`` for target p and draft q. Source: own derivation from the code.
    """
    p, q = [float(x) for x in target], [float(x) for x in draft]
    missed = math.fsum(y * (1 - x) for x, y in zip(p, q, strict=True))
    return [x * (y + missed) for x, y in zip(p, q, strict=True)]


def typical(source: Path | None) -> Callable[..., Any]:
    """``f(target (K+1, V), draft (K, V), tokens (K,)) -> emitted``, sampling "typical", ``fast`` as by default.

    The next token after a rejection is drawn from the target by `torch.multinomial`; Medusa's own caller takes the
    likeliest there when ``fast`` is set.
    """
    files = sources.find("medusa", "medusa", source)
    sources.need(files, MODULE, "evaluate_posterior", "get_nucleus_posterior_mask")
    evaluate = _evaluator(stubs.load(files, MODULE), sampling="typical")

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        import torch

        candidates = torch.cat([torch.zeros(1, dtype=torch.int64), tokens.long()])[None]
        _, length = evaluate(target.log()[None], candidates)
        return [*tokens[: int(length)].tolist(), torch.multinomial(target[int(length)], 1)]

    return verify


def typical_law(target: Any, draft: Any) -> list[float]:
    """What the typical acceptance of one drafted token emits.

    ``r(x) = q(x) a(x) + p(x) sum_y q(y) (1 - a(y))`` with ``a(x) = [p(x) > min(0.3, 0.09 exp(-H))]`` and ``H = -sum p
    log(p + 1e-5)``, for target p and draft q. Source: cai2024medusa, Section 3.3.1.
    """
    p, q = [float(x) for x in target], [float(x) for x in draft]
    entropy = -math.fsum(x * math.log(x + SMALL) for x in p)
    threshold = min(THRESHOLD, math.exp(-entropy) * ALPHA)
    accepted = [x > threshold for x in p]
    missed = math.fsum(x for x, taken in zip(q, accepted, strict=True) if not taken)
    return [y * taken + x * missed for x, y, taken in zip(p, q, accepted, strict=True)]


ADAPTERS = (
    Adapter(
        name="medusa.typical",
        package="medusa",
        versions=VERSIONS,
        home=HOME,
        family="lossy",
        kind="chain",
        load=typical,
        place=f"{FILE}: evaluate_posterior, sampling typical",
        randomness="none; the next token global torch",
        declared=Lossy("typical acceptance", typical_law),
        expected="lossy-as-declared",
        note="a chain of sampled drafts, and a token drawn from the target where they end (Medusa's default takes the "
        "likeliest); the tree takes the longest accepted path, which no law of one row describes",
    ),
    Adapter(
        name="medusa.nucleus",
        package="medusa",
        versions=VERSIONS,
        home=HOME,
        family="lossy",
        kind="chain",
        load=nucleus,
        place=f"{FILE}: evaluate_posterior, sampling nucleus, top_p 1",
        randomness="global torch",
        declared=Lossy("match, else draw again", nucleus_law),
        expected="lossy-as-declared",
        note="a chain of sampled drafts; Medusa says that it relaxes the target's law, and which law follows is read "
        "off the code: a mismatch is followed by another draw. In a tree every path has draws of its own",
    ),
)
