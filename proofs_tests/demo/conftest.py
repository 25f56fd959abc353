"""A pair without training, small enough for a demo in a second or two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reference.demo import audits
from reference.models.llama import Llama, LlamaConfig
from reference.pair.train import initial


def write(folder: Path, layers: int, seed: int) -> None:
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
    )
    model: Llama = initial(config, seed)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.as_json()), encoding="utf-8")
    # Larger weights than at the start of a training, so that the two laws differ.
    save_file(
        {name: 3 * value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors"
    )


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random pair."""
    folder = tmp_path_factory.mktemp("pair")
    with torch.random.fork_rng():
        write(folder / "target", 2, 1)
        write(folder / "draft", 1, 2)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _short_audits() -> Iterator[None]:
    """The oracle's section on two instances, and without a published function, whose import takes seconds."""
    kept = audits.INSTANCES, audits.PUBLISHED
    audits.INSTANCES, audits.PUBLISHED = 2, ()
    yield
    audits.INSTANCES, audits.PUBLISHED = kept
