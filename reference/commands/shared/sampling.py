"""How texts are continued: temperature, filters, seed and length, as options of a command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from reference.commands.shared.prompts import token_ids

if TYPE_CHECKING:
    from reference.decode import Options
    from reference.decode.options import Randomness


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options --seed, --temperature, --top-k, --top-p and --max-tokens."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--seed", type=int, default=0, metavar="S", help="key of the random counter (default 0)")
    group.add_argument(
        "--temperature", type=float, default=1.0, metavar="T", help="0 picks the likeliest token (default 1)"
    )
    group.add_argument("--top-k", type=int, metavar="K", help="keep the K likeliest tokens")
    group.add_argument("--top-p", type=float, metavar="P", help="keep the likeliest tokens up to mass P")
    group.add_argument("--max-tokens", type=int, default=200, metavar="N", help="most tokens to emit (default 200)")
    group.add_argument(
        "--stop",
        type=token_ids,
        metavar="IDS",
        help="token ids that end a text (default: as the model's folder says)",
    )


def options(
    arguments: argparse.Namespace,
    stop: frozenset[int] = frozenset(),
    randomness: Randomness = "coupled",
    request: int = 0,
) -> Options:
    """The `Options` of text number ``request``; ValueError naming what is out of range."""
    from reference.decode import Options

    return Options(
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        request=request,
        stop=stop,
        randomness=randomness,
    )
