"""Adapters for Medusa's repository: ``evaluate_posterior`` of `medusa/model/utils.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.paths import paths
from specmath.oracle.adapters.registry import Adapter
from specmath.oracle.adapters.signatures import bind
from specmath.oracle.audit import Lossy

VERSIONS = "commit e2a5d20"
MODULE = "medusa.model.utils"
FILE = "medusa/model/utils.py"
KNOWN = ("logits", "candidates", "temperature", "posterior_threshold", "posterior_alpha", "top_p", "sampling", "fast")
THRESHOLD, ALPHA, SMALL = 0.3, 0.09, 1e-5
"""``posterior_threshold``, ``posterior_alpha`` and the constant inside the logarithm, as the repository has them."""


def evaluator(source: Path | None, **options: Any) -> Callable[..., Any]:
    """``evaluate_posterior(logits, candidates)`` with these options. `Missing` says what is absent."""
    files = sources.find("medusa", "medusa", source)
    sources.need(files, MODULE, "evaluate_posterior", "get_nucleus_posterior_mask")
    module = stubs.load(files, MODULE)
    evaluate = bind(stubs.function(module, "evaluate_posterior"), KNOWN)
    return lambda logits, candidates: evaluate(logits=logits, candidates=candidates, temperature=1.0, **options)


def nucleus(source: Path | None) -> Callable[..., Any]:
    """``f(target (V,), draft (V,), tokens (n,)) -> token`` for one node, sampling "nucleus" with ``top_p`` 1.

    Each candidate is a path of its own, as Medusa has them. Where none is accepted the token is drawn from the target
    again, by `torch.multinomial`: Medusa's ``get_nucleus_one_token`` with ``top_p`` 1.
    """
    evaluate = evaluator(source, sampling="nucleus", top_p=1.0)

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        import torch

        tree = paths([-1] * len(tokens))
        laws = tree.rows(target.expand(len(tokens) + 1, -1))  # (n, 2, V)
        best, length = (int(number) for number in evaluate(laws.log(), tree.candidates(tokens)))
        return tokens[best] if length else torch.multinomial(target, 1)

    return verify


def typical(source: Path | None) -> Callable[..., Any]:
    """``f(target (K+1, V), draft (K, V), tokens (K,)) -> emitted``, sampling "typical", ``fast`` as by default.

    The next token after a rejection is drawn from the target by `torch.multinomial`; Medusa's own caller takes the
    argmax there when ``fast`` is set.
    """
    evaluate = evaluator(source, sampling="typical")

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
        family="lossy",
        kind="chain",
        load=typical,
        place=f"{FILE}: evaluate_posterior, sampling typical",
        randomness="none; the next token global torch",
        declared=Lossy("typical acceptance", typical_law),
        expected="lossy-as-declared",
        note="a chain of sampled drafts; the tree takes the longest accepted path, which no law of one row describes",
    ),
    Adapter(
        name="medusa.nucleus",
        package="medusa",
        versions=VERSIONS,
        family="sampler_match",
        kind="node",
        load=nucleus,
        place=f"{FILE}: evaluate_posterior, sampling nucleus, top_p 1",
        randomness="global torch",
        n=2,
        expected="biased",
        note="every candidate row has a draw from the target of its own, and the token after a mismatch is drawn again",
    ),
)
