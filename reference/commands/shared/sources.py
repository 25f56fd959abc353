"""Which models a command runs: the shipped pair, a pair of one's own, or a target and a draft from two folders."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reference.commands.shared.choices import one_of
from reference.commands.shared.words import Words
from specmath.cli.command import UsageError

if TYPE_CHECKING:
    from reference.models.protocol import LanguageModel
    from reference.models.tiny import TinyModel
    from reference.models.transformers import TransformersModel

ARITHMETICS = ("exact64", "int8", "native")
DTYPES = ("float32", "bfloat16", "float64")


@dataclass(frozen=True)
class Models:
    """What was loaded.

    Attributes
    ----------
    target, draft : the models; no draft where none is needed.
    words : how text becomes tokens of the target, and tokens text.
    folders : the folder of each model, and its name in results: "shipped" for the shipped pair.
    """

    target: LanguageModel
    draft: LanguageModel | None
    words: Words
    folders: dict[str, tuple[Path, str]]
    layers: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Folder and digest of each model; ``layers`` is how many of them an early draft has."""
        told: dict[str, Any] = {
            name: {"folder": shown, "digest": fingerprint(folder)} for name, (folder, shown) in self.folders.items()
        }
        if self.draft is None:
            return {"target": told["target"], "draft": None}
        return {
            "target": told["target"],
            "draft": told["draft"] if self.layers is None else {**told["target"], "layers": self.layers},
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options --pair, --target, --draft, --arithmetic, --dtype and --device."""
    group = parser.add_argument_group("models")
    group.add_argument("--pair", type=Path, metavar="DIR", help="folder with target/ and draft/ (default: shipped)")
    group.add_argument(
        "--target", type=Path, metavar="DIR", help="folder of a transformers model (config.json, weights, tokenizer)"
    )
    group.add_argument("--draft", type=Path, metavar="DIR", help="folder of the draft for --target, with its tokens; "
                       "not read where nobody drafts, as with --decoder autoregressive")  # fmt: skip
    group.add_argument(
        "--arithmetic",
        default="exact64",
        metavar="NAME",
        help="exact64 (default) or int8: bits do not depend on how tokens are batched, so every decoder gives the same "
        "text; native: the library's kernels, faster, without that promise",
    )
    group.add_argument(
        "--dtype", default="float32", metavar="NAME", help=f"of the weights: {', '.join(DTYPES)} (default float32)"
    )
    group.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default), cuda, or cuda:1 and so on")


def settings(arguments: argparse.Namespace) -> dict[str, str]:
    """What a result tells about how the models are computed."""
    return {name: getattr(arguments, name) for name in ("arithmetic", "dtype", "device")}


def check(arguments: argparse.Namespace, drafter: str) -> None:
    """UsageError for names that do not exist and folders that do not go together; nothing is loaded."""
    one_of("--arithmetic", arguments.arithmetic, ARITHMETICS)
    one_of("--dtype", arguments.dtype, DTYPES)
    if arguments.pair is not None and (arguments.target is not None or arguments.draft is not None):
        raise UsageError("--pair is allowed without --target and --draft only")
    if arguments.target is None and arguments.draft is not None:
        raise UsageError("--draft is allowed with --target only; the shipped draft belongs to the shipped target")
    if arguments.target is not None and arguments.draft is None and drafter == "model":
        raise UsageError(
            "--target needs --draft DIR here; allowed without a draft are --drafter early, --drafter lookup and "
            "--decoder autoregressive"
        )
    if arguments.draft is not None and drafter not in ("model", "none"):  # without drafts it is one option too many
        raise UsageError(f"--draft is allowed with --drafter model only, here it is {drafter!r}")


def load(arguments: argparse.Namespace, drafter: str, layers: int | None) -> Models:
    """The models that the drafter needs, after `check`. ValueError and OSError say which folder is at fault."""
    from reference import pair

    if arguments.target is not None:
        folders = {"target": (arguments.target, str(arguments.target))}
        if arguments.draft is not None and drafter == "model":
            folders["draft"] = arguments.draft, str(arguments.draft)
    else:
        home = pair.HOME if arguments.pair is None else arguments.pair
        shown = "shipped" if arguments.pair is None else str(arguments.pair)
        folders = {part: (home / part, f"{shown}/{part}") for part in ("target", "draft")}
        for folder, _ in folders.values():
            if not (folder / "config.json").exists():
                raise FileNotFoundError(
                    f"{folder / 'config.json'}: no such file; train it: python -m reference.pair.train"
                )
    _check_device(arguments.device)
    words = Words.of(*folders["target"], arguments.stop)
    alike = drafter == "model" and _one_tokenizer(words, folders, "--draft" if arguments.target else "--pair")
    target = _open(folders["target"][0], arguments)
    _check_stop(words.stop, target.vocabulary_size, "--stop" if arguments.stop is not None else folders["target"][1])
    draft = None
    if drafter == "model":
        draft = _fitted(_open(folders["draft"][0], arguments), target, alike)
    elif drafter == "early":
        try:
            draft = target.early(layers or 1)
        except ValueError as error:
            raise UsageError(f"--early-layers: {error}") from None
    return Models(target, draft, words, folders, layers)


def _check_device(device: str) -> None:
    from reference.models.tiny import visible_device

    try:
        visible_device(device)
    except ValueError as error:
        raise UsageError(f"--device: {error}") from None


def _open(folder: Path, arguments: argparse.Namespace) -> TinyModel | TransformersModel:
    import torch

    from reference.models.folder import open_model
    from reference.models.tiny import TinyModel

    model = open_model(folder, arithmetic=arguments.arithmetic, dtype=arguments.dtype, device=arguments.device)
    if isinstance(model, TinyModel):
        # So small that handing rows to a second thread costs more than it saves, and on a busy machine waiting for
        # that thread costs a hundred times more.
        torch.set_num_threads(1)
    return model


def _one_tokenizer(words: Words, folders: Mapping[str, tuple[Path, str]], option: str) -> bool:
    """Whether target and draft are known to have one; False where a folder holds none. UsageError for two that differ.

    Compared is which token has which id, not how the files are written.
    """
    own, other = words.vocabulary(), Words.of(*folders["draft"], None).vocabulary()
    if own is None or other is None:
        return False
    unlike = own.items() ^ other.items()
    if not unlike:
        return True
    token, number = min(unlike, key=lambda entry: (entry[1], entry[0]))
    place = folders["target" if own.get(token) == number else "draft"][1]
    raise UsageError(
        f"{option}: the tokenizers of {folders['target'][1]} and {folders['draft'][1]} differ: token {number} is "
        f"{token!r} only in {place}; allowed are models of one tokenizer, padded or not"
    )


def _check_stop(stop: Iterable[int], size: int, where: str) -> None:
    """UsageError for a token that ends texts and is none of the target's."""
    for token in sorted(stop):
        if not 0 <= token < size:
            raise UsageError(f"{where}: stop token {token}; allowed are token ids from 0 to {size - 1}")


def _fitted(draft: LanguageModel, target: LanguageModel, alike: bool) -> LanguageModel:
    """The draft over the target's vocabulary: vocabularies of one tokenizer may be padded to different lengths."""
    from reference.models.vocabulary import mapped

    if draft.vocabulary_size == target.vocabulary_size or not alike:
        return draft  # the drafter refuses those that differ
    return mapped(draft, target.vocabulary_size, unknown=0)


def fingerprint(folder: Path) -> str:
    """Digest of a model's files: configuration and weights, by name and content."""
    told = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        if path.name == "config.json" or path.suffix in (".safetensors", ".bin"):
            told.update(f"{path.name} {path.stat().st_size}\n".encode())
            with path.open("rb") as stream:
                while piece := stream.read(2**20):
                    told.update(piece)
    return told.hexdigest()
