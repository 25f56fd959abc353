"""Turn a stock transformers model into an order-independent one that shares its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from reference.numerics import elementwise
from reference.numerics.attend import AttentionBudget, attention
from reference.numerics.modules import Elementwise, LayerNorm, Linear, RMSNorm
from reference.numerics.registry import arithmetic as by_name

FAMILIES = {
    "llama": "Llama",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
    "mistral": "Mistral",
    "gemma": "Gemma",
    "gemma2": "Gemma2",
    "gemma3": "Gemma3",
    "gpt2": "GPT2",
    "phi": "Phi",
    "phi3": "Phi3",
    "olmo2": "Olmo2",
    "gpt_neox": "GPTNeoX",
}
"""Package of each supported family in transformers.models, and the prefix of its class names."""

PARTS = ["ForCausalLM", "LMHeadModel", "Model", "TextModel", "DecoderLayer", "Layer", "Block", "Attention", "MLP"]
PARTS += ["RMSNorm", "RotaryEmbedding", "TextScaledWordEmbedding"]
"""Class names of a family behind its prefix. Read: none adds up anything outside linear layers, norms and attention."""

OFFSET_NORMS = {"gemma", "gemma2", "gemma3"}
"""Families whose norm multiplies by 1 + weight."""

PLAIN = {"Embedding", "Dropout", "Identity", "ModuleList"}
"""Modules of torch.nn that move or drop numbers and add nothing."""

ACTIVATIONS = {
    "SiLU": elementwise.silu,
    "SiLUActivation": elementwise.silu,
    "GELUActivation": elementwise.gelu,
    "GELU": elementwise.gelu,
    "NewGELUActivation": elementwise.gelu_tanh,
    "FastGELUActivation": elementwise.gelu_tanh,
    "GELUTanh": elementwise.gelu_tanh,
    "QuickGELUActivation": elementwise.quick_gelu,
    "Sigmoid": elementwise.sigmoid,
    "ReLUSquaredActivation": elementwise.relu_squared,
}

FIXED_ROPE = {"default", "linear", "llama3", "yarn"}
"""Rotary schemes whose angles follow from the position alone; others look at the longest text of the call."""

ROUNDED_BY_CALL = ("s_aux", "position_bias", "head_mask")
"""Extras some families hand to attention, which this one does not compute."""


def exactify(model: Any, arithmetic: str = "exact64", *, context: int | None = None) -> Any:
    """A copy of a transformers causal model whose rows have the same bits in every batch, tree, cache and split.

    ``model`` is left as it is and shares its parameters with the copy; weights are put on their grids now, so later
    changes do not reach the copy. ``context`` is the largest number of cache slots a call will have (default: the
    config's ``max_position_embeddings``): it sets the grid of attention, so compare only models made with one context.
    Masks are boolean, 2-d for padding or 4-d (B, 1, T, S) for trees; hand in ``position_ids`` with trees.

    Raises ValueError that names every module the method does not know, and for arithmetic "native"; BudgetError if a
    sum of the model is too long for its bits.
    """
    chosen = by_name(arithmetic)
    if not chosen.exact:
        raise ValueError(f"arithmetic is {arithmetic!r}; allowed are those that are exact: 'exact64', 'int8'")
    slots = getattr(model.config, "max_position_embeddings", None) if context is None else context
    if slots is None:
        raise ValueError("context: the config names no max_position_embeddings; hand in the largest number of slots")
    _refuse(model)
    for module in model.modules():
        if isinstance(getattr(module, "head_dim", None), int):
            AttentionBudget.of(module.head_dim, slots)  # raises now rather than in the first call
    twin = twin_of(model)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            new = _replacement(child, chosen)
            if new is not None:
                setattr(parent, name, new)
    twin.set_attn_implementation(_registered(slots))
    return twin


def twin_of(model: Any) -> Any:
    """A copy with a config of its own, in evaluation mode, that shares every parameter and buffer."""
    shared: dict[int, Any] = {id(item): item for item in [*model.parameters(), *model.buffers()]}
    return copy.deepcopy(model, shared).eval()


def causal_family(model: Any) -> str:
    """The family of a transformers model for next tokens; ValueError for anything else."""
    family, name = _family(model)
    if family not in FAMILIES or name not in {FAMILIES[family] + part for part in ("ForCausalLM", "LMHeadModel")}:
        raise ValueError(f"model is a {name}; allowed are the causal models of {', '.join(FAMILIES)}")
    return family


def _family(module: nn.Module) -> tuple[str, str]:
    """Package of a transformers model's module and its class name; an empty package for everything else."""
    words, name = type(module).__module__.split("."), type(module).__name__
    return (words[2] if words[:2] == ["transformers", "models"] else ""), name


def _activation(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """The order-independent form of an activation, None if there is none."""
    if not type(module).__module__.startswith(("torch.nn.", "transformers.activations")):
        return None
    if isinstance(module, nn.GELU) and module.approximate == "tanh":
        return elementwise.gelu_tanh
    return ACTIVATIONS.get(type(module).__name__)


def _known(module: nn.Module) -> bool:
    family, name = _family(module)
    if family:
        return family in FAMILIES and name in {FAMILIES[family] + part for part in PARTS}
    package = type(module).__module__
    if _activation(module) is not None:
        return True
    if name == "Conv1D":
        return package == "transformers.pytorch_utils"
    return package.startswith("torch.nn.modules.") and name in PLAIN | {"Linear", "LayerNorm"}


def _refuse(model: Any) -> None:
    """ValueError naming what the method does not know."""
    unknown = sorted(
        {f"{type(m).__name__} at {name or 'the top'}" for name, m in model.named_modules() if not _known(m)}
    )
    if unknown:
        raise ValueError(f"model: unknown modules: {', '.join(unknown)}; allowed families are {', '.join(FAMILIES)}")
    check_rope(model.config)


def check_rope(config: Any) -> None:
    """ValueError for a rotary scheme whose angles do not follow from the position alone."""
    rope = getattr(config, "rope_parameters", None) or {}
    tables = [rope] if "rope_type" in rope else [table for table in rope.values() if isinstance(table, dict)]
    for table in tables:
        if table.get("rope_type", "default") not in FIXED_ROPE:
            raise ValueError(
                f"model: rope_type is {table['rope_type']!r}, whose angles depend on the longest text of a call; "
                f"allowed are {', '.join(sorted(FIXED_ROPE))}"
            )


def _replacement(module: nn.Module, arithmetic: Any) -> nn.Module | None:
    """The order-independent module to put in place of this one, None where it may stay."""
    family, name = _family(module)
    if isinstance(module, nn.Linear):
        return Linear(module.weight, module.bias, arithmetic, transposed=False)
    if name == "Conv1D":
        conv: Any = module
        return Linear(conv.weight, conv.bias, arithmetic, transposed=True)
    if isinstance(module, nn.LayerNorm):
        if len(module.normalized_shape) != 1:
            raise ValueError(f"model: a LayerNorm over {len(module.normalized_shape)} axes; allowed is one")
        return LayerNorm(module.weight, module.bias, module.eps)
    if name.endswith("RMSNorm"):
        norm: Any = module
        eps = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps
        return RMSNorm(norm.weight, eps, 1.0 if family in OFFSET_NORMS else 0.0)
    function = _activation(module)
    return None if function is None else Elementwise(function)


def _registered(context: int) -> str:
    """Name under which attention for that many slots is registered with transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    def attend(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        softcap: float | None = None,
        **extras: Any,
    ) -> tuple[Tensor, None]:
        given = [name for name in ROUNDED_BY_CALL if extras.get(name) is not None]
        if given or dropout:
            raise ValueError(f"attention: {', '.join(given) or 'dropout'} is not supported by exactify")
        if attention_mask is None and query.shape[2] > 1:
            raise ValueError("attention: no mask for several tokens; hand in a boolean one")
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        mask = None if attention_mask is None else attention_mask[..., : key.shape[2]]
        mixed = attention(query, key, value, mask, scale=scale, context=context, cap=softcap)
        return mixed.transpose(1, 2).contiguous().to(query.dtype), None

    def visible(*args: Any, **options: Any) -> Tensor | None:
        return sdpa_mask(*args, **{**options, "allow_is_causal_skip": False, "allow_is_bidirectional_skip": False})

    name = f"order_independent_{context}"
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, visible)
    return name
