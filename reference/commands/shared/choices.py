"""The options that choose decoder, drafter, shape, rule and randomness, and the names and sizes that they take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Literal

from specmath.cli.command import UsageError

DECODERS = ("autoregressive", "chain", "tree", "batched")
DRAFTERS = ("model", "early", "lookup", "none")
RANDOMNESS = ("coupled", "rejection")
BEST_FIRST = "best_first"
LARGEST_TREE = 512
"""Most nodes of a drafted tree, and the spare slots that models keep for them."""

Kind = Literal["none", "chain", "paths", "levels", "best_first"]

DEFAULTS: dict[Kind, dict[str, Any]] = {
    "none": {},
    "chain": {"draft_length": 4},
    "paths": {"n": 2, "draft_length": 4},
    "levels": {"tree": "2,2,1"},
    "best_first": {"tree": BEST_FIRST, "nodes": 16, "depth": 6, "width": 4},
}
"""The sizes that each shape of a draft has, and what they are where the call does not say."""

SIZES = ("draft_length", "n", "tree", "nodes", "depth", "width")

ALLOWED = {
    "draft_length": "for chains and with --n",
    "n": "with --decoder tree and batched, without --tree",
    "tree": "with --decoder tree and batched",
    **dict.fromkeys(("nodes", "depth", "width"), f"with --tree {BEST_FIRST}"),
}
"""Where each size has a part."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that choose decoder, drafter, shape, rule and randomness."""
    group = parser.add_argument_group("decoding")
    group.add_argument(
        "--decoder",
        default="chain",
        metavar="NAME",
        help="autoregressive, chain (default), tree, or batched: several texts in one pass, with chains, trees "
        "or no drafts",
    )
    group.add_argument("--rows", type=int, metavar="R", help="texts in one pass (default 8; batched only)")
    group.add_argument(
        "--randomness",
        metavar="NAME",
        help="coupled (default: with an exact --arithmetic prompt and seed give one text, whatever drafts it) or "
        "rejection: a rule judges the drafts and keeps the target's law",
    )
    group.add_argument(
        "--rule",
        metavar="NAME",
        help="rule of specmath.rules; means --randomness rejection, whose default is token_wise for chains, traversal "
        f"for trees, sampler_match with --tree {BEST_FIRST}",
    )
    group = parser.add_argument_group("drafting")
    add_drafter(group, "model (default: the draft), early (first layers of the target), lookup (copies from the text), "
                "or none, with --decoder batched or autoregressive")  # fmt: skip
    group.add_argument(
        "--draft-length", type=int, metavar="L", help="length of the chain, or of each of --n paths (default 4)"
    )
    group.add_argument(
        "--tree",
        metavar="SHAPE",
        help=f"children of each level, such as 3,2,1 (default 2,2,1), or {BEST_FIRST}: grows where the draft is sure",
    )
    group.add_argument("--n", type=int, metavar="N", help="draft N paths of --draft-length tokens instead of a --tree")
    group.add_argument(
        "--drafts",
        metavar="LAW",
        help="law that draws the candidates of a node (default: what the rule is made for); with coupled randomness a "
        "law such as iid lowers acceptance, as it does not look at the target's noise, which the default does",
    )
    for name, what in (
        ("nodes", "nodes kept (default 16)"),
        ("depth", "levels (default 6)"),
        ("width", "nodes read a level, and candidates of each (default 4)"),
    ):
        group.add_argument(f"--{name}", type=int, metavar="N", help=f"with --tree {BEST_FIRST}: {what}")


def add_drafter(group: argparse._ActionsContainer, purpose: str) -> None:
    """The options --drafter and --early-layers."""
    group.add_argument("--drafter", metavar="NAME", help=purpose)
    group.add_argument(
        "--early-layers", type=int, metavar="K", help="layers of the early drafter (default 1; --drafter early only)"
    )


def one_of(option: str, value: str, allowed: Sequence[str]) -> None:
    """UsageError unless the value is one of those allowed."""
    if value not in allowed:
        raise UsageError(f"{option} is {value!r}; allowed are {', '.join(allowed)}")


def at_least_one(option: str, value: int) -> int:
    """The value; UsageError below 1."""
    if value < 1:
        raise UsageError(f"{option} is {value}; allowed are whole numbers >= 1")
    return value
