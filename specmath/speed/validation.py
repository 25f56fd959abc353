"""One model for each published table of `specmath.speed.published`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specmath.speed.chain import expected_tokens, speedup
from specmath.speed.costs import Device, Line, Model, roofline
from specmath.speed.serving import goodput
from specmath.speed.tables import Row, Validation
from specmath.trees import by_rank, choose_size

Data = dict[str, Any]


def _leviathan(data: Data) -> list[Validation]:
    """The i.i.d. model with the paper's own alpha and c; nothing is fitted."""
    rows = [
        Row(
            f"{row['task']}, {row['draft']}, T = {row['temperature']}, L = {row['draft_length']}",
            row["speedup"],
            speedup(row["acceptance"], row["draft_length"], row["cost_ratio"]),
        )
        for row in data["rows"]
    ]
    expected = [Row(row.what, one["expected"], row.model) for row, one in zip(rows, data["rows"], strict=True)]
    return [
        _made(data, "speedup(alpha, L, c) against the measured speed-up", rows, 0.3, outside=2),
        _made(data, "speedup(alpha, L, c) against the paper's own column, rounded to 0.1", expected, 0.04),
    ]


def _specdecpp(data: Data) -> list[Validation]:
    """time per token = c (1 + discard) + (1 - c) verification, c from the oracle, which discards nothing."""
    oracle = data["oracle"]["verification_rate"]
    c = (1 / data["oracle"]["speedup"] - oracle) / (1 - oracle)
    rows = []
    for row in data["rows"]:
        speeds = [1 / (c * (1 + one["discard_rate"]) + (1 - c) * one["verification_rate"]) for one in row["fixed"]]
        rows.append(Row(f"{row['task']}, best fixed length", row["fixed_speedup"], max(speeds)))
    return [_made(data, "best fixed length from rates and one cost", rows, 0.03, fitted={"c (from the oracle)": c})]


def _spec_bench(data: Data) -> list[Validation]:
    """Tokens per step do not depend on the device; tokens / speed-up, a step's overhead, is the device's own."""
    found = {(row["device"], row["target"], row["method"]): row for row in data["rows"]}

    def pairs(one: tuple[str, str], other: tuple[str, str]) -> list[tuple[str, Any, Any]]:
        methods = [method for device, target, method in found if (device, target) == one]
        return [(m, found[*one, m], found[*other, m]) for m in methods if (*other, m) in found]

    small, large, desk = ("A100", "Vicuna-7B"), ("A100", "Vicuna-13B"), ("3090", "Vicuna-7B")
    lengths = [Row(m, b["tokens"], a["tokens"]) for m, a, b in pairs(small, desk)]
    same = [Row(m, b["speedup"], b["tokens"] * a["speedup"] / a["tokens"]) for m, a, b in pairs(small, large)]
    return [
        _made(data, "tokens per step on the RTX 3090 = those on the A100", lengths, 0.015, outside=1),
        _made(data, "13B speed-up on the A100 = tokens / overhead factor of 7B on the A100", same, 0.08),
    ]


def _batch_ladder(data: Data) -> list[Validation]:
    """X(B) = X0 (1 + s B) / (1 + s B (L + 1)): reading costs 1, a token of the batch s, the draft is in X0."""
    made = []
    for row in data["rows"]:
        batch, measured = np.asarray(row["batch"], dtype=float), np.asarray(row["speedup"])

        def law(p: Any, batch: Any = batch, length: int = row["draft_length"]) -> Any:
            first, slope = np.exp(p)
            return first * (1 + slope * batch) / (1 + slope * batch * (length + 1))

        p = _fit(lambda p, law=law, measured=measured: np.log(law(p) / measured), [0.5, -4.0])
        name = f"{row['engine']}, {row['device']}, {row['draft']}"
        rows = [Row(f"batch {b}", float(y), float(x)) for b, y, x in zip(row["batch"], measured, law(p), strict=True)]
        fitted = {"X0": float(np.exp(p[0])), "s": float(np.exp(p[1]))}
        made.append(_made(data, f"linear cost of a batch, {name}", rows, 0.17, fitted=fitted))
    return made


def _sequoia(data: Data) -> list[Validation]:
    """The dynamic program with the shipped rates, against what the published program prints."""
    most = max(row["budget"] for row in data["rows"])
    table = by_rank(data["rates"], most - 1, depth=data["max_depth"] - 1)
    rows = [
        Row(
            f"budget {row['budget']}, {row['levels']} levels",
            row["tokens"],
            float(table.values[row["levels"] - 1, row["budget"] - 1]),
        )
        for row in data["rows"]
    ]
    times = dict(zip(data["budgets"], data["target_time"], strict=True))
    best = choose_size(
        table.values,
        verify=lambda tokens: times[tokens],
        draft=lambda depth: data["draft_time"] * (depth + 1) if depth else 0.0,  # the program charges every level
        sizes=[budget - 1 for budget in data["budgets"]],
    )
    rows.append(Row("speed-up of the choice", data["choice"]["speedup"], best.speedup))
    rows.append(Row("budget of the choice", data["choice"]["budget"], best.nodes + 1))
    return [_made(data, "by_rank and choose_size", rows, 1e-4)]


MAGICDEC = {
    "Llama-2-7B-32K": Model(13.48e9, 6.74e9, 524_288, 524_288),
    "Llama-3.1-8B": Model(16.06e9, 8.03e9, 131_072, 524_288),
    "TinyLlama-1.1B": Model(2.2e9, 1.1e9, 22_528, 180_224),
}
"""The models of MagicDec's table, 16 bits: bytes of weights, parameters, cache bytes and attention per token."""


def _magicdec(data: Data) -> list[Validation]:
    """Roofline of 8 A100; fitted are the acceptance of each draft and the fixed time of a pass."""
    kinds = sorted({(row["target"], row["draft"]) for row in data["rows"]})

    def model(p: Any, row: Data) -> float:
        device = Device(2.0e12, 312e12, float(np.exp(p[-1])))
        target, texts = MAGICDEC[row["target"]], row["batch"]
        draft = target if row["draft"] == "self" else MAGICDEC[row["draft"]]

        def spent(model: Model, tokens: int, context: int) -> float:
            return roofline(model, device, tokens, requests=texts, context=context, devices=8).seconds

        length, context = row["draft_length"], row["context"]
        rate = float(p[kinds.index((row["target"], row["draft"]))])
        spent_round = length * spent(draft, 1, 256) + spent(target, length + 1, context)
        return expected_tokens(rate, length) * spent(target, 1, context) / spent_round

    rows = data["rows"]
    start, low, high = [0.8] * len(kinds) + [-6.0], [0.0] * len(kinds) + [-20.0], [1.0] * len(kinds) + [0.0]
    p = _fit(lambda p: np.log([model(p, row) / row["speedup"] for row in rows]), start, (low, high))
    fitted = {f"acceptance of {' '.join(kind)}": float(x) for kind, x in zip(kinds, p, strict=False)}
    fitted["fixed seconds per pass"] = float(np.exp(p[-1]))
    named = [
        Row(f"{r['target']} {r['draft']}, context {r['context']}, batch {r['batch']}", r["speedup"], model(p, r))
        for r in rows
    ]
    return [_made(data, "roofline with a draft cache of 256 tokens", named, 0.18, fitted=fitted)]


def _specdecode_bench(data: Data) -> list[Validation]:
    """Linear serving model with the simulator's coefficients; its traces enter by their tokens per step only."""
    target, draft, extra = data["target"], data["draft"], data["overhead"]
    rows = []
    for row in data["rows"]:
        batch, length = row["batch"], row["draft_length"]
        context = batch * (row["prompt"] + row["answer"] / 2)
        reading = Line(target["fixed"], target["per_token"], target["per_context"])
        drafting = draft["fixed"] + draft["per_token"] * (length + 1) + draft["per_context"] * context
        mean = (row["tokens"] - 1) / length  # only the sum of the survivals matters
        found = goodput(
            [[mean] * length] * batch,
            [length] * batch,
            verify=lambda tokens, reading=reading, context=context: reading(tokens, context),
            draft=lambda length, drafting=drafting: drafting,
            overhead=extra,
        )
        prompts = reading(batch * row["prompt"]) + extra
        steps, plain = row["answer"] - 1, reading(batch, context) + extra
        speed = (prompts + steps * plain) / (prompts + steps * plain / found.speedup)
        rows.append(Row(f"{row['set']}, batch {batch}, L = {length}", row["speedup"], speed))
    return [_made(data, "goodput of the linear model after the prompts' pass", rows, 0.06)]


def _fit(residuals: Callable[[Any], Any], start: Sequence[float], bounds: Any = None) -> Any:
    """Least squares; scipy is not imported with the package."""
    from scipy.optimize import least_squares

    return least_squares(residuals, start, bounds=(-np.inf, np.inf) if bounds is None else bounds).x


def _made(
    data: Data, model: str, rows: list[Row], band: float, *, outside: int = 0, fitted: dict[str, float] | None = None
) -> Validation:
    return Validation(data["name"], data["source"], data["how"], model, fitted or {}, tuple(rows), band, outside)


MODELS: dict[str, Callable[[Data], list[Validation]]] = {
    "leviathan": _leviathan,
    "specdecpp": _specdecpp,
    "spec_bench": _spec_bench,
    "batch_ladder": _batch_ladder,
    "sequoia": _sequoia,
    "magicdec": _magicdec,
    "specdecode_bench": _specdecode_bench,
}
"""For each data set of `published.SETS` its comparisons."""
