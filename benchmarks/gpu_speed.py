"""Section of `benchmarks/gpu.py`: speed-up by speculation with CUDA graphs, and what order-independence costs.

A draft's quality is set by a script, so that the speed-up is measured as a function of the probability with which a
drafted token is the target's: after the pass of a real, smaller model, whose cost counts, its token is replaced. The
texts are greedy. In an exact arithmetic drafted and plain texts must be equal, which is checked; in the native one they
drift apart, and the script with them, so that its agreement falls: there the measured tokens a round are given.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from reference.decode import Options
from reference.decode.fixed import FixedRounds, FixedText, Script, run
from reference.decode.fixed_graph import Captured
from reference.drafters import Tree, chain_of
from reference.models.llama import Llama, LlamaConfig
from reference.models.tiny import TinyModel

if TYPE_CHECKING:
    from gpu_setting import Setting

CONTEXT = 1024
EVERY = 2
"""Rounds after which the host looks whether all texts have ended: it waits for that, but may ask for one too many."""

ARITHMETICS = ("native", "int8", "exact64")
AGREEMENTS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LENGTHS = (3, 5)
SIZES = {
    "0.1B": (
        LlamaConfig(32_000, 768, 2_048, 12, 12, 12, CONTEXT),
        LlamaConfig(32_000, 512, 1_408, 1, 8, 8, CONTEXT),
    ),
    "1B": (
        LlamaConfig(32_000, 2_048, 5_632, 18, 16, 16, CONTEXT),
        LlamaConfig(32_000, 1_024, 2_816, 2, 8, 8, CONTEXT),
    ),
}
"""Target and draft. As many key-value heads as heads: with fewer, stock attention with a mask takes a slow path."""

TINY = {"tiny": (LlamaConfig(64, 32, 48, 2, 2, 2, 128), LlamaConfig(64, 16, 24, 1, 2, 2, 128))}


@dataclass(frozen=True)
class Sizes:
    """How long texts are, and how often they are timed."""

    prompt: int
    tokens: int
    repeats: int
    eager: int
    agreements: tuple[float, ...]
    lengths: tuple[int, ...]


LARGE, SMALL = Sizes(32, 192, 2, 16, AGREEMENTS, LENGTHS), Sizes(4, 8, 1, 2, (0.8,), (3,))


def speed(setting: Setting) -> Iterator[tuple[str, Any]]:
    """Batch 1 for every model and arithmetic, then batch 8 at agreement 0.8 as far as time allows."""
    bandwidth = copied(setting)
    yield "bytes per second", bandwidth
    sizes = SMALL if setting.tiny else LARGE
    left_out, failed = [], []
    for rows in (1, 8):
        for name, configs in (TINY if setting.tiny else SIZES).items():
            for arithmetic in ("native", "int8") if setting.tiny else ARITHMETICS:
                label = f"{name} {arithmetic} batch {rows}"
                if setting.left() < 0:
                    left_out.append(label)
                    continue
                own = sizes if rows == 1 else Sizes(sizes.prompt, sizes.tokens, 1, 0, (0.8,), sizes.lengths[:1])
                print(f"  {label}", flush=True)
                try:
                    found = Bench(setting, configs, arithmetic, rows, own, bandwidth).all()
                except Exception as error:  # out of memory, say: the others can still be measured
                    traceback.print_exc()
                    found = {"error": f"{type(error).__name__}: {error}"}
                    failed.append(label)
                yield label, found
                gc.collect()
                if setting.device == "cuda":
                    torch.cuda.empty_cache()
    yield "left out", left_out
    if failed:
        raise RuntimeError(f"not measured: {', '.join(failed)}")


def copied(setting: Setting) -> float:
    """Bytes that a copy moves in a second, read and written."""
    one = torch.empty(1 << (16 if setting.tiny else 30), dtype=torch.uint8, device=setting.device)
    other, least = torch.empty_like(one), float("inf")
    for _ in range(12):
        wait(setting)
        begun = time.perf_counter()
        other.copy_(one)
        wait(setting)
        least = min(least, time.perf_counter() - begun)
    return 2 * one.nbytes / least


def wait(setting: Setting) -> None:
    if setting.device == "cuda":
        torch.cuda.synchronize()


def network(config: LlamaConfig, device: str, seed: int) -> Llama:
    """Random weights in bfloat16 that spread the logits."""
    with torch.device(device):
        made = Llama(config)
    generator = torch.Generator(device).manual_seed(seed)
    for weight in made.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5, generator=generator)
    return made.to(device=device, dtype=torch.bfloat16).requires_grad_(False)  # also the tables, made on the CPU


class Bench:
    """One pair of models in one arithmetic, decoding ``rows`` texts side by side."""

    def __init__(
        self,
        setting: Setting,
        configs: tuple[LlamaConfig, LlamaConfig],
        arithmetic: str,
        rows: int,
        sizes: Sizes,
        bandwidth: float,
    ) -> None:
        self.setting, self.sizes, self.bandwidth = setting, sizes, bandwidth
        self.cuda, self.exact = setting.device == "cuda", arithmetic != "native"
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        self.target, self.draft = (
            TinyModel(network(config, setting.device, seed), arithmetic) for seed, config in enumerate(configs)
        )
        generator = torch.Generator().manual_seed(2)
        self.prompts = torch.randint(configs[0].vocab_size, (rows, sizes.prompt), generator=generator).tolist()

    def rounds(self, tree: Tree | None = None, script: Script | None = None, temperature: float = 0.0) -> FixedRounds:
        options = [Options(max_tokens=self.sizes.tokens, temperature=temperature, request=i) for i in range(self.rows)]
        draft = None if tree is None else self.draft
        return FixedRounds(self.target, self.prompts, options=options, draft=draft, tree=tree, script=script)

    @property
    def rows(self) -> int:
        return len(self.prompts)

    def all(self) -> dict[str, Any]:
        made: dict[str, Any] = {"parameters": [count(model.network) for model in (self.target, self.draft)]}
        plain, truth = self.plain()
        made["autoregressive"] = plain
        made["chains"] = [row for length in self.sizes.lengths for row in self.chains(length, plain, truth)]
        if self.sizes.eager:
            made["without graphs, ms a token"] = self.eager()
            made["sampled"] = self.sampled()
            made["profile"] = profiled(self.rounds(), self.cuda)
        made["roofline"] = self.roofline(plain["ms a token"])
        if self.cuda:
            made["peak memory"] = torch.cuda.max_memory_allocated()
        return made

    def timed(self, rounds: FixedRounds, begin: dict[str, torch.Tensor], captured: Captured | None) -> float:
        """Least seconds for all texts, graphs captured before."""
        least = float("inf")
        for _ in range(self.sizes.repeats):
            rounds.restore(begin)
            wait(self.setting)
            begun = time.perf_counter()
            self.texts = run(rounds, captured, EVERY)
            least = min(least, time.perf_counter() - begun)
        return least

    def first(self, rounds: FixedRounds) -> tuple[dict[str, torch.Tensor], Captured | None]:
        """The start, and graphs that one run has captured."""
        begin, captured = rounds.saved(), Captured(rounds) if self.cuda else None
        run(rounds, captured, EVERY)
        return begin, captured

    def plain(self, temperature: float = 0.0) -> tuple[dict[str, Any], torch.Tensor]:
        """Speed of plain decoding, and the whole texts (B, S)."""
        rounds = self.rounds(temperature=temperature)
        seconds = self.timed(rounds, *self.first(rounds))
        truth = rounds.tokens[:, : self.sizes.prompt + self.sizes.tokens].clone()
        return speeds(self.texts, seconds), truth

    def chains(
        self,
        length: int,
        plain: dict[str, Any],
        truth: torch.Tensor,
        temperature: float = 0.0,
        agreements: Sequence[float] = (),
    ) -> Iterator[dict[str, Any]]:
        """Speed of chains of one length by a script, for each agreement (default: all)."""
        rounds = self.rounds(chain_of(length), Script(truth, 1.0), temperature)
        begin, captured = self.first(rounds)
        for agreement in agreements or self.sizes.agreements:
            rounds.agree(agreement)
            seconds = self.timed(rounds, begin, captured)
            own = speeds(self.texts, seconds)
            equal = torch.equal(rounds.tokens[:, : truth.shape[1]], truth)
            if self.exact and not equal:
                raise AssertionError(f"chain of {length}: drafted and plain texts differ")
            yield {
                "draft length": length,
                "agreement": agreement,
                **own,
                "expected tokens a round": sum(agreement**i for i in range(length + 1)),
                "speed-up": plain["ms a token"] / own["ms a token"],
                "texts equal": equal,
            }

    def eager(self) -> float:
        """Milliseconds of a round of plain decoding that the host asks for operation by operation."""
        rounds = self.rounds()
        rounds.round(rounds.size)
        wait(self.setting)
        begun = time.perf_counter()
        for _ in range(self.sizes.eager):
            rounds.round(rounds.size)
        wait(self.setting)
        return 1e3 * (time.perf_counter() - begun) / self.sizes.eager

    def sampled(self) -> dict[str, Any]:
        """The same at temperature 1, where each place takes noise for the whole vocabulary."""
        plain, truth = self.plain(1.0)
        found = self.chains(self.sizes.lengths[0], plain, truth, 1.0, (0.8,))
        return {"autoregressive": plain, "chains": list(found)}

    def roofline(self, ms: float) -> dict[str, Any]:
        """What one target pass must read, and how long that takes at the speed of a copy."""
        prepared = self.target.prepared
        weights = nbytes(prepared.layers) + nbytes(prepared.head)
        slots = prepared.slots(self.rows, self.sizes.prompt + self.sizes.tokens // 2).bytes
        least = 1e3 * (weights + slots) / self.bandwidth
        return {"bytes of weights": weights, "bytes of keys and values": slots, "least ms": least, "share": least / ms}


def speeds(texts: Sequence[FixedText], seconds: float) -> dict[str, Any]:
    """Of texts of one length side by side."""
    tokens, rounds = sum(len(text.tokens) for text in texts), sum(text.rounds for text in texts)
    return {
        "ms a token": 1e3 * seconds / len(texts[0].tokens),
        "tokens a second": tokens / seconds,
        "ms a round": 1e3 * seconds / max(text.rounds for text in texts),
        "tokens a round": tokens / rounds,
    }


def count(network: Llama) -> int:
    return sum(weight.numel() for weight in network.parameters())


def nbytes(value: Any) -> int:
    """Of all tensors in a nest of lists and tuples."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    return sum(nbytes(part) for part in value) if isinstance(value, (list, tuple)) else 0


def profiled(rounds: FixedRounds, cuda: bool) -> dict[str, Any]:
    """Kernels of one round, their time, and those that take most of it; a reason where a profiler does not run."""
    from torch.profiler import ProfilerActivity, profile

    rounds.round(rounds.size)
    try:
        with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as record:
            rounds.round(rounds.size)
            if cuda:
                torch.cuda.synchronize()
        own = "self_device_time_total" if cuda else "self_cpu_time_total"
        rows = sorted(
            ((row.key[:60], row.count, getattr(row, own)) for row in record.key_averages()), key=lambda r: -r[2]
        )
    except Exception as error:
        return {"not available": f"{type(error).__name__}: {error}"}
    total = sum(spent for _, _, spent in rows)
    return {
        "kernels": sum(calls for _, calls, _ in rows),
        "ms": total / 1e3,
        "most": [{"name": name, "calls": calls, "share": spent / max(total, 1e-9)} for name, calls, spent in rows[:8]],
    }
