"""Adapter for EAGLE's repository: ``evaluate_posterior`` of `eagle/model/utils.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.paths import paths
from specmath.oracle.adapters.registry import Adapter
from specmath.oracle.adapters.signatures import bind

VERSIONS = "commit cb7e084"
HOME = "https://github.com/SafeAILab/EAGLE"
MODULE = "eagle.model.utils"
FILE = "eagle/model/utils.py"


def posterior(source: Path | None) -> Callable[..., Any]:
    """``f(target (N+1, V), draft, tokens (N,), parents (N,)) -> emitted`` around ``evaluate_posterior``.

    The next token is drawn from the law it returns by `torch.multinomial`, as its caller does; no logits processor
    changes the logits. `Missing` says what is absent.
    """
    files = sources.find("eagle", "eagle", source)
    sources.need(files, MODULE, "evaluate_posterior")
    module = stubs.load(files, MODULE, stubbed=("transformers",))
    evaluate = bind(stubs.function(module, "evaluate_posterior"), ("logits", "candidates", "logits_processor"))

    def verify(target: Any, draft: Any, tokens: Any, parents: Any) -> Any:
        import torch

        tree = paths(parents)
        candidates = tree.candidates(tokens)
        best, length, law = evaluate(
            logits=tree.rows(target.log()), candidates=candidates, logits_processor=lambda _, logits: logits
        )
        accepted = candidates[int(best), 1 : int(length) + 1].tolist()
        return [*accepted, torch.multinomial(law, 1)]

    return verify


ADAPTERS = (
    Adapter(
        name="eagle.evaluate_posterior",
        package="eagle",
        versions=VERSIONS,
        home=HOME,
        family="target_only",
        kind="tree",
        drafts="top_k",
        load=posterior,
        place=f"{FILE}: evaluate_posterior",
        randomness="python random, global torch",
        expected="unsafe",
        note="tests the target's probability alone (q = 1): lossless for any drafts, as EAGLE's top-k trees are",
    ),
)
