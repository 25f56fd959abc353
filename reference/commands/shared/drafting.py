"""Who drafts, in what shape, and what judges it: the options, what goes together, and the drafter they name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Any

from reference.commands.shared.choices import (
    ALLOWED,
    BEST_FIRST,
    DECODERS,
    DEFAULTS,
    DRAFTERS,
    LARGEST_TREE,
    RANDOMNESS,
    SIZES,
    Kind,
    at_least_one,
    one_of,
)
from specmath.cli.command import UsageError

if TYPE_CHECKING:
    from reference.decode.options import Randomness
    from reference.drafters import Drafter
    from reference.models.protocol import LanguageModel


@dataclass(frozen=True)
class Drafting:
    """What was asked for, with every default filled in.

    Attributes
    ----------
    decoder, drafter : names of `DECODERS` and `DRAFTERS`.
    kind : the shape of a draft.
    sizes : its sizes; ``tree`` as children of each level, or "best_first".
    layers : how many layers the early drafter has, else None.
    drafts, rule : as given, None where the decoder chooses.
    randomness : "coupled" or "rejection".
    rows : texts in one pass; None for one text after the other.
    """

    decoder: str
    drafter: str
    kind: Kind
    sizes: dict[str, Any]
    layers: int | None
    drafts: str | None
    rule: str | None
    randomness: Randomness
    rows: int | None

    def build(self, model: LanguageModel) -> Drafter | None:
        """The drafter, drawing from ``model`` (which a lookup does not need)."""
        from reference import drafters

        sizes = self.sizes
        if self.kind == "none":
            return None
        if self.drafter == "lookup":
            return drafters.lookup(draft_length=sizes["draft_length"])
        if self.kind == "best_first":
            return drafters.best_first(model, sizes["nodes"], sizes["depth"], sizes["width"])
        if self.kind == "levels":
            return drafters.tree(model, sizes["tree"], drafts=self.drafts)
        if self.kind == "paths":
            return drafters.paths(model, sizes["n"], sizes["draft_length"], drafts=self.drafts)
        return drafters.chain(model, sizes["draft_length"], drafts=self.drafts)

    @property
    def beyond(self) -> int:
        """Most nodes that a round has on trial beyond the depth of its tree: near the end of a context the tree becomes
        less deep, but these need a place all the same."""
        total, depth, _ = _nodes(self.kind, self.sizes)
        return total - depth

    def check_room(self, **models: Any) -> None:
        """UsageError for a tree that will not fit beside a full context in the cache of one of the models."""
        for name, model in models.items():
            spare = getattr(model, "spare", None)
            if spare is not None and self.beyond > spare:
                raise UsageError(
                    f"the tree has {self.beyond} nodes more than it is deep, and the cache of the {name} has room for "
                    f"{spare}; allowed are smaller trees"
                )

    def as_json(self) -> dict[str, Any]:
        """What a result tells of it: every option, null where it has no part; rule and law as they were chosen."""
        from reference.decode import Options
        from reference.decode.judge import choose as judged

        drafter = self.build(_unread())
        rule, law = judged(self.rule, drafter, Options(randomness=self.randomness))
        sizes = dict.fromkeys(SIZES) | self.sizes
        return {
            "decoder": self.decoder,
            "drafter": self.drafter,
            "early_layers": self.layers,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in sizes.items()},
            "drafts": None if drafter is None or self.drafter == "lookup" else law,
            "rule": None if drafter is None or rule is None else rule.name,
            "randomness": self.randomness,
            "rows": self.rows,
        }


def _unread() -> LanguageModel:
    """Stands where a model will, with tokens for any drafts: shapes and rules are checked before one is loaded."""
    from reference.models.protocol import UNBOUNDED
    from reference.models.table import TableModel

    return TableModel(lambda prefix: [1.0], UNBOUNDED)


def choose(arguments: argparse.Namespace) -> Drafting:
    """What the options ask for. UsageError for those that are unknown, out of range or do not go together."""
    one_of("--decoder", arguments.decoder, DECODERS)
    drafter, layers = choose_drafter(arguments, DRAFTERS)
    decoder = arguments.decoder
    if decoder == "autoregressive":
        for name in ("drafter", "drafts", "rule"):
            value = getattr(arguments, name)
            if value is not None and (name, value) != ("drafter", "none"):
                raise UsageError(
                    f"--{name} is {value!r}: --decoder autoregressive drafts nothing; allowed with "
                    "chain, tree and batched only"
                )
        drafter = "none"
    elif drafter == "none" and decoder != "batched":
        raise UsageError(
            f"--drafter is 'none': --decoder {decoder} needs drafts; allowed with --decoder autoregressive and batched "
            "only"
        )
    if arguments.n is not None and arguments.tree is not None:
        raise UsageError(f"--n is {arguments.n}: allowed without --tree only")
    kind = _kind(arguments, drafter)
    sizes = _sizes(arguments, kind)
    if drafter == "lookup" and kind != "chain":
        raise UsageError(
            "--drafter is 'lookup': it copies a chain; allowed without --decoder tree, --tree and --n only"
        )
    if arguments.drafts is not None and (kind in ("none", "best_first") or drafter in ("lookup", "none")):
        raise UsageError(
            f"--drafts is {arguments.drafts!r}: allowed with --drafter model and early, without --tree {BEST_FIRST}"
        )
    if arguments.rows is not None and decoder != "batched":
        raise UsageError(f"--rows is {arguments.rows}: allowed with --decoder batched only")
    rows = at_least_one("--rows", 8 if arguments.rows is None else arguments.rows) if decoder == "batched" else None
    randomness = _randomness(arguments, drafter)
    found = Drafting(decoder, drafter, kind, sizes, layers, arguments.drafts, arguments.rule, randomness, rows)
    found.as_json()  # a rule that does not judge such drafts is told here
    return found


def choose_drafter(arguments: argparse.Namespace, allowed: Sequence[str]) -> tuple[str, int | None]:
    """Name of the drafter, and its layers if it is the early one."""
    drafter = "model" if arguments.drafter is None else arguments.drafter
    one_of("--drafter", drafter, allowed)
    if drafter == "early":
        return drafter, at_least_one("--early-layers", 1 if arguments.early_layers is None else arguments.early_layers)
    if arguments.early_layers is not None:
        raise UsageError(f"--early-layers is {arguments.early_layers}: allowed with --drafter early only")
    return drafter, None


def _kind(arguments: argparse.Namespace, drafter: str) -> Kind:
    if arguments.decoder == "autoregressive" or drafter == "none":
        return "none"
    if arguments.decoder == "chain":
        return "chain"
    if arguments.tree is not None:
        return "best_first" if arguments.tree == BEST_FIRST else "levels"
    if arguments.n is not None:
        return "paths"
    return "levels" if arguments.decoder == "tree" else "chain"


def _sizes(arguments: argparse.Namespace, kind: Kind) -> dict[str, Any]:
    sizes = dict(DEFAULTS[kind])
    for name, where in ALLOWED.items():
        value, option = getattr(arguments, name), "--" + name.replace("_", "-")
        if value is None:
            continue
        if name not in sizes:
            raise UsageError(f"{option} is {value}: allowed {where} only")
        sizes[name] = value if name == "tree" else at_least_one(option, value)
    if arguments.drafter == "lookup" and arguments.draft_length is None and kind == "chain":
        sizes["draft_length"] = 8  # copying takes no draft call
    if kind == "levels":
        sizes["tree"] = _levels(sizes["tree"])
    _check_nodes(kind, sizes)
    return sizes


def _levels(word: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in word.split(","))
        if min(counts) >= 1:
            return counts
    except ValueError:
        pass
    raise UsageError(f"--tree is {word!r}; allowed are children of each level, such as 3,2,1, or {BEST_FIRST}")


def _nodes(kind: Kind, sizes: dict[str, Any]) -> tuple[int, int, str]:
    """Most nodes of a draft in a cache, its depth, and the options that say so."""
    if kind == "paths":
        return sizes["n"] * sizes["draft_length"], sizes["draft_length"], "--n times --draft-length"
    if kind == "levels":
        return sum(accumulate(sizes["tree"], mul)), len(sizes["tree"]), "--tree"
    if kind == "best_first":
        read = sizes["depth"] * sizes["width"]
        return max(sizes["nodes"], read), min(sizes["nodes"], sizes["depth"]), "--nodes, or --depth times --width,"
    return sizes.get("draft_length", 0), sizes.get("draft_length", 0), "--draft-length"


def _check_nodes(kind: Kind, sizes: dict[str, Any]) -> None:
    """UsageError for a draft that no cache has room for."""
    total, _, what = _nodes(kind, sizes)
    if total > LARGEST_TREE:
        raise UsageError(f"{what} makes {total} nodes a round; allowed are up to {LARGEST_TREE}")


def _randomness(arguments: argparse.Namespace, drafter: str) -> Randomness:
    if arguments.randomness is not None:
        one_of("--randomness", arguments.randomness, RANDOMNESS)
    if arguments.rule is None:
        return arguments.randomness or "coupled"
    if arguments.randomness == "coupled":
        raise UsageError(
            f"--rule is {arguments.rule!r}: with --randomness coupled no rule judges the drafts; allowed with "
            "--randomness rejection, which it means by itself"
        )
    if drafter == "none":
        raise UsageError(f"--rule is {arguments.rule!r}: allowed with a drafter only, there is nothing to judge")
    return "rejection"
