"""What the shipped pair costs: one draft step in target steps, and the training time. ``make bench-pair``.

Ratios are measured in one run, draft and target in turn, and the median of the pairs is printed; times belong to the
machine that printed them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from reference import pair
from reference.models.llama import Llama
from reference.pair import corpus, train

PREFIX = 100  # tokens in the cache while a step is timed
CHAIN = 4  # draft steps between two target calls, as the decoder makes them (the first finds its weights evicted)


def seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def steps(rounds: int, arithmetic: str) -> None:
    """Time one-token steps of both models and the target's call on five tokens, in turn."""
    models = pair.load(arithmetic=arithmetic)
    states = {"draft": models.draft.start(), "target": models.target.start()}
    prefix = list(range(1, PREFIX + 1))
    for state in states.values():
        state.extend(prefix)

    def step(name: str, count: int, times: int = 1) -> float:
        taken = seconds(lambda: [states[name].extend([65] * count) for _ in range(times)])
        states[name].rewind(PREFIX)
        return taken / times

    rows = [(step("draft", 1, CHAIN), step("target", 1), step("target", CHAIN + 1)) for _ in range(rounds + 5)][5:]
    draft, target, verify = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"target step {1e3 * target:.2f} ms, draft step {1e3 * draft:.2f} ms, {torch.get_num_threads()} thread(s)")
    print(f"draft step / target step: {statistics.median(d / t for d, t, _ in rows):.3f}")
    print(f"target call on {CHAIN + 1} tokens / target step: {verify / target:.2f}")


def training(count: int) -> None:
    """Time training steps and scale them to the recipes."""
    text = corpus.tokens([document for document in corpus.documents() if not document.held_out])
    total = 0.0
    for name, config, recipe in (
        ("draft", train.DRAFT, train.DRAFT_RECIPE),
        ("target", train.TARGET, train.TARGET_RECIPE),
    ):
        model = train.initial(config, recipe.seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate)
        taken = [
            seconds(lambda i=i, m=model, o=optimizer, r=recipe: _train(m, o, r, text, i)) for i in range(count + 2)
        ]
        minutes = statistics.median(taken[2:]) * recipe.steps / 60
        total += minutes
        print(f"training the {name}: {minutes:.1f} minutes for {recipe.steps} steps, {torch.get_num_threads()} threads")
    print(f"training the pair: {total:.1f} minutes")


def _train(model: Llama, optimizer: torch.optim.Optimizer, recipe: train.Recipe, text: object, step: int) -> None:
    loss = train.loss_of(model, train.batch(text, recipe, step))  # type: ignore[arg-type]
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/pair.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="timed decoding steps of each kind (default 100)")
    parser.add_argument("--arithmetic", default="exact64", help="arithmetic of the steps (default exact64)")
    parser.add_argument("--steps", type=int, default=8, help="timed training steps of each model (default 8)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps(options.rounds, options.arithmetic)
    torch.set_num_threads(2)
    training(options.steps)


if __name__ == "__main__":
    main()
