"""Prompts of a command: from its words, or from a file of JSON lines."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specmath.cli.command import UsageError

Content = str | tuple[int, ...]
"""A prompt as text or as token ids."""


@dataclass(frozen=True)
class Prompt:
    """A prompt, where it stands, and the ``id`` it came with, if it had one."""

    content: Content
    where: str
    extra: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The fields ``id`` (if any) and ``prompt`` of a result."""
        return {**self.extra, "prompt": self.content if isinstance(self.content, str) else list(self.content)}


def add_arguments(parser: argparse.ArgumentParser, *, shown: str = "") -> None:
    """The options --prompt, --prompt-tokens and --prompts; ``shown`` tells what a file of prompts changes."""
    group = parser.add_argument_group("prompts", "--prompt and --prompt-tokens may be given several times.")
    group.add_argument("--prompt", dest="prompt", action="append", metavar="TEXT", help="text to continue")
    group.add_argument(
        "--prompt-tokens",
        dest="prompt",
        action="append",
        type=token_ids,
        metavar="IDS",
        help="the same as token ids, such as 0,100,101; nothing is put in front of them",
    )
    group.add_argument(
        "--prompts",
        metavar="FILE",
        type=Path,
        help='one JSON string or object {"prompt": ..., "id": ...} per line; a prompt is a text or a list of token ids'
        + shown,
    )


def token_ids(word: str) -> tuple[int, ...]:
    """Token ids from a word of the command line."""
    try:
        return tuple(int(part) for part in word.split(",")) if word.strip() else ()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r}; allowed are token ids with commas, such as 0,100,101") from None


def given(arguments: argparse.Namespace) -> list[Prompt]:
    """The prompts that were asked for. UsageError for none, or for both kinds."""
    words: list[Content] = arguments.prompt or []
    if arguments.prompts is not None:
        if words:
            raise UsageError("--prompts is not allowed with --prompt or --prompt-tokens")
        return read(arguments.prompts)
    if not words:
        raise UsageError("no prompt; allowed are --prompt TEXT, --prompt-tokens IDS or --prompts FILE")
    named = ["--prompt" if isinstance(word, str) else "--prompt-tokens" for word in words]
    several = len(words) > 1
    return [
        Prompt(word, f"{option} ({number + 1} of {len(words)})" if several else option)
        for number, (word, option) in enumerate(zip(words, named, strict=True))
    ]


def read(path: Path) -> list[Prompt]:
    """Prompts of a file of JSON lines; blank lines are skipped. UsageError names the line that is none."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a JSON string may hold other line separators
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found.append(_parse(line, f"{path} line {number}"))
    if not found:
        raise UsageError(f"{path}: no prompts; allowed are one JSON string or object with a prompt per line")
    return found


def _parse(line: str, where: str) -> Prompt:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON ({error}); allowed are a string or an object with a prompt") from None
    extra = {}
    if isinstance(value, dict):
        unknown = sorted(set(value) - {"prompt", "id"})
        if unknown or "prompt" not in value:
            raise UsageError(f"{where}: fields {sorted(value)}; allowed are prompt and, if wanted, id")
        extra = {"id": value["id"]} if "id" in value else {}
        if isinstance(extra.get("id", ""), bool) or not isinstance(extra.get("id", ""), str | int):
            raise UsageError(f"{where}: id is {extra['id']!r}; allowed are strings and whole numbers")
        value = value["prompt"]
        if isinstance(value, list) and value and all(type(token) is int for token in value):
            return Prompt(tuple(value), where, extra)
    if not isinstance(value, str) or not value:
        raise UsageError(
            f'{where}: the prompt is {_short(value)}; allowed is a string of at least one character, or {{"prompt": '
            "[...]}} with token ids"
        )
    return Prompt(value, where, extra)


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 80 else f"{told[:77]}..."


def digest(prompts: Sequence[Prompt]) -> str:
    """Of the prompts and their ids, in order.

    >>> digest([Prompt("a", "here")]) == digest([Prompt("a", "there")]) != digest([Prompt("b", "here")])
    True
    """
    told = hashlib.blake2b(digest_size=16)
    for prompt in prompts:
        told.update(json.dumps(prompt.as_json(), sort_keys=True).encode() + b"\n")
    return told.hexdigest()
