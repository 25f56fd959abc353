"""Assisted generation with another tokenizer and do_sample=True, against the target's own law.

``python universal_assisted.py [SAMPLES]``, with transformers and scipy. A target of 12 words, an assistant of 13 (one
that the target does not know). Two new tokens are sampled, plainly and with the assistant, and counted against the
softmax of plain forward passes by Pearson's chi-square. Plain generation must not be rejected; the other is what the
script is for.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any

import torch
from scipy.stats import chi2
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, __version__

WORDS = list("abcdefghijkl")
PROMPT = torch.tensor([[0, 1]])


def tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[0]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(tokenizer_object=made)


def llama(size: int, seed: int) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=size, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=32, initializer_range=1.0,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def texts(target: Any, samples: int, **more: Any) -> Counter[tuple[int, ...]]:
    torch.manual_seed(0)
    options = {"do_sample": True, "top_k": 0, "max_new_tokens": 2, "pad_token_id": 0}
    mask = torch.ones_like(PROMPT)
    return Counter(
        tuple(target.generate(PROMPT, attention_mask=mask, **options, **more)[0, 2:].tolist()) for _ in range(samples)
    )


def law(target: Any) -> dict[tuple[int, ...], float]:
    """Of two new tokens, by plain forward passes."""

    def after(*text: int) -> list[float]:
        return target(torch.tensor([text])).logits[0, -1].double().softmax(-1).tolist()

    start = PROMPT[0].tolist()
    return {(x, y): p * q for x, p in enumerate(after(*start)) for y, q in enumerate(after(*start, x))}


def report(name: str, seen: Counter[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> None:
    """Cells with less than five expected are counted together."""
    samples = sum(seen.values())
    pairs = [(seen[text], p * samples) for text, p in expected.items() if p * samples >= 5]
    pairs.append((samples - sum(o for o, _ in pairs), samples - sum(e for _, e in pairs)))
    statistic = sum((o - e) ** 2 / e for o, e in pairs)
    digits = chi2.logsf(statistic, len(pairs) - 1) / math.log(10)
    p = f"log10 p {digits:.1f}" if math.isfinite(digits) else "p below 1e-300"
    print(f"{name}: chi-square {statistic:.1f} on {len(pairs) - 1} degrees of freedom, {p}")


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    target, draft = llama(12, 1), llama(13, 2)
    draft.generation_config.num_assistant_tokens = 1
    draft.generation_config.num_assistant_tokens_schedule = "constant"
    print(f"transformers {__version__}, torch {torch.__version__}, {samples} texts each")
    with torch.no_grad():
        expected = law(target)
        report("plain", texts(target, samples), expected)
        own, other = tokenizer(WORDS), tokenizer(["x", *WORDS])
        found = texts(target, samples, assistant_model=draft, tokenizer=own, assistant_tokenizer=other)
    report("with the assistant", found, expected)


if __name__ == "__main__":
    main()
