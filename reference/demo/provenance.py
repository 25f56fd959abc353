"""Where the numbers of a report come from: versions, command, machine, models."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import specmath
from reference.models.tiny import TinyModel
from reference.pair import HOME, Pair

LIBRARIES = ("numpy", "scipy", "torch", "matplotlib")


def provenance(pair: Pair, folder: Path | None) -> dict[str, Any]:
    """Versions, command, time and machine, and for each model its size and the losses its training record tells."""
    import torch

    home = HOME if folder is None else folder
    return {
        "specmath": specmath.__version__,
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "command": " ".join(["specmath", *sys.argv[1:]]) if len(sys.argv) > 1 else "specmath demo",
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} thread used by torch",
        "models": {
            "target": _model(pair.target, home / "target"),
            "draft": _model(pair.draft, home / "draft"),
        },
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _model(model: TinyModel, folder: Path) -> dict[str, Any]:
    config = model.network.config
    record: dict[str, Any] = {}
    file = folder / "training.json"
    if file.exists():
        record = json.loads(file.read_text(encoding="utf-8"))
    return {
        "parameters": sum(weight.numel() for weight in model.network.parameters()),
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "context": config.max_position_embeddings,
        "held_out_nats_per_byte": record.get("held_out_nats_per_byte"),
        "training_tokens": record.get("tokens_seen"),
    }
