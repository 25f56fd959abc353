"""Adapters for MCSD's repository: the acceptance checks of `MCSD/inference/strategies.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.registry import Adapter, Family
from specmath.oracle.adapters.signatures import bind

VERSIONS = "commit 8aadd65"
HOME = "https://github.com/NJUNLP/MCSD"
MODULE = "MCSD.inference.strategies"
FILE = "MCSD/inference/strategies.py"


def check(source: Path | None, *, name: str) -> Callable[..., Any]:
    """``f(target (V,), draft (V,), tokens (n,)) -> (token, index)`` around one of the acceptance checks.

    A check returns the index of the accepted candidate, or changes the target's law in place into that of the token
    after a rejection; it is handed copies, as its caller may not use the laws again. `Missing` says what is absent.
    """
    files = sources.find("mcsd", "MCSD", source)
    sources.need(files, MODULE, name)
    module = stubs.load(files, MODULE, stubbed=("transformers",))
    accept = bind(stubs.function(module, name), ("ground_probs", "cand_probs", "cand_tokens"))

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        import torch

        left = target.clone()
        found = accept(ground_probs=left, cand_probs=draft.clone(), cand_tokens=tokens)
        if found is not None:
            return tokens[found], found
        return torch.multinomial(left, 1), -1

    return verify


def _adapter(name: str, function: str, family: Family, drafts: str, expected: str) -> Adapter:
    return Adapter(
        name=f"mcsd.{name}",
        package="mcsd",
        versions=VERSIONS,
        home=HOME,
        family=family,
        kind="node",
        drafts=drafts,
        load=lambda source: check(source, name=function),
        place=f"{FILE}: {function}",
        randomness="global torch",
        expected=expected,
    )


ADAPTERS = (
    _adapter("with_replacement", "_MCSSwReplacement", "ratio", "iid", "unsafe"),
    _adapter("without_replacement", "_MCSSwoReplacement", "ratio", "without_replacement", "unsafe"),
    _adapter("naive", "_MCNS", "sampler_match", "iid", "lossless"),
)
