"""What tests of the fixed-shape decoder share: rows and trees by hypothesis, the judge, and planted defects."""

from __future__ import annotations

import functools
import itertools
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from proofs_tests.equivalence import networks
from reference import decode, drafters
from reference.decode import Options
from reference.decode import fixed as module
from reference.decode.fixed import FixedText
from reference.drafters import Tree
from reference.models.tiny import TinyModel

STOPS = (frozenset[int](), frozenset[int](), frozenset({0, 3, 5}))


@dataclass(frozen=True)
class Case:
    """Rows of one network; ``draft`` is "draft", "early", "self", or None for autoregressive decoding."""

    network: str
    arithmetic: str
    draft: str | None
    parents: tuple[int, ...]
    rows: tuple[tuple[tuple[int, ...], Options], ...]
    every: int | None = None
    device: str = "cpu"

    @property
    def target(self) -> TinyModel:
        return networks.model("target", self.network, self.arithmetic, self.device)

    @property
    def drafting(self) -> TinyModel | None:
        kind = "target" if self.draft == "self" else self.draft
        return networks.model(kind, self.network, self.arithmetic, self.device) if kind else None

    @property
    def depth(self) -> int:
        return Tree(self.parents).depth

    @property
    def arguments(self) -> dict[str, Any]:
        """What `fixed` and `FixedRounds` take."""
        prompts, options = ([row[i] for row in self.rows] for i in (0, 1))
        tree = Tree(self.parents) if self.draft else None
        return {"target": self.target, "prompts": prompts, "options": options, "draft": self.drafting, "tree": tree}


trees = st.one_of(
    st.integers(1, 5).map(lambda length: tuple(range(-1, length - 1))),
    st.lists(st.integers(0, 3), min_size=1, max_size=8).map(
        lambda ups: tuple(max(-1, node - 1 - up) for node, up in enumerate(ups))
    ),
)


@st.composite
def cases(draw: st.DrawFn, arithmetic: str) -> Case:
    name = draw(st.sampled_from(["one", "full", "ties", "wide"]))
    size = networks.SHAPES[name].vocabulary
    options = st.builds(
        Options,
        max_tokens=st.one_of(st.integers(1, 12), st.just(60)),  # 60 is more than the contexts of 24 to 48 hold
        temperature=st.sampled_from([0.0, 0.7, 1.0]),
        seed=st.integers(0, 2**64 - 1),
        request=st.integers(0, 3),
        stop=st.sampled_from(STOPS),
    )
    prompt = st.lists(st.integers(0, size - 1), min_size=1, max_size=9).map(tuple)
    return Case(
        network=name,
        arithmetic=arithmetic,
        draft=draw(st.sampled_from([None, "draft", "draft", "early", "self"])),
        parents=draw(trees),
        rows=tuple(draw(st.lists(st.tuples(prompt, options), min_size=1, max_size=4))),
        every=draw(st.sampled_from([None, 3])),
    )


@functools.lru_cache(maxsize=64)
def one_by_one(case: Case) -> list[tuple[tuple[int, ...], int, int]]:
    """Tokens, rounds and accepted tokens of each row, decoded alone by `decode.stream`."""
    here = replace(case, device="cpu")
    drafter = drafters.tree(here.drafting, Tree(case.parents)) if here.drafting else None
    found = []
    for prompt, options in case.rows:
        made = decode.collect(decode.stream(here.target, prompt, drafter=drafter, options=options))
        found.append((made.tokens, len(made.rounds), sum(one.accepted for one in made.rounds)))
    return found


def differences(case: Case, texts: list[FixedText]) -> list[str]:
    """Where the texts differ from those decoded one by one, in tokens or in how they were drafted.

    A text's last round may draft more than a single text's decoder, which knows the room that is left.
    """
    wrong = []
    for row, (own, (tokens, rounds, accepted)) in enumerate(zip(texts, one_by_one(case), strict=True)):
        if own.tokens != tokens:
            wrong.append(f"row {row}: tokens {own.tokens}, one by one {tokens}")
        elif own.rounds != rounds or own.accepted - accepted not in (0, 1):
            wrong.append(f"row {row}: {own.rounds} rounds, {own.accepted} accepted; one by one {rounds}, {accepted}")
    return wrong


@functools.cache
def mixed() -> tuple[Case, ...]:
    """A few cases in which everything happens that the planted defects concern."""
    rows = (
        ((1,), Options(max_tokens=11, seed=1)),
        ((2, 0, 5, 7), Options(max_tokens=15, temperature=0.0)),
        ((3, 3), Options(max_tokens=20, seed=2, temperature=0.7, stop=frozenset({0, 3, 5}))),
        ((4, 0, 0), Options(max_tokens=60, seed=3)),
    )
    chain, tree = (-1, 0, 1, 2), (-1, -1, 0, 0, 1, 2, 2, 6)
    return tuple(
        Case(network, "exact64", draft, parents, rows)
        for network, draft, parents in (("full", "draft", tree), ("full", "self", chain), ("wide", "self", tree))
    )


_numbers = itertools.count()


def planted(old: str, new: str, source: ModuleType = module) -> ModuleType:
    """The module of the decoder with ``old`` replaced in its source, where it must stand exactly once."""
    text = Path(str(source.__file__)).read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {source.__name__}"
    name = f"planted_{next(_numbers)}"
    made = ModuleType(name)
    sys.modules[name] = made  # dataclasses look their module up
    exec(compile(text.replace(old, new), name, "exec"), made.__dict__)
    return made
