"""What hypothesis chooses: a network, texts with their options and drafters, and what happens to them on the way."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from proofs_tests.equivalence import networks
from proofs_tests.equivalence.scripted import Node, Script
from reference.decode import Options

USES = {"chain": "draft", "tree": "draft", "paths": "draft", "best_first": "draft", "confident": "draft"} | {
    "early": "early",
    "mapped": "small",
}
"""The draft (`networks.model`) of each drafter that has one."""


@dataclass(frozen=True)
class Text:
    """A prompt and how to continue it; ``drafter`` is a script, or the name of a drafter and its sizes."""

    prompt: tuple[int, ...]
    options: Options
    drafter: Script | tuple[Any, ...]

    @property
    def scripted(self) -> bool:
        return not isinstance(self.drafter[0], str)

    @property
    def draft(self) -> str | None:
        """The kind of draft model that is used."""
        return None if self.scripted else USES.get(self.drafter[0])  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    """Texts of one network.

    ``rows`` texts are in work at a time, text i joins after ``joins[i]`` steps; after step s of each ``preempts``
    (s, i) text i is taken out and queued again; alone, text i is saved and resumed after ``pauses`` rounds. ``peek``:
    keys and values are looked at after every step, which moves kept paths at once instead of with the next pass.
    """

    network: str
    arithmetic: str
    texts: tuple[Text, ...]
    rows: int = 2
    joins: tuple[int, ...] = ()
    preempts: tuple[tuple[int, int], ...] = ()
    pauses: tuple[int, ...] = ()
    threads: int = 1
    peek: bool = False


nodes = st.builds(Node, st.integers(0, 3), st.sampled_from([True, True, True, False]), st.integers(0, 2))
scripts = st.lists(st.lists(nodes, max_size=7).map(tuple), min_size=1, max_size=4).map(tuple)
parents = st.lists(st.integers(0, 3), min_size=1, max_size=6).map(
    lambda ups: tuple(max(-1, place - 1 - up) for place, up in enumerate(ups))
)
modelled = st.one_of(
    st.just(("none",)),
    st.tuples(st.just("chain"), st.integers(1, 5)),
    st.tuples(st.just("tree"), parents),
    st.tuples(st.just("paths"), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.just("best_first"), st.integers(1, 8), st.integers(1, 4), st.integers(1, 3)),
    st.tuples(st.just("lookup"), st.integers(1, 4)),
    st.tuples(st.just("early"), st.integers(1, 4)),
    st.tuples(st.just("confident"), st.integers(1, 5)),
    st.tuples(st.just("mapped"), st.integers(1, 4)),
)


@st.composite
def texts(draw: st.DrawFn, size: int, greedy: st.SearchStrategy[float]) -> Text:
    token = st.one_of(st.integers(0, size - 1), st.just(0))  # 0 is what others pad with: it is often in the prompt
    options = Options(
        max_tokens=draw(st.integers(1, 12)),
        temperature=draw(greedy),
        top_k=draw(st.sampled_from([None, None, 1, 3])),
        top_p=draw(st.sampled_from([None, None, 0.8])),
        seed=draw(st.integers(0, 2**64 - 1)),
        request=draw(st.integers(0, 3)),
        stop=draw(st.sampled_from([frozenset(), frozenset(), frozenset({0}), frozenset({0, 3, 5})])),
    )
    prompt = tuple(draw(st.lists(token, min_size=1, max_size=9)))
    return Text(prompt, options, draw(st.one_of(scripts, scripts, modelled)))


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    arithmetic: st.SearchStrategy[str],
    network: st.SearchStrategy[str] = st.sampled_from(["one", "full", "ties", "wide"]),  # noqa: B008
    temperature: st.SearchStrategy[float] = st.sampled_from([0.0, 0.7, 1.0]),  # noqa: B008
    threads: st.SearchStrategy[int] = st.just(1),  # noqa: B008
) -> Case:
    name = draw(network)
    own = texts(networks.SHAPES[name].vocabulary, temperature)
    chosen = tuple(draw(st.lists(own, min_size=1, max_size=4)))
    places = st.integers(0, len(chosen) - 1)
    return Case(
        network=name,
        arithmetic=draw(arithmetic),
        texts=chosen,
        rows=draw(st.integers(1, len(chosen))),
        joins=tuple(draw(st.lists(st.integers(0, 3), max_size=len(chosen)))),
        preempts=tuple(draw(st.lists(st.tuples(st.integers(0, 5), places), max_size=2))),
        pauses=tuple(draw(st.lists(st.integers(0, 3), max_size=len(chosen)))),
        threads=draw(threads),
        peek=draw(st.booleans()),
    )


def at_random(rng: random.Random, arithmetic: str = "exact64") -> Case:
    """A case in which much happens: three texts that are long enough to be interrupted, drafters of every kind."""
    name = rng.choice(["full", "ties", "wide"])
    size, chosen = networks.SHAPES[name].vocabulary, []
    for place in range(3):
        options = Options(
            max_tokens=rng.randint(6, 14),
            temperature=rng.choice([0.0, 0.8]),
            top_k=rng.choice([None, 3]),
            top_p=rng.choice([None, 0.8]),
            seed=rng.getrandbits(64),
            request=place,
            stop=frozenset(rng.sample(range(size), rng.choice([0, 1, 3]))),
        )
        prompt = tuple(rng.choice([0, rng.randrange(size)]) for _ in range(rng.randint(1, 8)))
        chosen.append(Text(prompt, options, _script(rng) if rng.random() < 0.6 else rng.choice(_PLANS)))
    return Case(
        network=name,
        arithmetic=arithmetic,
        texts=tuple(chosen),
        rows=rng.randint(2, 3),
        joins=tuple(rng.randint(0, 1) for _ in range(3)),
        preempts=((rng.randint(0, 2), rng.randrange(3)), (rng.randint(1, 3), rng.randrange(3))),
        pauses=(1, 2),
        peek=rng.random() < 0.3,
    )


_PLANS: tuple[tuple[Any, ...], ...] = (
    ("chain", 3),
    ("tree", (-1, -1, 0, 1, 1)),
    ("tree", (-1, -1, 1, 1, 3)),
    ("paths", 3, 2),
    ("best_first", 6, 3, 2),
    ("early", 3),
    ("mapped", 2),
    ("lookup", 3),
)


def _script(rng: random.Random) -> Script:
    return tuple(
        tuple(Node(rng.choice([0, 0, 1, 2]), rng.random() < 0.6, rng.randint(0, 2)) for _ in range(rng.randint(2, 6)))
        for _ in range(rng.randint(2, 4))
    )
