"""A pair of byte models with random weights in place of the shipped one, and ``specmath decode`` run on it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from safetensors.torch import save_file

from proofs_tests.decode.test_models import random_llama
from reference.models.llama import LlamaConfig
from specmath.cli import main

SCHEMAS = files("specmath") / "schemas"
SCHEMA = json.loads((SCHEMAS / "decode.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def make_pair(folder: Path, *, vocabularies: tuple[int, int] = (256, 256)) -> Path:
    """Target of two layers, draft of one with the weights of the target's first layer."""
    for name, layers, size in zip(("target", "draft"), (2, 1), vocabularies, strict=True):
        config = LlamaConfig(size, 16, 24, layers, 2, 1, 96)
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(config.as_json()))
        save_file(dict(random_llama(config, scale=0.5).state_dict()), folder / name / "model.safetensors")
    return folder


def objects(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    """What ``specmath decode --json`` prints; the first line is checked against the schema."""
    assert main(["decode", *map(str, arguments), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    VALIDATOR.validate(found[0])
    return found


def one_object(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The same for one prompt."""
    (found,) = objects(capsys, *arguments)
    return found


def timeless(value: Any) -> Any:
    """A result without the times in it."""
    if isinstance(value, dict):
        return {name: timeless(inner) for name, inner in value.items() if name != "seconds"}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


def write_prompts(path: Path, *prompts: Any) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts), encoding="utf-8")
    return path
