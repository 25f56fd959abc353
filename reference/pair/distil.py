"""Which loss makes the better draft for n candidates: ``python -m reference.pair.distil``.

The shipped draft is trained on for some hundred steps against the shipped target, once per loss: KL(target || draft),
total variation, and 1 - optimal acceptance of n = 2 and n = 4 iid drafts (`specmath.transport.acceptance_loss`). All
start from the same weights and see the same text in the same order; the target runs once per step for all. Reported is
the optimal n-draft acceptance on text that no model was trained on. Deterministic for a machine and thread count; a run
that was killed resumes from its checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import specmath
from reference import pair
from reference.models.llama import Llama
from reference.pair import corpus, train
from specmath import law_from_logits, optimum
from specmath.comparison import interval
from specmath.transport import acceptance_loss

RECORD = Path(__file__).with_name("distil.json")
"""Result of the run that the documentation shows."""

RECIPE = train.Recipe(steps=300, rate=1e-3, windows=4, length=256, warmup=20, decay=0.0, checkpoint_every=50)
SEEDS = (1, 2, 3)
DRAFTS = (1, 2, 4)
HELD_OUT_WINDOWS = 48


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    """KL(target || draft) in nats, averaged over contexts; target (..., V), draft logits (..., V)."""
    return F.kl_div(F.log_softmax(logits, dim=-1), target, reduction="none").sum(-1).mean()


def variation(target: Tensor, logits: Tensor) -> Tensor:
    """Total variation between target and draft, averaged over contexts."""
    return (target - F.softmax(logits, dim=-1)).abs().sum(-1).mean() / 2


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": divergence,
    "tv": variation,
    "acceptance-2": lambda target, logits: acceptance_loss(target, logits, 2),
    "acceptance-4": lambda target, logits: acceptance_loss(target, logits, 4),
}


def teach(
    target: Llama,
    start: Llama,
    text: NDArray[np.uint8],
    recipe: train.Recipe,
    saved: Path,
    losses: Sequence[str] = tuple(LOSSES),
) -> dict[str, Llama]:
    """Train one copy of ``start`` per loss, in step; a checkpoint at ``saved`` is taken up where it stopped."""
    students = {name: copy.deepcopy(start).train() for name in losses}
    rules = {
        name: torch.optim.AdamW(student.parameters(), lr=recipe.rate, betas=(0.9, 0.95), weight_decay=recipe.decay)
        for name, student in students.items()
    }
    first = 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        if state["recipe"] != asdict(recipe) or set(state["models"]) != set(losses):
            raise ValueError(f"{saved}: written by another recipe; remove it to start afresh")
        for name, student in students.items():
            student.load_state_dict(state["models"][name])
            rules[name].load_state_dict(state["optimizers"][name])
        first = state["step"]
    bar = tqdm(
        range(first, recipe.steps), initial=first, total=recipe.steps, desc=f"seed {recipe.seed}", mininterval=1.0
    )
    for step in bar:
        rows = train.batch(text, recipe, step)[:, :-1]
        with torch.no_grad():
            law = law_from_logits(target(rows))
        for name, student in students.items():
            for group in rules[name].param_groups:
                group["lr"] = recipe.rate_at(step)
            loss = LOSSES[name](law, student(rows).double())
            rules[name].zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), recipe.clip)
            rules[name].step()
        done = step + 1
        if done % recipe.checkpoint_every == 0 or done == recipe.steps:
            state = {
                "step": done,
                "recipe": asdict(recipe),
                "models": {name: student.state_dict() for name, student in students.items()},
                "optimizers": {name: rule.state_dict() for name, rule in rules.items()},
            }
            part = saved.with_suffix(".part")
            torch.save(state, part)
            part.replace(saved)  # a kill leaves either the old or the new checkpoint, never half of one
    return {name: student.eval() for name, student in students.items()}


@torch.no_grad()
def measure(
    target: Llama, drafts: dict[str, Llama], text: NDArray[np.uint8], length: int, windows: int
) -> dict[str, NDArray[np.float64]]:
    """Per draft an array (windows, 1 + len(DRAFTS)): KL in nats, then the optimal acceptance of n iid drafts.

    Values are means over the positions of one window of ``length`` tokens; the windows are spread evenly over the text.
    """
    starts = np.linspace(0, len(text) - length - 1, windows).astype(int)
    found: dict[str, list[list[float]]] = {name: [] for name in drafts}
    for begin in starts:
        rows = torch.from_numpy(text[None, begin : begin + length].astype(np.int64))
        law = law_from_logits(target(rows)[0])
        for name, draft in drafts.items():
            logits = draft(rows)[0].double()
            own = law_from_logits(logits)
            values = [optimum(law, own, n).acceptance.mean().item() for n in DRAFTS]
            found[name].append([divergence(law, logits).item(), *values])
    return {name: np.array(rows) for name, rows in found.items()}


def summary(found: Sequence[dict[str, NDArray[np.float64]]], against: str = "kl") -> list[dict[str, Any]]:
    """One row per draft: means over seeds and windows, and the difference to the loss ``against`` with a 95 % interval.

    Windows are the units of the interval; the seeds are averaged first, and the standard deviation of their means is
    given beside.
    """
    rows = []
    for name in found[0]:
        per_seed = np.stack([values[name] for values in found])  # (seeds, windows, columns)
        change = per_seed - np.stack([values[against] for values in found])
        row: dict[str, Any] = {"loss": name, "kl_nats": round(float(per_seed[..., 0].mean()), 5), "acceptance": {}}
        for column, n in enumerate(DRAFTS, start=1):
            low, mean, high = interval(change[..., column].mean(axis=0))
            seeds = per_seed[..., column].mean(axis=1)
            row["acceptance"][str(n)] = {
                "mean": round(float(seeds.mean()), 5),
                "seed_deviation": round(float(seeds.std(ddof=1)), 5) if len(seeds) > 1 else None,
                "difference": round(mean, 5),
                "low": None if low is None else round(low, 5),
                "high": None if high is None else round(high, 5),
            }
        rows.append(row)
    return rows


def experiment(
    recipe: train.Recipe,
    seeds: Sequence[int],
    windows: int,
    work: Path,
    losses: Sequence[str] = tuple(LOSSES),
    against: str = "kl",
) -> dict[str, Any]:
    """The whole run: teach with every seed, measure on held-out text, and the record with its provenance."""
    models = pair.load()
    target, start = models.target.network, models.draft.network
    library = corpus.documents()
    text = corpus.tokens([document for document in library if not document.held_out])
    held = corpus.tokens([document for document in library if document.held_out])
    work.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in seeds:
        taught = teach(target, start, text, replace(recipe, seed=seed), work / f"distil-{seed}.pt", losses)
        found.append(measure(target, {"start": start, **taught}, held, recipe.length, windows))
    return {
        "command": "python -m reference.pair.distil",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "specmath": specmath.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "recipe": {key: value for key, value in asdict(recipe).items() if key != "seed"},
        "seeds": list(seeds),
        "held_out": {"windows": windows, "positions": windows * recipe.length},
        "library_files_that_differ_from_the_manifest": len(corpus.differences(library)),
        "difference_to": against,
        "rows": summary(found, against),
    }


def table(record: dict[str, Any]) -> str:
    """The record as a Markdown table: KL, acceptance at each n, and the difference to the compared loss.

    >>> cell = {"mean": 0.5, "difference": 0.1, "low": 0.05, "high": 0.15}
    >>> row = {"loss": "tv", "kl_nats": 0.25, "acceptance": {"2": cell}}
    >>> print(table({"difference_to": "kl", "rows": [row]}))
    | loss | KL | n = 2 |
    | --- | --- | --- |
    | tv | 0.2500 | 0.5000 (+0.1000, +0.0500 to +0.1500) |
    """
    counts = list(record["rows"][0]["acceptance"])
    lines = [
        f"| loss | KL | {' | '.join(f'n = {n}' for n in counts)} |",
        "|" + " --- |" * (2 + len(counts)),
    ]
    for row in record["rows"]:
        cells = []
        for n in counts:
            one = row["acceptance"][n]
            apart = f" ({one['difference']:+.4f}, {one['low']:+.4f} to {one['high']:+.4f})" if one["low"] else ""
            cells.append(f"{one['mean']:.4f}{apart}")
        lines.append(f"| {row['loss']} | {row['kl_nats']:.4f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment, write the record and print its table: the command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m reference.pair.distil", description=__doc__)
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="training steps per loss and seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="orders of the training text")
    parser.add_argument("--windows", type=int, default=HELD_OUT_WINDOWS, help="held-out windows to measure on")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; part of what makes a run repeatable")
    parser.add_argument("--out", type=Path, default=Path("distil.json"), help="file for the record")
    parser.add_argument("--work", type=Path, default=Path("build/pair"), help="folder for checkpoints")
    options = parser.parse_args(arguments)
    if min(options.steps, options.windows, options.threads) < 1:
        parser.error("--steps, --windows and --threads must be at least 1")
    torch.set_num_threads(options.threads)
    recipe = replace(RECIPE, steps=options.steps)
    record = experiment(recipe, options.seeds, options.windows, options.work)
    options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
