"""What exactness costs, and what limits a decoder: bytes and arithmetic, the library's calls, drafts, the host.

A call of the target takes at least the time in which its weights can be read and its products be made. Both are
measured here with the same library on the same core: a product too large for any cache gives the bandwidth, square
products the arithmetic, and all products of one call in their order, nothing between them, give the floor that the
decoder could reach. What is left is elementwise work and the price of asking for an operation at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks import arithmetic as calls
from benchmarks import decode_texts as texts
from benchmarks.decode_players import Counted, Job, Models, Play, Played, ours
from benchmarks.decode_speed import DRAFTING, PLAIN, Sizes
from benchmarks.decode_turns import ratio, take_turns
from reference import pair
from reference.models.tiny import TinyModel
from reference.numerics import ARITHMETICS, PreparedLlama

CALLS = 4  # of the same kind in a turn, as a decoder makes them
READ = (1, 4, 8)
"""Tokens of a call: autoregressive, a chain of three, a tree or a batch."""


def exactness(sizes: Sizes) -> dict[str, Any]:
    """Time of exact arithmetic over that of native: in a call on T tokens and in autoregressive decoding, for the pair
    and for 6 layers of 512 with random weights; and how far each arithmetic is from float32."""
    quick = sizes.quickly
    generator = torch.Generator().manual_seed(1)
    models = {"pair": (pair.load().target.network, calls.held_out(1 if quick else 16, 32 if quick else 256))}
    if not quick:
        models["wide"] = calls.wide(), torch.randint(8192, (2, 256), generator=generator)
    found: dict[str, Any] = {}
    for label, (network, windows) in models.items():
        text = windows[:1].repeat(1, 7)[:, : calls.PREFIX + max(READ)]
        players: dict[str, Play] = {}
        for name, step in calls.steps(network, text).items():
            for new in READ:
                players[f"{name}, call on {new}"] = _stepping(step, new)
        for name in ARITHMETICS:
            target = Counted(TinyModel(network, name))
            players[f"{name}, {PLAIN}"] = ours(target, None, "greedy", 2 if quick else 24)
        jobs = texts.shipped(0, 2) if label == "pair" else [Job(tuple(windows[0, :32].tolist()), 0)]
        turns = take_turns(f"exactness, {label}", players, {key: [jobs] for key in players}, 1 if quick else 9)
        kinds = [*(f"call on {new}" for new in READ), PLAIN]
        found[label] = {
            "cost": {
                name: {kind: ratio(turns, f"native, {kind}", f"{name}, {kind}").as_json() for kind in kinds}
                for name in ("exact64", "int8")
            },
            "against float32": calls.distances(network, windows),
        }
    return found


def _stepping(step: Callable[[int], object], new: int) -> Play:
    def play(jobs: Sequence[Job]) -> Played:
        for _ in range(CALLS):
            step(new)
        return Played(tuple((0,) * CALLS for _ in range(1)), CALLS)

    return play


def least(action: Callable[[], object], repetitions: int, times: int = 1) -> float:
    """Smallest processor time of an action, in seconds: other programs only ever add."""
    found = float("inf")
    for _ in range(repetitions):
        begun = time.thread_time()
        for _ in range(times):
            action()
        found = min(found, (time.thread_time() - begun) / times)
    return found


def products(prepared: PreparedLlama) -> list[torch.Tensor]:
    """The matrices of a call in their order, as the arithmetic multiplies them."""
    layers = [(layer.into, layer.out, layer.gate_up, layer.down) for layer in prepared.layers]
    return [weight.matrix for layer in layers for weight in layer] + [prepared.head.matrix]


def _multiply(matrices: Sequence[torch.Tensor], rows: int) -> Callable[[], None]:
    inputs = {matrix.shape[1]: torch.ones(rows, matrix.shape[1], dtype=matrix.dtype) for matrix in matrices}

    def act() -> None:
        for matrix in matrices:
            x = inputs[matrix.shape[1]]
            if matrix.dtype == torch.int8:
                torch._int_mm(x, matrix.t())  # pyright: ignore[reportPrivateImportUsage]
            else:
                F.linear(x, matrix)

    return act


def roofline(sizes: Sizes) -> dict[str, Any]:
    """One thread. Bandwidth in GB/s, arithmetic in G operations/s (a product and a sum are two), times in ms."""
    repetitions, size = (1, 64) if sizes.quickly else (15, 1024)
    one = torch.ones(1)
    found: dict[str, Any] = {"library call (us)": _short(1e6 * least(lambda: one.add_(1.0), repetitions, 200))}
    for name, kind in (("exact64", torch.float64), ("int8", torch.int8), ("native", torch.float32)):
        prepared = pair.load(arithmetic=name).target.prepared
        matrices = products(prepared)
        kind = matrices[0].dtype if name == "int8" else kind
        step = calls.steps(pair.load().target.network, calls.held_out(1, calls.PREFIX + max(READ)), [name])[name]
        wide = torch.ones(4 * size, 4096, dtype=kind)
        read = least(_multiply([wide], 1), repetitions)
        square = torch.ones(size, size, dtype=kind)
        arithmetic = 2 * size**3 / least(_multiply([square], size), repetitions) / 1e9
        weights = sum(matrix.nbytes for matrix in matrices)
        row: dict[str, Any] = {
            "bytes of weights (MB)": _short(weights / 1e6),
            "bandwidth (GB/s)": _short(wide.nbytes / read / 1e9),
            "arithmetic (G/s)": _short(arithmetic),
        }
        for new in READ:
            operations = 2 * new * sum(matrix.numel() for matrix in matrices)
            count, share = _library_calls(step, new, 1 if sizes.quickly else CALLS)
            row[f"call on {new}"] = {
                "reading the weights (ms)": _short(1e3 * weights / (wide.nbytes / read)),
                "arithmetic (ms)": _short(1e3 * operations / (arithmetic * 1e9)),
                "products alone (ms)": _short(1e3 * least(_multiply(matrices, new), repetitions)),
                "whole call (ms)": _short(1e3 * least(lambda new=new, step=step: step(new), repetitions)),
                "library calls": count,
                "share of products": _short(share),
            }
        found[name] = row
    return found


def _library_calls(step: Callable[[int], object], new: int, times: int) -> tuple[int, float]:
    """Operations that a call asks the library for, and the share of time inside matrix products."""
    step(new)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        for _ in range(times):
            step(new)
    rows = record.key_averages()
    spent = {row.key.removeprefix("aten::"): row.self_cpu_time_total for row in rows}
    count = sum(1 for event in record.events() or () if event.cpu_parent is None)
    inside = sum(
        spent.get(name, 0.0)
        for name in ("mm", "bmm", "_int_mm", "addmm", "_scaled_dot_product_flash_attention_for_cpu")
    )
    return count // times, inside / sum(spent.values())


def rounds(searched: dict[str, Any], sizes: Sizes) -> dict[str, Any]:
    """Where the time of a round goes: the target's passes, the draft's, and the host. Least of several runs."""
    found: dict[str, Any] = {}
    jobs = texts.shipped(0, min(2, sizes.search_prompts))
    for name in ARITHMETICS:
        for mode in searched:
            for kind in (PLAIN, *(searched[mode]["best"][kind] for kind in ("chain", "tree"))):
                models = Models.load(name)
                drafter = None if kind == PLAIN else DRAFTING[kind](models)
                play = ours(models.target, drafter, mode, sizes.search_tokens)
                best: dict[str, float] = {}
                for _ in range(sizes.repetitions):
                    models.target.seconds = models.draft.seconds = models.native.seconds = 0.0
                    begun = time.perf_counter()
                    played = play(jobs)
                    total = time.perf_counter() - begun
                    if not best or total < best["total"]:
                        best = {"total": total, "target": models.target.seconds}
                        best["draft"] = models.draft.seconds + models.native.seconds
                        best["rounds"] = played.calls
                each = 1e3 / best["rounds"]
                found[f"{name}, {mode}, {kind}"] = {
                    "round (ms)": _short(each * best["total"]),
                    "target (ms)": _short(each * best["target"]),
                    "draft (ms)": _short(each * best["draft"]),
                    "host (ms)": _short(each * (best["total"] - best["target"] - best["draft"])),
                }
    return found


def _short(value: float) -> float:
    return float(f"{value:.4g}")
