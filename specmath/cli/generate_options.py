"""Options of `specmath audit --kind generate`."""

from __future__ import annotations

import argparse
from typing import Any

from specmath.cli.command import UsageError

OWN = ("target", "draft", "together", "prompt", "length", "stop")
OTHERS = ("drafts", "n")
SIGNATURE = "f(prompt, n_tokens) -> new tokens; beside it target(text) -> law (V,) of the next token"


def add_generate_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, in a group of their own."""
    group = parser.add_argument_group("--kind generate")
    group.add_argument("--target", metavar="NAME", help="the target's law, in the same file (default: target)")
    group.add_argument("--draft", metavar="NAME", help="the draft's law, to name the cause of a bias")
    group.add_argument("--together", metavar="NAME", help="the same for several prompts, f(prompts, n_tokens) -> rows")
    group.add_argument(
        "--prompt", action="append", metavar="T,T,..", help="a prompt, such as 0,1; may be repeated (default: 0)"
    )
    group.add_argument("--length", type=int, metavar="N", help="new tokens (default: 4)")
    group.add_argument("--stop", type=int, metavar="T", help="token that ends a text (default: none)")


def generate_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options for `specmath.oracle.generate.named`, empty for other kinds. UsageError for what does not fit."""
    given = {name: getattr(arguments, name) for name in OWN if getattr(arguments, name) is not None}
    if arguments.kind != "generate":
        if given and not (arguments.adapter and set(given) == {"length"}):
            raise UsageError(f"--{next(iter(given))} is for --kind generate")
        return {name: _at_least_one(value) for name, value in given.items()}
    for name in OTHERS:
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name} is not for --kind generate, whose calls draw their own drafts")
    if "length" in given:
        _at_least_one(given["length"])
    if "prompt" in given:
        given["prompts"] = [_tokens(text) for text in given.pop("prompt")]
    return {"target": "target", **given}


def _at_least_one(length: int) -> int:
    if length < 1:
        raise UsageError(f"--length is {length}; allowed are numbers >= 1")
    return length


def _tokens(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace(" ", "").split(",")]
    except ValueError:
        raise UsageError(f"--prompt is {text!r}; allowed are whole numbers with commas between, such as 0,1") from None
