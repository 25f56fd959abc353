"""Adapters for Sequoia's repository: ``SpecTree.accept_step`` of `Tree/SpecTree.py`, without the engines around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.place import Missing
from specmath.oracle.adapters.registry import Adapter
from specmath.oracle.adapters.signatures import bind

VERSIONS = "commit 0ff3ff7"
HOME = "https://github.com/Infini-AI-Lab/Sequoia"
MODULE, UTILS = "Tree.SpecTree", "utils"
FILE = "Tree/SpecTree.py"
NO_TOKEN = "where target and draft agree up to rounding, a rejection leaves no residual and no token"


def accept_step(source: Path | None, *, half: bool) -> Callable[..., Any]:
    """``f(target (V,), draft (V,), tokens (n,)) -> (token, index)`` around ``accept_step`` for one node.

    The uniforms are `torch.rand` in the tree's dtype, which is float16 with ``half``, as Sequoia has it, else float32.
    The residual is that of its `utils.get_residual`; the token after a rejection is drawn by `multinomial`, as in its
    ``verify``. `Missing` says what is absent.
    """
    files = sources.find("sequoia", "Tree", source)
    sources.need(files, UTILS, "get_residual")
    sources.need(files, MODULE, "SpecTree")
    tree, utils = stubs.load_all(files, (MODULE, UTILS, "Tree.Tree"), stubbed=("Engine",))[:2]
    step: Any = getattr(tree.SpecTree, "accept_step", None)
    if step is None:
        raise Missing(f"{tree.__file__}: SpecTree has no accept_step, in this version")
    step = bind(step, ("self", "parent_id"))
    residual = stubs.function(utils, "get_residual")

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        import torch

        dtype = torch.float16 if half else torch.float32
        n = len(tokens)
        # A text of one token, the root; candidate i has position i + 1.
        state = SimpleNamespace(
            ground_truth_len=1,
            target_logits=target.to(dtype)[None],  # probabilities by the time of this call
            draft_logits=draft.to(dtype).log()[None],
            Successors=[list(range(1, n + 1))],
            tokens=torch.cat([torch.zeros(1, dtype=torch.int64), tokens]),
            temperature=1.0,
            r=torch.rand(n + 1, dtype=dtype),
            residual_graph=residual,
            dtype=dtype,
        )
        place, left = step(state, parent_id=0)
        if place != -1:
            return tokens[place - 1], place - 1
        if torch.isnan(left).any():
            raise RuntimeError("no residual: Sequoia ends the text here, without a token")
        return left.multinomial(num_samples=1, replacement=True), -1

    return verify


def _adapter(name: str, half: bool, expected: str, note: str) -> Adapter:
    return Adapter(
        name=f"sequoia.{name}",
        package="sequoia",
        versions=VERSIONS,
        home=HOME,
        family="ratio",
        kind="node",
        drafts="without_replacement",
        dtype="float16" if half else "float32",
        load=lambda source: accept_step(source, half=half),
        place=f"{FILE}: SpecTree.accept_step",
        randomness="global torch, drawn before the step",
        expected=expected,
        note=note,
    )


ADAPTERS = (
    _adapter("accept_step", False, "unsafe", f"the step in float32; {NO_TOKEN}"),
    _adapter(
        "accept_step_half", True, "failed", f"laws and uniforms in float16, as Sequoia's trees have them; {NO_TOKEN}"
    ),
)
