"""Adapter for jaymody/speculative-sampling: ``speculative_sampling`` of `main.py`, with table models of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.registry import Adapter, Whole
from specmath.oracle.adapters.signatures import bind

VERSIONS = "commit 03b4759"
HOME = "https://github.com/jaymody/speculative-sampling"
TARGET = np.array([[0.5, 0.5, 0.0], [0.125, 0.5, 0.375], [0.25, 0.25, 0.5]])
DRAFT = np.array([[0.25, 0.5, 0.25], [0.25, 0.25, 0.5], [0.0, 0.75, 0.25]])
"""(V, V): the next-token law after each token."""
LENGTH, DRAFTED = 3, 2


class _Bar:
    """A progress bar that shows nothing."""

    def __init__(self, **unused: Any) -> None:
        pass

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *unused: Any) -> None:
        pass

    def update(self, amount: int) -> None:
        pass


def speculative_sampling(source: Path | None) -> Whole:
    """Whole texts by ``speculative_sampling(x, draft_model, target_model, N, K)``, what exceeds N tokens cut off.

    `Missing` says what is absent.
    """
    files = sources.find("jaymody", "main", source)
    sources.need(files, "main", "speculative_sampling", "max_fn", "sample")
    module = stubs.load(files, "main", given={"tqdm": {"tqdm": _Bar}}, stubbed=("gpt2", "utils"))
    decode = bind(stubs.function(module, "speculative_sampling"), ("x", "draft_model", "target_model", "N", "K"))

    def generate(prompt: tuple[int, ...], n_tokens: int) -> Any:
        found = decode(
            x=np.array(prompt),
            draft_model=lambda x: DRAFT[np.asarray(x, dtype=np.int64)],
            target_model=lambda x: TARGET[np.asarray(x, dtype=np.int64)],
            N=n_tokens,
            K=DRAFTED,
        )
        return [int(token) for token in found[len(prompt) : len(prompt) + n_tokens]]

    return Whole(
        generate, lambda text: TARGET[text[-1]], prompts=((0,),), length=LENGTH, draft=lambda text: DRAFT[text[-1]]
    )


ADAPTERS = (
    Adapter(
        name="jaymody.speculative_sampling",
        package="jaymody",
        versions=VERSIONS,
        home=HOME,
        family="ratio",
        kind="generate",
        load=speculative_sampling,
        place="main.py: speculative_sampling",
        randomness="global numpy",
        arrays="numpy",
        dtype="float64",
        note="models are tables of three tokens; what exceeds the tokens asked for is cut off",
    ),
)
