"""What the optimum and its coupling cost, in argsorts of p/q and in other rules. ``make bench-transport``.

Every ratio is measured in one run: the two sides take turns, and the quotient of their least times is printed, because
other programs only ever add time. Times belong to the machine that printed them, the ratios hardly.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from specmath import draft_laws, rules
from specmath.transport import linear_program, optimum
from specmath.transport.coupling import coupling

Action = Callable[[], object]
CONTEXTS, WIDE, DRAFTED = 64, 128_000, 4  # of the GPU's part


def seconds(action: Action, sync: Action) -> float:
    sync()
    begun = time.perf_counter()
    action()
    sync()
    return time.perf_counter() - begun


def ratio(action: Action, unit: Action, budget: float, sync: Action = lambda: None) -> tuple[float, float]:
    """Least time of action over that of unit, in turns within the time budget (at least three); the unit's seconds."""
    unit()
    action()  # compiles, fills caches
    turns: list[tuple[float, float]] = []
    end = time.perf_counter() + budget
    while len(turns) < 3 or (time.perf_counter() < end and len(turns) < 200):
        turns.append((seconds(action, sync), seconds(unit, sync)))
    least = min(u for _, u in turns)
    return min(a for a, _ in turns) / least, least


def laws(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A target and a draft whose logits differ by a standard normal, about 1,000 likely tokens at V = 128,000."""
    rng = np.random.default_rng([size, seed])
    logits = 1.5 * rng.gumbel(size=size)
    both = [np.exp(values - values.max()) for values in (logits + rng.normal(size=size), logits)]
    return both[0] / both[0].sum(), both[1] / both[1].sum()


def backend(name: str) -> tuple[Callable[[np.ndarray], Any], Callable[[Action], Action]]:
    """Conversion from numpy, and a wrapper that waits where the library computes on its own time."""
    if name == "torch":
        import torch

        torch.set_num_threads(1)
        return torch.from_numpy, lambda action: action
    if name == "jax":
        import jax

        # float32 unless jax's x64 flag is set, which is left alone
        return jax.numpy.asarray, lambda action: lambda: jax.block_until_ready(action())
    return np.asarray, lambda action: action


def against_a_sort(names: list[str], sizes: list[int], counts: list[int], budget: float) -> None:
    print("one context, set-up with all checks, in argsorts of p/q on the same library (goal: at most 4)")
    print(f"{'':8}{'V':>8}{'n':>4}{'argsort':>12}{'value':>9}{'coupling':>10}{'distinct':>10}{'round/set-up':>14}")
    for name in names:
        try:
            convert, wrap = backend(name)
        except ImportError:
            print(f"{name:8} is not installed: skipped")
            continue
        for size in sizes:
            target, draft = (convert(law) for law in laws(size))
            for n in counts:
                _row(name, target, draft, n, wrap, convert, budget)


def _row(name: str, target: Any, draft: Any, n: int, wrap: Any, convert: Any, budget: float) -> None:
    size = target.shape[-1]
    if name == "jax":
        import jax

        argsort = jax.jit(lambda p, q: jax.numpy.argsort(p / q))
        value = jax.jit(lambda p, q: optimum(p, q, n))
        built = jax.jit(lambda p, q: coupling(p, q, n))
        verify = jax.jit(lambda plan, tokens, coins: plan.verify(tokens, coins))
    else:
        value, built = (lambda p, q: optimum(p, q, n)), (lambda p, q: coupling(p, q, n))

        def argsort(p: Any, q: Any) -> Any:
            return (p / q).argsort()

        def verify(plan: Any, tokens: Any, coins: Any) -> Any:
            return plan.verify(tokens, coins)

    rng = np.random.default_rng(n)
    plan = built(target, draft)
    drawn = draft_laws.get("iid").sample(laws(size)[1], n, rng.random(n))
    tokens, coins = convert(np.asarray(drawn)), convert(rng.random(2 * n + 2))
    unit = wrap(lambda: argsort(target, draft))
    worth, least = ratio(wrap(lambda: value(target, draft)), unit, budget)
    setup, _ = ratio(wrap(lambda: built(target, draft)), unit, budget)
    distinct, _ = ratio(wrap(lambda: optimum(target, draft, n, "without_replacement")), unit, budget)
    share, _ = ratio(wrap(lambda: verify(plan, tokens, coins)), wrap(lambda: built(target, draft)), budget)
    print(f"{name:8}{size:8}{n:4}{1e3 * least:9.3f} ms{worth:9.2f}{setup:10.2f}{distinct:10.2f}{share:14.3f}")


def against_rules(sizes: list[int], counts: list[int], budget: float) -> None:
    print("\nset-up and one round of the coupling in rounds of other rules, numpy, one context (goal: at most 12)")
    print(f"{'V':>8}{'n':>4}{'/ recursive':>13}{'/ k_seq':>9}{'/ recursive unchecked':>23}   acceptance: optimal"
          " recursive k_seq")  # fmt: skip
    for size in sizes:
        target, draft = laws(size)
        for n in counts:
            rng = np.random.default_rng(n)
            tokens = draft_laws.get("iid").sample(draft, n, rng.random(n))
            coins = rng.random(2 * n + 2)

            def ours(t: Any = target, d: Any = draft, n: int = n, k: Any = tokens, u: Any = coins) -> object:
                return coupling(t, d, n).verify(k, u)

            found, values = [], [float(optimum(target, draft, n).acceptance)]
            for name, check in (("recursive", True), ("k_seq", True), ("recursive", False)):
                rule = rules.get(name)
                row = coins[: rule.uniforms(n)]

                def theirs(
                    r: Any = rule, t: Any = target, d: Any = draft, k: Any = tokens, u: Any = row, c: bool = check
                ) -> object:
                    return r.verify(t, d, k, u, check=c)

                found.append(ratio(ours, theirs, budget)[0])
                if check:
                    values.append(float(rule.acceptance(target, draft, n, "iid")))
            print(f"{size:8}{n:4}{found[0]:13.2f}{found[1]:9.2f}{found[2]:23.2f}" + " " * 15
                  + "".join(f"{value:9.4f}" for value in values))  # fmt: skip


def against_the_program(sizes: list[int], budget: float) -> None:
    print("\nthe linear program (HiGHS, law enumerated beforehand) in optimum and coupling, n = 2, numpy")
    for size in sizes:
        target, draft = laws(size)
        law = draft_laws.get("iid").law(draft.tolist(), 2)

        def solve(t: Any = target, w: Any = law) -> object:
            return linear_program(t.tolist(), w)

        def ours(t: Any = target, d: Any = draft) -> object:
            return coupling(t, d, 2)

        times, least = ratio(solve, ours, budget)
        print(f"{size:8}: {times:10.1f} times the coupling's {1e3 * least:.3f} ms")


def memory(sizes: list[int], counts: list[int]) -> None:
    print("\npeak memory in float64 numbers per token, one context, numpy (constant in V: O(V))")
    for n in counts:
        for name, action in (("value", optimum), ("coupling", coupling)):
            print(f"{name:>10} n = {n:2}: " + "  ".join(f"{_peak(action, size, n):.1f} at {size}" for size in sizes))
        peaks = [_peak(_distinct, size, n) for size in sizes]
        print(f"{'distinct':>10} n = {n:2}: " + "  ".join(f"{p:.1f} at {s}" for p, s in zip(peaks, sizes, strict=True)))


def _distinct(target: np.ndarray, draft: np.ndarray, n: int) -> object:
    return optimum(target, draft, n, "without_replacement")


def _peak(action: Callable[..., object], size: int, n: int) -> float:
    target, draft = laws(size)
    action(target, draft, n)
    tracemalloc.start()
    kept = action(target, draft, n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del kept
    return peak / 8 / size


def gpu(budget: float) -> None:
    print(f"\nGPU, {CONTEXTS} contexts, V = {WIDE}, n = {DRAFTED}")
    try:
        import torch
    except ImportError:
        return print("  skipped: torch is not installed")
    if not torch.cuda.is_available():
        return print("  skipped: torch sees no CUDA device")
    rows = [laws(WIDE, seed) for seed in range(CONTEXTS)]
    target, draft = (torch.tensor(np.stack([row[side] for row in rows]), device="cuda") for side in (0, 1))
    sync = torch.cuda.synchronize
    large = torch.empty(1 << 28, device="cuda")
    other = torch.empty_like(large)
    copied = min(seconds(lambda: other.copy_(large), sync) for _ in range(10))
    speed = 2 * large.nbytes / copied
    floor = (target.nbytes + draft.nbytes + target.nbytes) / speed  # both laws read, one marginal written
    for name, action in (
        ("value", lambda: optimum(target, draft, DRAFTED)),
        ("coupling", lambda: coupling(target, draft, DRAFTED)),
    ):
        times, least = ratio(action, lambda: (target / draft).argsort(dim=-1), budget, sync)
        taken = times * least
        print(f"  {name}: {times:.2f} argsorts of {1e3 * least:.2f} ms; {taken / floor:.1f} times the {1e3 * floor:.3f}"
              f" ms that reading and writing take at the measured {speed / 1e9:.0f} GB/s")  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/transport.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, for a look at the format")
    parser.add_argument("--budget", type=float, default=0.4, help="seconds per ratio (default 0.4)")
    parser.add_argument("--libraries", default="numpy,torch,jax", help="of the first table (default numpy,torch,jax)")
    options = parser.parse_args(arguments)
    quick = options.quick
    sizes = [64, 128] if quick else [1_000, 32_000, 128_000, 256_000]
    counts = [2, 3] if quick else [2, 4, 8, 16]
    budget = 0.0 if quick else options.budget
    against_a_sort(options.libraries.split(","), sizes, counts, budget)
    against_rules(sizes, counts, budget)
    against_the_program([4, 6] if quick else [8, 16, 32, 64], budget)
    memory(sizes[-2:], counts[:2])
    gpu(budget)


if __name__ == "__main__":
    main()
