"""Checks of one verification step's input, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from specmath import draft_laws
from specmath.arrays import TOLERANCE, Array, check_law, dtype_name, on_host, one_library, to_numpy


def check_step(
    layout: str,
    count: Callable[[int], int],
    sizes: tuple[int, int | None],
    target: Array,
    draft: Array,
    tokens: Array,
    uniforms: Array,
    parents: Array | None,
    *,
    values: bool,
) -> None:
    """Shapes and dtypes always; values where they lie on the host and ``values`` is set. Raises ValueError."""
    one_library(target=target, draft=draft, tokens=tokens, uniforms=uniforms)
    for name, array in (("target", target), ("draft", draft), ("uniforms", uniforms)):
        if dtype_name(array) not in TOLERANCE:
            raise ValueError(
                f"{name}: dtype {dtype_name(array)}; allowed are float64 and float32 (widen before the softmax)"
            )
    if not dtype_name(tokens).startswith(("int", "uint")):
        raise ValueError(f"tokens: dtype {dtype_name(tokens)}; allowed are integers")
    axes = 1 if layout == "node" else 2
    if target.ndim < axes or draft.ndim < axes or tokens.ndim < 1:
        raise ValueError(f"{layout} rules take target and draft of {axes} or more axes and tokens of one or more")
    n, size = tokens.shape[-1], target.shape[-1]
    if n < sizes[0] or (sizes[1] is not None and n > sizes[1]):
        raise ValueError(f"tokens: {n} drafts; this rule allows n = {allowed(*sizes)}")
    want_target = (size,) if layout == "node" else (n + 1, size)
    want_draft = (size,) if layout == "node" else (n, size)
    for name, array, want in (
        ("target", target, want_target),
        ("draft", draft, want_draft),
        ("uniforms", uniforms, (count(n),)),
    ):
        if tuple(array.shape[-len(want) :]) != want:
            raise ValueError(f"{name}: shape {tuple(array.shape)}; its last axes must be {want} for {n} drafted tokens")
    batch = tuple(tokens.shape[:-1])
    for name, array, own in (("target", target, axes), ("draft", draft, axes), ("uniforms", uniforms, 1)):
        if tuple(array.shape[: array.ndim - own]) != batch:
            raise ValueError(
                f"{name}: batch axes {tuple(array.shape[: array.ndim - own])} differ from those of tokens, {batch}"
            )
    if layout != "tree" and parents is not None:
        raise ValueError(f"parents: a {layout} rule takes none")
    if layout == "tree":
        _check_parents(parents, n, batch)
    if values and all(on_host(array) for array in (target, draft, tokens, uniforms)):
        _check_values(layout, target, draft, tokens, uniforms)
        if layout == "tree" and parents is not None and on_host(parents):
            _check_siblings(to_numpy(draft), to_numpy(parents), TOLERANCE[dtype_name(draft)])


def check_drafted(drafts: tuple[str, ...], draft: Array, tokens: Array) -> None:
    """ValueError unless one of the draft laws can have drawn the tokens (..., n), where both lie on the host."""
    if not (on_host(draft) and on_host(tokens)):
        return
    law, drawn = to_numpy(draft), to_numpy(tokens).astype(np.int64)
    fits = np.any([draft_laws.get(name).possible(law, drawn) for name in drafts], axis=0)
    if not fits.all():
        where = tuple(int(i) for i in np.argwhere(~fits)[0])
        names = " or ".join(map(repr, drafts))
        raise ValueError(f"tokens: {drawn[where].tolist()} at {list(where)} cannot be drafted by drafts={names}")


def check_children(drafts: str, draft: Array, tokens: Array, parents: Array | None) -> None:
    """ValueError unless the draft law can have drawn the children of every node, where all arrays lie on the host.

    draft (..., N, V), tokens (..., N), parents (N,) or (..., N) as in `Rule.verify`.
    """
    if parents is None or not all(on_host(array) for array in (draft, tokens, parents)):
        return
    law, drawn = draft_laws.get(drafts), to_numpy(tokens).astype(np.int64)
    laws, above = to_numpy(draft), to_numpy(parents)
    shared = above.ndim == 1  # then all trees have one shape, and a node is looked at in all of them at once
    for place in [()] if shared else list(np.ndindex(above.shape[:-1])):
        for parent in np.unique(above[place]):
            children = np.flatnonzero(above[place] == parent)
            fits = np.asarray(law.possible(laws[(*place, ..., children[0], slice(None))], drawn[place][..., children]))
            if not fits.all():
                where = (*place, *(int(i) for i in np.argwhere(~fits)[0]))
                node = "the root" if parent < 0 else f"drafted token {parent}"
                at = f" at {list(where)}" if where else ""
                raise ValueError(
                    f"tokens: {drawn[where][children].tolist()}, the children of {node}{at}, cannot be drafted by "
                    f"drafts={drafts!r}"
                )


def allowed(least: int, most: int | None) -> str:
    """A range of counts in words.

    >>> allowed(1, None), allowed(1, 1), allowed(2, 5)
    ('1 or more', '1', '2 to 5')
    """
    return f"{least} or more" if most is None else str(least) if least == most else f"{least} to {most}"


def _check_parents(parents: Array | None, n: int, batch: tuple[int, ...]) -> None:
    if parents is None or parents.ndim < 1 or parents.shape[-1] != n:
        raise ValueError(f"parents: a tree rule needs {n} parent indices, one per drafted token")
    if not dtype_name(parents).startswith("int"):
        raise ValueError(f"parents: dtype {dtype_name(parents)}; allowed are signed integers")
    leading = tuple(parents.shape[:-1])
    if leading not in ((), batch):
        raise ValueError(f"parents: batch axes {leading}; allowed are none, or those of tokens, {batch}")
    if on_host(parents):
        host = to_numpy(parents)
        if ((host < -1) | (host >= np.arange(n))).any():
            raise ValueError(
                f"parents: {host.tolist()}; allowed are -1 (root) or the index of an earlier drafted token"
            )


def _check_values(layout: str, target: Array, draft: Array, tokens: Array, uniforms: Array) -> None:
    check_law("target", target)
    check_law("draft", draft)
    drawn, coins, laws = to_numpy(tokens), to_numpy(uniforms), to_numpy(draft)
    if ((drawn < 0) | (drawn >= laws.shape[-1])).any():
        raise ValueError(f"tokens: values from {drawn.min()} to {drawn.max()}; allowed are 0 to {laws.shape[-1] - 1}")
    if not ((coins >= 0) & (coins < 1)).all():
        raise ValueError("uniforms: a value lies outside [0, 1)")
    rows = laws[..., None, :] if layout == "node" else laws
    never = np.take_along_axis(np.broadcast_to(rows, (*drawn.shape, laws.shape[-1])), drawn[..., None], axis=-1) <= 0
    if never.any():
        where = tuple(int(i) for i in np.argwhere(never[..., 0])[0])
        raise ValueError(
            f"tokens: token {drawn[where]} at {list(where)} has draft probability 0; "
            "the declared draft law must be the one that was sampled from"
        )


def _check_siblings(laws: np.ndarray, parents: np.ndarray, tolerance: float) -> None:
    """All children of a node share one draft law: the one before any of them was drawn."""
    parents = np.broadcast_to(parents, laws.shape[:-1])
    for later in range(1, laws.shape[-2]):
        for earlier in range(later):
            siblings = parents[..., later] == parents[..., earlier]
            apart = np.abs(laws[..., later, :] - laws[..., earlier, :]).max(axis=-1) > tolerance
            if (siblings & apart).any():
                raise ValueError(
                    f"draft: rows {earlier} and {later} belong to children of one node and differ; allowed is one law "
                    "for all of them, as it was before any was drawn"
                )
