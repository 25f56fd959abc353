"""Train the shipped target and draft on the standard library's text: ``python -m reference.pair.train``.

Deterministic for a given machine, thread count and library text: the batch of a step follows from the seed and the
step's number alone, so that a run that was killed resumes to the same weights. Losses are nats per byte.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional as F
from tqdm import tqdm

from reference.models.llama import Llama, LlamaConfig
from reference.pair import corpus

TARGET = LlamaConfig(
    vocab_size=256,
    hidden_size=192,
    intermediate_size=448,
    num_hidden_layers=14,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=512,
)
DRAFT = LlamaConfig(
    vocab_size=256,
    hidden_size=192,
    intermediate_size=640,
    num_hidden_layers=1,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=512,
)
HELD_OUT_WINDOWS = 256


@dataclass(frozen=True)
class Recipe:
    """How one model is trained: AdamW, linear warm-up, cosine decay to a tenth of ``rate``; sizes are counts."""

    steps: int
    rate: float
    windows: int = 4
    length: int = 512
    warmup: int = 100
    decay: float = 0.1
    clip: float = 1.0
    seed: int = 20261120
    checkpoint_every: int = 100

    def rate_at(self, step: int) -> float:
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


TARGET_RECIPE = Recipe(steps=5000, rate=2e-3)
DRAFT_RECIPE = Recipe(steps=5000, rate=4e-3)


def batch(text: NDArray[np.uint8], recipe: Recipe, step: int) -> torch.Tensor:
    """Windows of step ``step``, shape (windows, length + 1): each epoch is a fresh shuffle of all windows."""
    count = (len(text) - 1) // recipe.length
    if count < recipe.windows:
        raise ValueError(f"text: {len(text)} tokens; one batch needs {recipe.windows * recipe.length + 1}")
    per_epoch = count // recipe.windows
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(count)
    chosen = order[place * recipe.windows : (place + 1) * recipe.windows] * recipe.length
    rows = text[chosen[:, None] + np.arange(recipe.length + 1)]
    return torch.from_numpy(rows.astype(np.int64))


def loss_of(model: Llama, rows: torch.Tensor) -> torch.Tensor:
    """Mean next-byte cross entropy in nats, matrix products in bfloat16; rows (B, T + 1)."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(rows[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model: Llama, text: NDArray[np.uint8], length: int, windows: int = HELD_OUT_WINDOWS) -> float:
    """Mean loss over ``windows`` evenly spaced windows of the held-out text."""
    starts = np.linspace(0, len(text) - length - 1, min(windows, len(text) // (length + 1))).astype(int)
    losses = []
    for chunk in np.array_split(starts, max(1, len(starts) // 8)):
        rows = torch.from_numpy(text[chunk[:, None] + np.arange(length + 1)].astype(np.int64))
        losses += [loss_of(model, rows).item()] * len(chunk)
    return float(np.mean(losses))


def initial(config: LlamaConfig, seed: int) -> Llama:
    """Fresh weights: normal with deviation 0.02, projections back into the residual stream scaled down by depth."""
    torch.manual_seed(seed)
    model = Llama(config)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            into_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
            scale = 0.02 / math.sqrt(2 * config.num_hidden_layers) if into_stream else 0.02
            torch.nn.init.normal_(weight, std=scale)
    return model


def fit(
    name: str, config: LlamaConfig, recipe: Recipe, train: NDArray[np.uint8], held: NDArray[np.uint8], work: Path
) -> Llama:
    """Train one model; a checkpoint in ``work`` is taken up where it stopped."""
    model = initial(config, recipe.seed)
    matrices = [w for w in model.parameters() if w.ndim == 2]
    vectors = [w for w in model.parameters() if w.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=recipe.rate,
        betas=(0.9, 0.95),
    )
    saved, first = work / f"{name}.pt", 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        if state["recipe"] != asdict(recipe):
            raise ValueError(f"{saved}: written by another recipe; remove it to start afresh")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    bar = tqdm(range(first, recipe.steps), initial=first, total=recipe.steps, desc=name, mininterval=1.0)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_at(step)
        loss = loss_of(model, batch(train, recipe, step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        done = step + 1
        if done % recipe.checkpoint_every == 0 or done == recipe.steps:
            bar.set_postfix(loss=f"{loss.item():.3f}")
            if done % (5 * recipe.checkpoint_every) == 0 or done == recipe.steps:
                tqdm.write(
                    f"{name} step {done}: held-out {held_out_loss(model, held, recipe.length, 64):.4f} nats/byte"
                )
            state = {
                "step": done,
                "recipe": asdict(recipe),
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            part = saved.with_suffix(".part")
            torch.save(state, part)
            part.replace(saved)  # a kill leaves either the old or the new checkpoint, never half of one
    return model


def ship(model: Llama, folder: Path, record: dict[str, object]) -> None:
    """Write config.json, bfloat16 model.safetensors and the training record."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model.config.as_json(), indent=2) + "\n")
    weights = {name: value.to(torch.bfloat16).contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    """Train, report held-out loss, and ship: the command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m reference.pair.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for target/ and draft/")
    parser.add_argument("--work", type=Path, default=Path("build/pair"), help="folder for checkpoints")
    parser.add_argument("--only", choices=["target", "draft"], help="train one of the two")
    parser.add_argument("--threads", type=int, default=2, help="torch threads; part of what makes a run repeatable")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    found = corpus.documents()
    if corpus.MANIFEST.exists():
        for line in corpus.differences(found):
            print(f"library text differs from the manifest: {line}")
    train = corpus.tokens([d for d in found if not d.held_out])
    held = corpus.tokens([d for d in found if d.held_out])
    print(f"text: {len(train):,} bytes to train on, {len(held):,} held out, {torch.get_num_threads()} threads")
    for name, config, recipe in [("draft", DRAFT, DRAFT_RECIPE), ("target", TARGET, TARGET_RECIPE)]:
        if options.only in (None, name):
            begun = time.perf_counter()
            model = fit(name, config, recipe, train, held, options.work)
            rounded = Llama(config)
            rounded.load_state_dict({k: v.to(torch.bfloat16).float() for k, v in model.state_dict().items()})
            loss = held_out_loss(rounded, held, recipe.length)
            record = {
                "held_out_nats_per_byte": round(loss, 4),
                "parameters": sum(w.numel() for w in model.parameters()),
                "tokens_seen": recipe.steps * recipe.windows * recipe.length,
                "recipe": asdict(recipe),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "seconds_this_run": round(time.perf_counter() - begun),
                "command": "python -m reference.pair.train",
            }
            ship(model, options.out / name, record)
            print(f"{name}: {json.dumps(record)}")
    corpus.write_manifest(found, options.out / "manifest.json")


if __name__ == "__main__":
    main()
