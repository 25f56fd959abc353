"""Tokens per second: the search for the best drafting, decoders alone, in batches, and with two threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import decode_texts as texts
from benchmarks.decode_players import Job, Models, Peer, Play, assistant, ours, ours_batched, ours_fixed
from benchmarks.decode_turns import Turn, ratio, speed, take_turns
from reference import drafters
from reference.drafters import Confidence, Drafter, Tree
from reference.numerics import ARITHMETICS

PLAIN = "autoregressive"
DRAFTING: dict[str, Callable[[Models], Drafter]] = {
    **{f"chain {length}": lambda m, length=length: drafters.chain(m.draft, length) for length in range(2, 7)},
    "chain 8, stops below 0.3": lambda m: drafters.chain(m.draft, 8, policy=Confidence(0.3)),
    "chain 8, stops below 0.5": lambda m: drafters.chain(m.draft, 8, policy=Confidence(0.5)),
    **{
        "tree " + " x ".join(map(str, shape)): lambda m, shape=shape: drafters.tree(m.draft, shape)
        for shape in ((2, 1), (2, 1, 1), (2, 2, 1), (2, 1, 1, 1), (3, 2, 1, 1))
    },
    "tree best-first 4 of depth 3": lambda m: drafters.best_first(m.draft, nodes=4, depth=3, width=2),
    "tree best-first 7 of depth 4": lambda m: drafters.best_first(m.draft, nodes=7, depth=4, width=2),
    "tree best-first 15 of depth 6": lambda m: drafters.best_first(m.draft, nodes=15, depth=6, width=4),
    **{
        f"chain {length}, native draft": lambda m, length=length: drafters.chain(m.native, length)
        for length in (3, 4, 5)
    },
    "tree best-first 7 of depth 4, native draft": lambda m: drafters.best_first(m.native, nodes=7, depth=4, width=2),
    "lookup 4": lambda m: drafters.lookup(4),
    "early 2 layers, chain 2": lambda m: drafters.chain(m.target.early(2), 2),
    "early 4 layers, chain 2": lambda m: drafters.chain(m.target.early(4), 2),
}
"""What is searched, by name; the first word is the kind."""

FIXED = {"fixed shapes, chain 3": Tree((-1, 0, 1)), "fixed shapes, tree 2 x 1 x 1": Tree((-1, -1, 0, 1, 2, 3))}
ASSISTED: dict[str, dict[str, Any]] = {
    "assisted, as it comes": assistant(None),
    **{f"assisted {length}": assistant(length) for length in (2, 3, 4, 5)},
    "assisted 3, stops below 0.4": assistant(3, 0.4),
}


@dataclass(frozen=True)
class Sizes:
    """How much is measured. ``drafting`` names what is searched; ``quick`` is for a test of the program."""

    search_prompts: int = 4
    search_tokens: int = 48
    prompts: int = 8
    tokens: int = 64
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    batch_tokens: int = 64
    batch_jobs: int = 8
    threads: tuple[int, ...] = (1, 2)
    repetitions: int = 3
    drafting: tuple[str, ...] = (*DRAFTING, *FIXED, *ASSISTED)
    modes: tuple[str, ...] = ("greedy", "coupled", "rejection")
    quickly: bool = False

    @classmethod
    def quick(cls) -> Sizes:
        few = ("chain 2", "tree 2 x 1", "fixed shapes, chain 3", "assisted, as it comes")
        return cls(1, 2, 1, 2, (1, 2), 2, 2, (1,), 1, few, ("coupled",), True)


def table(turns: Sequence[Turn], bases: Mapping[str, str]) -> dict[str, Any]:
    """Speed of every player, and its ratio to the base of its group."""
    rows: dict[str, Any] = {}
    for name in dict.fromkeys(turn.player for turn in turns):
        rows[name] = speed(turns, name).as_json()
        if name in bases and bases[name] != name:
            rows[name]["ratio"] = {"to": bases[name]} | ratio(turns, name, bases[name]).as_json()
    return rows


def search(sizes: Sizes) -> dict[str, Any]:
    """All ways of drafting in exact64, for each kind of randomness, and settings of transformers' assistant.

    Those with the most tokens per second of processor time are taken on, chains and trees apart, and are measured again
    on other prompts.
    """
    jobs, tokens = texts.singly(texts.shipped(0, sizes.search_prompts)), sizes.search_tokens
    models, peer = Models.load("exact64"), Peer(torch.float32)
    found: dict[str, Any] = {}
    for mode in sizes.modes:
        players = {PLAIN: ours(models.target, None, mode, tokens)}
        players |= {name: ours(models.target, make(models), mode, tokens) for name, make in DRAFTING.items()}
        if mode != "rejection":
            players |= {name: ours_fixed(models, tree, mode, tokens) for name, tree in FIXED.items()}
            players |= {name: peer.play(mode, tokens, assist=settings) for name, settings in ASSISTED.items()}
        else:  # the text would depend on bits that nothing promises
            players = {name: play for name, play in players.items() if "native draft" not in name}
        players = {name: play for name, play in players.items() if name in (PLAIN, *sizes.drafting)}
        turns = take_turns(f"search, {mode}", players, dict.fromkeys(players, jobs), sizes.repetitions)
        rows = table(turns, dict.fromkeys(players, PLAIN))
        best = {}
        for kind in ("chain", "tree", "assisted"):
            own = [name for name in rows if name.startswith(kind)]
            if own:
                best[kind] = max(own, key=lambda name: rows[name]["tokens_per_cpu_second"])
        found[mode] = {"players": rows, "best": best}
    return found


def compared(searched: dict[str, Any], sizes: Sizes) -> dict[str, Any]:
    """Autoregressive, chain and tree in every arithmetic and transformers beside them, taking turns on each prompt."""
    first = sizes.search_prompts
    jobs, tokens = texts.singly(texts.shipped(first, first + sizes.prompts)), sizes.tokens
    models, peer = {name: Models.load(name) for name in ARITHMETICS}, Peer(torch.float32)
    found: dict[str, Any] = {}
    for mode, outcome in searched.items():
        best, players, bases = outcome["best"], {}, {}
        for name, own in models.items():
            base = f"{name}, {PLAIN}"
            players[base] = ours(own.target, None, mode, tokens)
            for kind in ("chain", "tree"):
                drafter = DRAFTING[best[kind]](own)
                players[f"{name}, {best[kind]}"] = ours(own.target, drafter, mode, tokens)
                bases[f"{name}, {best[kind]}"] = base
        if "assisted" in best:
            base = f"transformers, {PLAIN}"
            players[base] = peer.play(mode, tokens)
            for kind in dict.fromkeys([best["assisted"], "assisted, as it comes"]):
                players[f"transformers, {kind}"] = peer.play(mode, tokens, assist=ASSISTED[kind])
                bases[f"transformers, {kind}"] = base
        turns = take_turns(f"compared, {mode}", players, dict.fromkeys(players, jobs), sizes.repetitions)
        found[mode] = {"players": table(turns, bases)} | _across(turns, best)
    return found


def _across(turns: Sequence[Turn], best: dict[str, str]) -> dict[str, Any]:
    """Ratios between groups: ours to transformers, and native to the exact arithmetics."""
    names = list(dict.fromkeys(turn.player for turn in turns))
    kinds = [PLAIN, best["chain"], best["tree"]]
    found: dict[str, Any] = {
        "cost of exactness": {
            f"{name}, {kind}": ratio(turns, f"native, {kind}", f"{name}, {kind}").as_json()
            for name in ("exact64", "int8")
            for kind in kinds
        }
    }
    peers = [name for name in names if name.startswith("transformers")]
    mine = [f"{name}, {kind}" for name in ARITHMETICS for kind in kinds]
    found["against transformers"] = {
        peer: {name: ratio(turns, name, peer).as_json() for name in mine} for peer in peers
    }
    return found


def batched(searched: dict[str, Any], sizes: Sizes) -> dict[str, Any]:
    """Texts side by side: one token a round, or the best chain in every row; and generate with left padding."""
    mode, tokens = "coupled", sizes.batch_tokens
    chain = searched[mode]["best"]["chain"]
    jobs = texts.shipped(0, max(*sizes.batches, sizes.batch_jobs))
    players: dict[str, Play] = {}
    blocks: dict[str, list[list[Job]]] = {}
    bases: dict[str, str] = {}

    def add(group: str, rows: int, play: Play) -> None:
        name = f"{group}, batch {rows}"
        players[name], blocks[name], bases[name] = (
            play,
            [jobs[: max(rows, sizes.batch_jobs)]],
            f"{group}, batch {sizes.batches[0]}",
        )

    for name in ARITHMETICS:
        own = Models.load(name)
        for kind, drafter in ((PLAIN, None), (chain, DRAFTING[chain](own))):
            for rows in sizes.batches:
                add(f"{name}, {kind}", rows, ours_batched(own.target, drafter, mode, tokens, rows))
    peer = Peer(torch.float32)
    for rows in sizes.batches:
        add(f"transformers, {PLAIN}", rows, peer.play(mode, tokens, rows=rows))
    turns = take_turns("batched", players, blocks, sizes.repetitions)
    found = {"players": table(turns, bases), "chain": chain}
    plain = f"exact64, {PLAIN}, batch {sizes.batches[0]}"
    found["to one text at a time"] = {
        name: ratio(turns, name, plain).as_json() for name in players if name.startswith(f"exact64, {chain}")
    }
    found["against transformers"] = {
        f"{group}, batch {rows}": ratio(
            turns, f"{group}, batch {rows}", f"transformers, {PLAIN}, batch {rows}"
        ).as_json()
        for group in (f"{name}, {kind}" for name in ARITHMETICS for kind in (PLAIN, chain))
        for rows in sizes.batches
    }
    return found


def threads(searched: dict[str, Any], sizes: Sizes) -> dict[str, Any]:
    """The same decoders with one and with two threads of torch."""
    mode, tokens = sizes.modes[0], sizes.batch_tokens
    jobs = texts.shipped(sizes.search_prompts, sizes.search_prompts + sizes.batch_jobs)
    models, peer = Models.load("exact64"), Peer(torch.float32)
    chain = DRAFTING[searched[mode]["best"]["chain"]](models)
    plays = {
        f"exact64, {PLAIN}": ours(models.target, None, mode, tokens),
        f"exact64, {searched[mode]['best']['chain']}": ours(models.target, chain, mode, tokens),
        f"exact64, {PLAIN}, batch 8": ours_batched(models.target, None, mode, tokens, 8),
        f"transformers, {PLAIN}": peer.play(mode, tokens),
        f"transformers, {PLAIN}, batch 8": peer.play(mode, tokens, rows=8),
    }
    before = torch.get_num_threads()

    def with_threads(play: Play, count: int) -> Play:
        def run(own: Sequence[Job]) -> Any:
            torch.set_num_threads(count)
            try:
                return play(own)
            finally:
                torch.set_num_threads(before)

        return run

    players = {
        f"{name}, threads {count}": with_threads(play, count) for name, play in plays.items() for count in sizes.threads
    }
    turns = take_turns("threads", players, {name: [jobs] for name in players}, sizes.repetitions)
    bases = {name: f"{name.rsplit(', ', 1)[0]}, threads 1" for name in players}
    return {"players": table(turns, bases)}
