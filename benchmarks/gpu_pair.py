"""Section of `benchmarks/gpu.py`: the shipped pair, whose draft was trained for its target, with CUDA graphs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gpu_speed import EVERY, speeds, wait

from reference import pair
from reference.decode import Options
from reference.decode.fixed import FixedRounds, run
from reference.decode.fixed_graph import Captured
from reference.drafters import branching, chain_of

if TYPE_CHECKING:
    from gpu_setting import Setting


def shipped_pair(setting: Setting) -> Iterator[tuple[str, Any]]:
    """The trained pair with its own draft: what its texts gain, greedy and sampled."""
    from reference.pair.prompts import spread

    tokens = 6 if setting.tiny else 96
    left_out = []
    for arithmetic in ("int8",) if setting.tiny else ("exact64", "int8", "native"):
        models = pair.load(arithmetic=arithmetic, device=setting.device)
        for rows in (1,) if setting.tiny else (1, 8):
            prompts = [pair.encode(prompt.prompt) for prompt in spread(rows)]
            for temperature in (0.0, 1.0):
                label = f"{arithmetic} batch {rows} temperature {temperature:g}"
                if setting.left() < 0:
                    left_out.append(label)
                    continue
                options = [Options(max_tokens=tokens, temperature=temperature, seed=i) for i in range(rows)]
                yield label, own_draft(setting, models, prompts, options)
    yield "left out", left_out


TREES = {
    "autoregressive": None,
    "chain of 3": chain_of(3),
    "chain of 5": chain_of(5),
    "tree 2 2 1": branching((2, 2, 1)),
}


def own_draft(
    setting: Setting, models: pair.Pair, prompts: Sequence[Sequence[int]], options: Sequence[Options]
) -> dict[str, Any]:
    """Speeds with each tree; AssertionError where an exact arithmetic gives another text with one of them."""
    found: dict[str, Any] = {}
    texts: dict[str, list[tuple[int, ...]]] = {}
    for name, tree in TREES.items():
        draft = None if tree is None else models.draft
        rounds = FixedRounds(models.target, prompts, options=options, draft=draft, tree=tree)
        begin, captured = rounds.saved(), Captured(rounds) if setting.device == "cuda" else None
        if captured is not None:
            run(rounds, captured, EVERY)
            rounds.restore(begin)
        wait(setting)
        begun = time.perf_counter()
        made = run(rounds, captured, EVERY)
        found[name] = speeds(made, time.perf_counter() - begun)
        texts[name] = [text.tokens for text in made]
        found[name]["texts equal"] = texts[name] == texts["autoregressive"]
        if models.target.prepared.arithmetic.exact and not found[name]["texts equal"]:
            raise AssertionError(f"{name}: drafted and plain texts differ")
        found[name]["speed-up"] = found["autoregressive"]["ms a token"] / found[name]["ms a token"]
    return found
