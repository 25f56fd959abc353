"""A transformers model cut behind its first layers, sharing every weight."""

from __future__ import annotations

import copy
from typing import Any

LAYERS = ("layers", "h")
"""Names under which trunks keep their layers."""


def first_layers(network: Any, layers: int) -> Any:
    """The same causal network with its first ``layers`` layers, norm and head; every module that is kept is shared."""
    early, trunk = _shallow(network), _shallow(network.base_model)
    name = next(name for name in LAYERS if name in trunk._modules)
    setattr(trunk, name, trunk._modules[name][:layers])
    setattr(early, network.base_model_prefix, trunk)
    config = copy.deepcopy(network.config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    early.config = trunk.config = config
    return early


def _shallow(module: Any) -> Any:
    """A module of its own with the same children, weights and buffers."""
    made = copy.copy(module)
    made._modules = dict(module._modules)
    return made
