"""How close graded priority comes to the optimum on fresh contexts, and what it costs. ``make bench-priority``.

Contexts are the shipped pair's on held-out prompts and synthetic ones of several kinds; none was used to choose the
method. Finished rows are kept in the results file as they come, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from specmath.transport import coupling

SIZES = (500, 2000, 8000, 32000)
KINDS = ("gumbel", "normal", "dirichlet", "zipf", "sharpened", "unrelated")
LARGE = 128_000
DRAFTER_SIZES = (20, 200, 1000)
FIELDS = ("optimum", "gap", "sum error", "seconds")
RESULTS = Path(__file__).parent / "results" / "priority.json"


def synthetic(kind: str, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Target and draft of one kind; every parameter of the kind is drawn too."""
    generator = np.random.default_rng([seed, size, KINDS.index(kind)])
    scale = generator.choice([1.0, 2.0, 3.0, 4.0])
    noise = generator.choice([0.1, 0.5, 1.0, 2.0])
    if kind == "dirichlet":
        concentration = generator.choice([0.01, 0.1, 1.0])
        laws = generator.dirichlet(np.full(size, concentration), 2) + 1e-13
        return laws[0] / laws[0].sum(), laws[1] / laws[1].sum()
    logits = generator.gumbel(size=size) * scale
    other = logits + noise * generator.normal(size=size)
    if kind == "normal":
        logits = generator.normal(size=size) * 2 * scale
        other = logits + noise * generator.normal(size=size)
    elif kind == "zipf":
        logits = -generator.uniform(1, 2) * np.log(np.arange(1, size + 1))
        other = logits + noise * generator.normal(size=size)
    elif kind == "sharpened":
        other = logits * generator.choice([0.5, 0.8, 1.2, 1.5])
    elif kind == "unrelated":
        other = generator.gumbel(size=size) * scale
    target, draft = (np.exp(values - values.max()) for values in (logits, other))
    return target / target.sum(), draft / draft.sum()


def pair_contexts(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The shipped pair's laws along held-out prompts, at temperatures 0.7 and 1."""
    from reference import pair
    from reference.pair import prompts
    from specmath import law_from_logits

    models = pair.load()
    done = 0
    for prompt in prompts.load():
        tokens = list(pair.encode(prompt.prompt))[:160]
        logits = [model.start().extend(tokens) for model in (models.target, models.draft)]
        for place in range(16, len(tokens), 7):
            for temperature in (0.7, 1.0):
                laws = [np.asarray(law_from_logits(rows[place].double(), temperature=temperature)) for rows in logits]
                yield laws[0], laws[1]
                done += 1
                if done == count:
                    return


def drafters(kind: str, size: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Target and n different drafts (n, V): those of n contexts that share the target's logits."""
    target, first = synthetic(kind, size, seed)
    generator = np.random.default_rng([seed, size, n])
    noisy = np.log(np.maximum(target, 1e-300)) + generator.normal(size=(n - 1, size)) * generator.uniform(0.2, 2)
    others = np.exp(noisy - noisy.max(axis=1, keepdims=True))
    return target, np.concatenate([first[None], others / others.sum(axis=1, keepdims=True)])


def measure(target: np.ndarray, draft: np.ndarray, n: int) -> dict[str, float]:
    begun = time.process_time()
    found = coupling(target, draft, n, "independent" if draft.ndim == 2 else "without_replacement")
    taken = time.process_time() - begun
    values = float(found.optimum.acceptance), float(found.gap), abs(float(found.marginal.sum()) - 1), taken
    return {name: float(f"{value:.4g}") for name, value in zip(FIELDS, values, strict=True)}


def jobs(contexts: int, seed: int) -> Iterator[tuple[str, int, Any]]:
    """(name, n, laws or a function that makes them), in the order in which they are solved."""
    paired = contexts // 4
    for place, laws in enumerate(pair_contexts(paired)):
        yield f"pair {place}", 2 + place % 3, laws
    for place in range(contexts - paired):
        size, kind = SIZES[place % len(SIZES)], KINDS[place // len(SIZES) % len(KINDS)]
        yield f"{kind} {size} {place}", 2 + place % 3, (kind, size, seed + place)
    for place in range(24):
        kind = KINDS[place % len(KINDS)]
        yield f"n8 {kind} {place}", 8, (kind, SIZES[place % 3], seed + place)
    for place in range(contexts // 6):
        kind, size, n = KINDS[place % len(KINDS)], DRAFTER_SIZES[place // 6 % 3], 2 + place // 18 % 3
        yield f"drafters {kind} {size} {place}", n, drafters(kind, size, n, seed + place)
    for place in range(18):
        kind = KINDS[place % len(KINDS)]
        yield f"large {kind} {place}", (2, 4, 8)[place // 6], (kind, LARGE, seed + place)


def summary(rows: dict[str, dict[str, float]]) -> list[str]:
    groups = {
        "pair": lambda name, n: name.startswith("pair"),
        **{
            f"synthetic, V = {size}": lambda name, n, size=size: (
                f" {size} " in name and not name.startswith(("n8", "drafters"))
            )
            for size in SIZES
        },
        "different drafters, V = 20 to 1000": lambda name, n: name.startswith("drafters"),
        "n = 8": lambda name, n: name.startswith("n8"),
        **{
            f"V = {LARGE}, n = {count}": lambda name, n, count=count: name.startswith("large") and n == count
            for count in (2, 4, 8)
        },
    }
    lines = [
        "| contexts | count | worst gap | above 1e-9 | above 1e-6 | worst sum r - 1 | CPU s, median | worst |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for title, holds in groups.items():
        chosen = [row for name, row in rows.items() if holds(name, row["n"])]
        if chosen:
            gaps = np.array([row["gap"] for row in chosen])
            seconds = [row["seconds"] for row in chosen]
            lines.append(
                f"| {title} | {len(chosen)} | {gaps.max():.1e} | {(gaps > 1e-9).sum()} | {(gaps > 1e-6).sum()} "
                f"| {max(row['sum error'] for row in chosen):.1e} | {np.median(seconds):.3f} | {max(seconds):.2f} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contexts", type=int, default=2400, help="contexts with n = 2, 3, 4 (a quarter the pair's)")
    parser.add_argument("--seed", type=int, default=9000001, help="of the synthetic contexts")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file; an unfinished one is completed")
    options = parser.parse_args()
    key = {"contexts": options.contexts, "seed": options.seed}
    kept = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    rows: dict[str, dict[str, float]] = kept["rows"] if kept.get("options") == key else {}
    machine = {"date": date.today().isoformat(), "python": platform.python_version(), "numpy": np.__version__}

    def keep() -> None:
        document = {"command": "make bench-priority", "options": key, **machine, "summary": summary(rows), "rows": rows}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        part = options.out.with_suffix(".part")
        part.write_text(json.dumps(document).replace("}, ", "},\n").replace("], ", "],\n"), encoding="utf-8")
        part.replace(options.out)

    for done, (name, n, laws) in enumerate(jobs(options.contexts, options.seed)):
        if name in rows:
            continue
        target, draft = synthetic(*laws) if isinstance(laws[0], str) else laws
        if draft.ndim == 1 and (draft > 0).sum() < n:
            continue
        rows[name] = {"n": n, **measure(target, draft, n)}
        if done % 100 == 99:
            keep()
            print(f"{done + 1} contexts, worst gap {max(row['gap'] for row in rows.values()):.1e}", file=sys.stderr)
    keep()
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
