"""Read a transformers model from a local folder, whole or not at all, and never from anywhere else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from reference.models.tiny import visible_device
from reference.numerics.exactify import FAMILIES

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
"""Dtypes of weights, by name."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where transformers looks for weights, in its order."""

INERT = ("rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "attention.bias", "attention.masked_bias")
"""Ends of names of constants that old files hold beside the weights and that follow from the config."""


def dtype_of(name: str | torch.dtype) -> torch.dtype:
    """The dtype of that name; ValueError naming those that exist.

    >>> dtype_of("bfloat16")
    torch.bfloat16
    """
    if isinstance(name, torch.dtype) and name in DTYPES.values():
        return name
    if name not in DTYPES:
        raise ValueError(f"dtype is {name!r}; allowed are {', '.join(DTYPES)}")
    return DTYPES[name]  # type: ignore[index]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; ValueError naming the file if it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: holds {type(found).__name__}; allowed is an object")
    return found


def read_config(folder: str | Path) -> dict[str, Any]:
    """``config.json`` of a folder; FileNotFoundError naming what is missing, ValueError for a file that is not JSON."""
    home = Path(folder)
    if not home.is_dir():
        raise FileNotFoundError(f"{home}: no such folder; allowed is a local folder with config.json and weights")
    if not (home / "config.json").is_file():
        raise FileNotFoundError(f"{home / 'config.json'}: no such file; a model's folder holds config.json and weights")
    return read_json(home / "config.json")


def load_network(
    folder: str | Path, *, dtype: str | torch.dtype = "float32", device: torch.device | str = "cpu"
) -> Any:
    """The causal model of a folder (config.json, and safetensors or bin files), in a dtype, on a device.

    Everything that can be told without the weights is checked before they are read. Raises FileNotFoundError naming the
    folder or file that is missing; ValueError for a device that torch does not see, an unknown dtype or family,
    quantised weights, and weights that are not exactly those of the config.
    """
    kind, place = dtype_of(dtype), visible_device(device)
    home, config = Path(folder), read_config(folder)
    family = config.get("model_type")
    types = [{"gemma3": "gemma3_text"}.get(name, name) for name in FAMILIES]
    if family not in types:
        raise ValueError(f"{home / 'config.json'}: model_type is {family!r}; allowed are {', '.join(types)}")
    if config.get("quantization_config"):
        raise ValueError(f"{home / 'config.json'}: it has a quantization_config; allowed are weights in floating point")
    _check_files(home)
    return _read(home, kind).to(place).requires_grad_(False).eval()


def _check_files(home: Path) -> None:
    """FileNotFoundError unless the weights are there, all of their files."""
    found = next((home / name for name in WEIGHTS if (home / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{home}: no weights; config.json needs {' or '.join(WEIGHTS)} beside it")
    if found.suffix == ".json":
        for name in sorted(set(read_json(found).get("weight_map", {}).values())):
            if not (home / name).is_file():
                raise FileNotFoundError(f"{home / name}: no such file; {found.name} names it")


def _read(home: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        with quiet():
            found: Any = AutoModelForCausalLM.from_pretrained(
                home, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # files are wrong in many ways, and the libraries have as many classes of errors
        raise ValueError(f"{home}: cannot be read ({' '.join(str(error).split())})") from None
    network, report = found
    missing = sorted(report["missing_keys"])
    other = sorted(name for name in report["unexpected_keys"] if not name.endswith(INERT))
    if missing or other or report["mismatched_keys"]:
        wrong = [f"{len(missing)} missing ({', '.join(missing[:3])})"] if missing else []
        wrong += [f"{len(other)} unknown ({', '.join(other[:3])})"] if other else []
        wrong += [f"of another shape: {report['mismatched_keys']}"] if report["mismatched_keys"] else []
        raise ValueError(f"{home}: the weights are not those of config.json: {'; '.join(wrong)}")
    return network


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the bars and tables of transformers: what is wrong is an error here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
