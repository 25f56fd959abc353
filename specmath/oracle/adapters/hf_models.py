"""Tiny transformers models for audits: built from a config, nothing downloaded, laws that depend on the context."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specmath.oracle.adapters.place import Missing

V = 4
"""Vocabulary of the targets."""
SIZE: dict[str, Any] = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
TYPES = ["sliding_attention", "full_attention"]


@dataclass(frozen=True)
class Sampling:
    """How the target samples: ``temperature``, then ``top_k`` (0 for all), then ``top_p``; or ``greedy``."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    greedy: bool = False

    def law(self, logits: Any) -> list[float]:
        """Next-token law (V,) of logits (V,), written down again, not taken from the package under audit."""
        import torch

        if self.greedy:
            return torch.nn.functional.one_hot(logits.argmax(), len(logits)).tolist()
        logits = logits.float() / self.temperature
        if self.top_k:
            logits = logits.masked_fill(logits < torch.topk(logits, self.top_k).values[-1], -torch.inf)
        if self.top_p < 1:
            rising, order = torch.sort(logits)
            out = rising.softmax(-1).cumsum(-1) <= 1 - self.top_p
            out[-1] = False
            logits = logits.masked_fill(torch.zeros_like(out).scatter(0, order, out), -torch.inf)
        return logits.double().softmax(-1).tolist()

    def words(self) -> dict[str, Any]:
        """The same as arguments of a GenerationConfig."""
        if self.greedy:
            return {"do_sample": False}
        return {"do_sample": True, "temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}


def filled(make: Callable[[], Any], seed: int) -> Any:
    """A model whose matrices are sines of their positions: the same numbers on every machine and in every version."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = make()
        for number, weight in enumerate(model.parameters()):
            if weight.dim() >= 2:  # norms keep their ones
                places = torch.arange(1, weight.numel() + 1, dtype=torch.float64)
                weight.copy_(torch.sin(1 + seed + 12.9898 * places * (number + 1 + seed)).reshape(weight.shape))
    return model.eval()


def following(model: Any, sampling: Sampling) -> Callable[[tuple[int, ...]], list[float]]:
    """The law of the next token after a text, from a forward pass of the target alone and without a cache."""
    import torch

    known: dict[tuple[int, ...], list[float]] = {}

    def law(text: tuple[int, ...]) -> list[float]:
        if text not in known:
            with torch.no_grad():
                known[text] = sampling.law(model(torch.tensor([text]), use_cache=False).logits[0, -1])
        return known[text]

    return law


def llama(seed: int, *, vocabulary: int = V, layers: int = 1) -> Any:
    """A Llama without tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=vocabulary, num_hidden_layers=layers, tie_word_embeddings=False, **SIZE)
    return filled(lambda: LlamaForCausalLM(config), seed)


def drafting(model: Any, count: int, *, confidence: float = 0.0, **own: Any) -> Any:
    """The same model as an assistant: ``count`` drafts a round, a constant schedule, ``own`` sampling parameters."""
    words = {
        "num_assistant_tokens": count,
        "num_assistant_tokens_schedule": "constant",  # anything else outlives the call
        "assistant_confidence_threshold": confidence,
        **own,
    }
    for name, value in words.items():
        setattr(model.generation_config, name, value)
    return model


def single_position() -> tuple[Any, Any]:
    """A Gemma 4 and its assistant, which drafts from the keys and values of the target.

    An assistant shares all of its layers. Where such a one cannot be built (5.23.0), it is the unified one, with two
    layers of its own.
    """
    import transformers

    try:
        from transformers import Gemma4AssistantConfig, Gemma4AssistantForCausalLM, Gemma4ForCausalLM, Gemma4TextConfig
    except ImportError as error:
        raise Missing(f"this version has no Gemma 4 assistant: {error}") from error
    heads = {"head_dim": 8, "global_head_dim": 8, "num_global_key_value_heads": 1, "sliding_window": 16}
    common = {"vocab_size": V, **SIZE, **heads}
    # Layers 3 and 4 of the target share the keys and values of 1 and 2, which the assistant reads.
    deep = {"num_hidden_layers": 4, "layer_types": TYPES * 2, "num_kv_shared_layers": 2}
    target = filled(
        lambda: Gemma4ForCausalLM(
            Gemma4TextConfig(**common, **deep, hidden_size_per_layer_input=8, vocab_size_per_layer_input=V)
        ),
        1,
    )
    text = Gemma4TextConfig(
        **common,
        num_hidden_layers=2,
        layer_types=TYPES,
        num_kv_shared_layers=2,
        hidden_size_per_layer_input=0,
        vocab_size_per_layer_input=0,
    )
    try:
        config = Gemma4AssistantConfig(text_config=text, backbone_hidden_size=8)
        assistant = filled(lambda: Gemma4AssistantForCausalLM(config), 2)
    except ValueError:
        unified = transformers.Gemma4UnifiedTextConfig(**common, **deep)
        other = transformers.Gemma4UnifiedAssistantConfig(text_config=unified, backbone_hidden_size=8)
        assistant = filled(lambda: transformers.Gemma4UnifiedAssistantForCausalLM(other), 2)
    assistant.generation_config.num_assistant_tokens = 2
    return target, assistant


def dflash() -> tuple[Any, Any]:
    """A Llama and an assistant that drafts a block at once from two of its layers."""
    try:
        from transformers import MuseGlimmerAssistantConfig, MuseGlimmerAssistantModel
    except ImportError as error:
        raise Missing(f"this version has no DFlash assistant: {error}") from error
    config = MuseGlimmerAssistantConfig(
        **SIZE,
        num_hidden_layers=1,
        head_dim=8,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        sliding_window=16,
        block_size=3,
        mask_token_id=3,
        target_layer_ids=[0, 1],
    )
    return llama(1, layers=2), filled(lambda: MuseGlimmerAssistantModel(config), 2)


def self_drafting(stack: ExitStack) -> Any:
    """A Mellum with one layer that predicts a further token, saved in a folder that lives as long as ``stack``.

    The heads of multi-token prediction are read from the checkpoint at every call of `generate`.
    """
    import torch

    try:
        from transformers import MellumConfig, MellumForCausalLM
        from transformers.modeling_layers import MtpModel
    except ImportError as error:
        raise Missing(f"this version has no multi-token prediction for Mellum: {error}") from error
    from safetensors.torch import save_file

    config = MellumConfig(
        vocab_size=V,
        **SIZE,
        head_dim=8,
        num_hidden_layers=1,
        mlp_layer_types=["dense"],
        moe_intermediate_size=8,
        num_experts=2,
        num_experts_per_tok=1,
        num_mtp_layers=1,
        layer_types=["sliding_attention"],  # that of the heads
        sliding_window=16,
    )
    target = filled(lambda: MellumForCausalLM(config), 1)
    heads = filled(lambda: MtpModel(target, 1), 3)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="specmath-mtp-"))
    weights: dict[str, torch.Tensor] = dict(target.state_dict())
    for name, weight in heads.state_dict().items():
        if name.startswith("layers."):
            weights.update(_as_stored(name, weight))
    config.save_pretrained(folder)
    save_file({name: w.clone() for name, w in weights.items()}, Path(folder, "model.safetensors"), {"format": "pt"})
    return MellumForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _as_stored(name: str, weight: Any) -> dict[str, Any]:
    """A weight of the prediction heads under the names that checkpoints use: experts one by one."""
    place = f"mtp.{name}".replace(".mtp_block.", ".")
    if place.endswith("experts.gate_up_proj"):
        base = place.removesuffix("gate_up_proj")
        halves = {f"{base}{i}": expert.chunk(2) for i, expert in enumerate(weight)}
        gates = {f"{name}.gate_proj.weight": gate for name, (gate, _) in halves.items()}
        return {**gates, **{f"{name}.up_proj.weight": up for name, (_, up) in halves.items()}}
    if place.endswith("experts.down_proj"):
        base = place.removesuffix("down_proj")
        return {f"{base}{i}.down_proj.weight": expert for i, expert in enumerate(weight)}
    return {place: weight}


def tokenizer(words: str, *, falling: bool = False) -> Any:
    """A tokenizer of whole words, the first of which stands for anything unknown.

    With ``falling``, ``get_vocab`` lists the words by falling number, else in the order of the tokenizers library,
    another one at every call.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    class Falling(PreTrainedTokenizerFast):
        def get_vocab(self) -> dict[str, int]:
            return dict(sorted(super().get_vocab().items(), key=lambda entry: -entry[1]))

    known = words.split()
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(known)}, unk_token=known[0]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    return (Falling if falling else PreTrainedTokenizerFast)(tokenizer_object=made)
