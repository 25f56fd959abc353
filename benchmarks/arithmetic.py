"""What order-independent arithmetic costs and how close it stays to float32. ``make bench-arithmetic``.

Every ratio is measured in one run: the arithmetics take turns of three calls, so that each finds its weights where a
decoder would, and the quotient of their least times is printed, because other programs only ever add time. With one
thread the time is that thread's processor time. "native" has the same fused layers and cache as the others. The
distance to float32 is taken over held-out text of the shipped pair's corpus (random tokens for the wide model, whose
weights are random).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from reference import pair
from reference.cache import Slots
from reference.models.llama import Llama, LlamaConfig
from reference.numerics import ARITHMETICS, PreparedLlama
from reference.pair import corpus

PREFIX, LENGTHS = 200, (1, 8, 64)
GOALS = {("pair", "exact64"): 2.5, ("pair", "int8"): 1.7, ("wide", "exact64"): 2.0, ("wide", "int8"): 1.2}
Step = Callable[[int], object]


def wide() -> Llama:
    """6 layers of 512, 8,192 tokens; random weights that spread the logits."""
    torch.manual_seed(0)
    model = Llama(LlamaConfig(8192, 512, 1536, 6, 8, 4, 512))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return model.requires_grad_(False)


def held_out(windows: int, length: int) -> Tensor:
    """Windows of held-out library text as bytes (windows, length)."""
    text = corpus.tokens([document for document in corpus.documents() if document.held_out])
    starts = torch.linspace(0, len(text) - length - 1, windows).long().tolist()
    return torch.stack([torch.from_numpy(text[start : start + length].astype("int64")) for start in starts])


def causal(new: int, start: int) -> Tensor | None:
    return None if new == 1 else torch.ones(new, start + new, dtype=torch.bool).tril(start)


def call(prepared: PreparedLlama, tokens: Tensor, slots: Slots, start: int) -> Tensor:
    end = start + tokens.shape[1]
    return prepared(tokens, slots, torch.arange(start, end), slice(start, end), end, causal(tokens.shape[1], start))


def distances(model: Llama, texts: Tensor) -> dict[str, dict[str, float]]:
    """For each arithmetic, and float64, against the stock float32 model on texts (B, T): the largest difference of
    logits, the mean divergence in nats, and the share of positions with the same likeliest token."""
    batch = len(texts)
    truth = model(texts).double()
    law = truth.log_softmax(-1)
    rows = {"float64": model.double()(texts)}
    model.float()
    for name, arithmetic in ARITHMETICS.items():
        prepared = PreparedLlama(model, arithmetic)
        rows[name] = call(prepared, texts, prepared.slots(batch), 0).double()
    found = {}
    for name, logits in rows.items():
        divergence = (law.exp() * (law - logits.log_softmax(-1))).sum(-1).mean()
        same = (logits.argmax(-1) == truth.argmax(-1)).double().mean()
        values = (logits - truth).abs().max(), divergence, same
        found[name] = dict(zip(("largest difference", "divergence", "same argmax"), map(float, values), strict=True))
    return found


def faithful(model: Llama, texts: Tensor) -> None:
    """Largest difference of logits and mean divergence to the stock float32 model."""
    spread = model(texts).std()
    print(f"  against float32 over {texts.numel()} positions, logits of standard deviation {spread:.2f}:")
    for name, row in distances(model, texts).items():
        print(
            f"    {name:8} max |logit difference| {row['largest difference']:.1e}   "
            f"mean KL {row['divergence']:.1e} nats   same argmax {row['same argmax']:.4f}"
        )


def steps(model: Llama, text: Tensor, names: Sequence[str] = tuple(ARITHMETICS)) -> dict[str, Step]:
    """One call on T tokens behind a prefix, for each arithmetic."""
    found: dict[str, Step] = {}
    for name in names:
        prepared = PreparedLlama(model, ARITHMETICS[name])
        slots = prepared.slots(1)
        call(prepared, text[:, :PREFIX], slots, 0)

        def step(new: int, prepared=prepared, slots=slots) -> Tensor:
            return call(prepared, text[:, PREFIX : PREFIX + new], slots, PREFIX)

        found[name] = step
    return found


def speed(label: str, model: Llama, text: Tensor, budget: float) -> None:
    found = steps(model, text)
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    print(f"  one call behind {PREFIX} tokens, ms and times native (goals: ", end="")
    print(", ".join(f"{name} {goal}" for (where, name), goal in GOALS.items() if where == label) + ")")
    for new in LENGTHS:
        least = dict.fromkeys(found, float("inf"))
        end, turn = time.perf_counter() + budget, 0
        while turn < 3 or time.perf_counter() < end:
            for name, step in found.items():
                for _ in range(3):
                    begun = clock()
                    step(new)
                    least[name] = min(least[name], clock() - begun)
            turn += 1
        row = "   ".join(f"{name} {1e3 * t:7.2f} x{t / least['native']:4.2f}" for name, t in least.items())
        print(f"    T = {new:2}   {row}", flush=True)


def where(model: Llama, text: Tensor) -> None:
    """Share of each kind of operation in a call."""
    groups = {"products": ("mm", "bmm", "_int_mm", "addmm"), "exp": ("exp", "exp_")}
    print("  where the time goes (share of operator time):")
    for name, step in steps(model, text).items():
        for new in (1, 64):
            step(new)
            with profile(activities=[ProfilerActivity.CPU]) as record:
                for _ in range(10):
                    step(new)
            spent = {row.key.removeprefix("aten::"): row.self_cpu_time_total for row in record.key_averages()}
            total = sum(spent.values())
            shares = {group: sum(spent.get(key, 0.0) for key in keys) / total for group, keys in groups.items()}
            shares["everything else"] = 1 - sum(shares.values())
            print(f"    {name:8} T = {new:2}   " + "   ".join(f"{key} {share:.0%}" for key, share in shares.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each row of the table (default 3)")
    parser.add_argument("--windows", type=int, default=16, help="held-out windows of 256 tokens (default 16)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--where", action="store_true", help="also print where the time goes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    generator = torch.Generator().manual_seed(1)
    network = pair.load().target.network
    models = {
        "pair": (network, held_out(options.windows, 256)),
        "wide": (wide(), torch.randint(8192, (2, 256), generator=generator)),
    }
    print(f"torch {torch.__version__}, {options.threads} thread(s), {torch.backends.cpu.get_cpu_capability()}")
    for label, (model, texts) in models.items():
        size = model.config
        print(f"{label}: {size.num_hidden_layers} layers of {size.hidden_size}, {size.vocab_size} tokens")
        faithful(model, texts)
        text = texts[:1].repeat(1, 2)[:, : PREFIX + max(LENGTHS)]
        speed(label, model, text, options.seconds)
        if options.where:
            where(model, text)


if __name__ == "__main__":
    main()
