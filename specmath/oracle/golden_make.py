"""How golden vectors are made: instances, thresholds by bisection, and the filter for what rounding might decide."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specmath import draft_laws, exact, rules
from specmath.exact import Law
from specmath.oracle.golden import Case, Dtype, Golden, Kind, Vector, dumps
from specmath.rules import Rule

DENOMINATOR = 16
TOP = {"float32": 1 - 2.0**-24, "float64": 1 - 2.0**-53}
"""Largest uniform below one."""

NEAR, CLOSE = 2.0**-20, 2.0**-36
"""Distances of vectors from a threshold."""

STABLE = {"float32": 2.0**-22, "float64": 2.0**-38}
"""A vector is kept if nothing comes out differently when a uniform moves by this much."""

MOST: dict[Kind, int] = {"corner": 6, "spread": 3, "near": 6, "close": 4, "at": 4}
"""Vectors of each kind in a case."""

LONGEST, ITERATED = 2**40, 1e-12  # of exact denominators; error of the other laws
CASES = 8  # of a rule, or two for each of its draft laws

# Pairs (target, draft) in sixteenths, by context: free laws, zeros on either side, equal laws, disjoint supports, ties.
PAIRS = (
    ((7, 5, 3, 1), (2, 6, 3, 5)),
    ((0, 4, 6, 6), (5, 5, 6, 0)),
    ((4, 4, 4, 4), (4, 4, 4, 4)),
    ((8, 8, 0, 0), (0, 0, 8, 8)),
    ((1, 7, 7, 1), (8, 2, 2, 4)),
    ((16, 0, 0, 0), (4, 4, 4, 4)),
)
# Drafted tokens of nodes; tuples that a draft law cannot draw are left out.
NODES = ((1,), (0, 1), (1, 1), (2, 0), (3, 1, 0), (2, 3))
CHAINS = ((1, 2), (2, 0, 1), (0, 0, 0))
TREES = (
    ((-1, -1, 0), ((1, 0, 2), (2, 1, 1), (1, 1, 0))),
    ((-1, 0, -1, 2), ((1, 2, 0, 1), (2, 1, 2, 0))),
)


def make(name: str) -> Golden:
    """Golden vectors of a registered rule, the same on every run."""
    rule = rules.get(name)
    cases = [case for drafts in rule.drafts for case in _cases(rule, drafts)]
    return Golden(rule.name, rule.layout, rule.source, rule.same_plan, tuple(cases))


def _cases(rule: Rule, drafts: str) -> Iterator[Case]:
    left = max(2, CASES // len(rule.drafts))
    several = list(_drafted(rule))
    for shift in range(len(PAIRS)):
        for number in range(len(several)):
            tokens, parents = several[(number + shift) % len(several)]
            # the law after each token is that of another pair, so that a shifted row shows
            places = [shift, *((shift + 1 + 2 * i) % len(PAIRS) for i in range(len(tokens)))]
            above = (-1,) if rule.layout == "node" else parents or tuple(range(-1, len(tokens) - 1))
            target = [_fractions(PAIRS[place][0]) for place in (places[:1] if rule.layout == "node" else places)]
            draft = [_fractions(PAIRS[places[parent + 1]][1]) for parent in above]
            if possible(rule, drafts, target, draft, tokens, parents):
                name = f"{drafts} {number} {shift}"
                yield _case(rule, name, drafts, target, draft, tokens, parents)
                left -= 1
                if not left:
                    return
                break


def _drafted(rule: Rule) -> Iterator[tuple[tuple[int, ...], tuple[int, ...] | None]]:
    if rule.layout == "node":
        for tokens in NODES:
            if rule.at_least <= len(tokens) <= (rule.at_most or len(tokens)):
                yield tokens, None
    elif rule.layout == "chain":
        yield from ((tokens, None) for tokens in CHAINS)
    else:
        shapes = [shape for shape in TREES if rule.shape == "any" or shape[0] == (-1, 0, -1, 2)]
        yield from ((tokens, parents) for parents, several in shapes for tokens in several)


def _fractions(weights: Sequence[int]) -> list[Fraction]:
    return [Fraction(weight, DENOMINATOR) for weight in weights]


def possible(
    rule: Rule, drafts: str, target: list[Any], draft: list[Any], tokens: Sequence[int], parents: Sequence[int] | None
) -> bool:
    """Whether ``drafts`` can have drawn the tokens: what `Rule.verify` itself checks."""
    law = draft_laws.get(drafts)
    try:
        for children, row in zip(_children(rule, len(tokens), parents), draft, strict=False):
            law.check(children, sum(probability > 0 for probability in row))
        _verify(rule, drafts, target, draft, tokens, parents, check=True)(np.zeros((1, rule.uniforms(len(tokens)))))
    except ValueError:
        return False
    return True


def _children(rule: Rule, count: int, parents: Sequence[int] | None) -> list[int]:
    """How many candidates are drawn from each draft row's node."""
    if rule.layout == "node":
        return [count]
    above = range(-1, count - 1) if parents is None else parents
    return [list(above).count(parent) for parent in above]


Outcomes = Callable[[NDArray[Any]], list[tuple[tuple[int, ...], int]]]


def _verify(
    rule: Rule,
    drafts: str,
    target: list[Any],
    draft: list[Any],
    tokens: Sequence[int],
    parents: Sequence[int] | None,
    *,
    check: bool = False,
) -> Outcomes:
    """uniforms (rows, m) -> (emitted tokens, accepted) of each row, in the dtype of the uniforms."""

    def run(uniforms: NDArray[Any]) -> list[tuple[tuple[int, ...], int]]:
        laws = [np.array(law, dtype=float).astype(uniforms.dtype) for law in (target, draft)]
        laws = [law[0] if rule.layout == "node" else law for law in laws]
        batch = [np.broadcast_to(one, (len(uniforms), *one.shape)) for one in (*laws, np.array(tokens))]
        extra = None if parents is None else np.array(parents)
        found = rule.verify(batch[0], batch[1], batch[2], uniforms, extra, check=check, drafts=drafts)
        emitted = np.asarray(found.tokens).reshape(len(uniforms), -1)
        return [
            (tuple(int(token) for token in row if token >= 0), int(accepted))
            for row, accepted in zip(emitted, np.asarray(found.accepted), strict=True)
        ]

    return run


def _case(
    rule: Rule,
    name: str,
    drafts: str,
    target: list[list[Fraction]],
    draft: list[list[Fraction]],
    tokens: tuple[int, ...],
    parents: tuple[int, ...] | None,
) -> Case:
    run = _verify(rule, drafts, target, draft, tokens, parents)
    coins = rule.coins(len(tokens))
    law = program_law(rule, drafts, target, draft, tokens, parents) if rule.same_plan else None
    return Case(
        name=name,
        drafts=drafts,
        target=np.array(target, dtype=float),
        draft=np.array(draft, dtype=float),
        tokens=tokens,
        parents=parents,
        coins=coins,
        law=law,
        vectors=tuple(_vectors(run, len(coins), rule.same_plan)),
    )


def program_law(
    rule: Rule,
    drafts: str,
    target: list[list[Fraction]],
    draft: list[list[Fraction]],
    tokens: tuple[int, ...],
    parents: tuple[int, ...] | None,
) -> Law:
    """Law of the rule's program given the drafted tokens; in float where a factor was found by iteration."""
    node = rule.layout == "node"
    laws = (target[0], draft[0]) if node else (target, draft)
    program, extra = rule.under(drafts).program, () if parents is None else (parents,)

    def play(chance: exact.Chance) -> tuple[int, ...]:
        emitted = program(chance, *laws, tokens, *extra)
        return (emitted,) if node else tuple(emitted)

    law = exact.law(play)
    if all(Fraction(mass).denominator < LONGEST for mass in law.values()):
        return law
    return Law({emitted: float(mass) for emitted, mass in law.items() if mass > ITERATED})


def _vectors(run: Outcomes, count: int, same_plan: bool) -> Iterator[Vector]:
    """Vectors without repetition, each with the least precision in which it is safe; others are dropped."""
    candidates = list(_candidates(run, count, same_plan))
    for kind, most in MOST.items():
        listed = [uniforms for name, uniforms in candidates if name == kind]
        kept = 0
        for uniforms in _spread_out(listed):
            outcome = run(np.array([uniforms]))[0]
            least = _least(run, kind, uniforms, outcome, same_plan)
            if least is not None:
                yield Vector(uniforms, outcome[0], outcome[1], kind, least)
                kept += 1
            if kept == most:
                break


def _spread_out(values: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The first and last, then what lies between, ever finer: any beginning of it is spread over the list.

    >>> _spread_out([(0.0,), (1.0,), (2.0,), (3.0,), (4.0,)])
    [(0.0,), (4.0,), (2.0,), (1.0,), (3.0,)]
    """
    places: dict[int, None] = {}
    steps = 1
    while len(places) < len(values):
        places.update(dict.fromkeys((len(values) - 1) * i // steps for i in range(steps + 1)))
        steps *= 2
    return [values[place] for place in places]


def _candidates(run: Outcomes, count: int, same_plan: bool) -> Iterator[tuple[Kind, tuple[float, ...]]]:
    seen: set[tuple[float, ...]] = set()

    def fresh(kind: Kind, uniforms: Sequence[float]) -> Iterator[tuple[Kind, tuple[float, ...]]]:
        found = tuple(float(u) for u in uniforms)
        if found not in seen and all(0 <= u < 1 for u in found):
            seen.add(found)
            yield kind, found

    for top in TOP.values():
        yield from fresh("corner", [0.0] * count)
        yield from fresh("corner", [top] * count)
        for place in range(count):
            yield from fresh("corner", [top if i == place else 0.0 for i in range(count)])
            yield from fresh("corner", [0.0 if i == place else top for i in range(count)])
    roots = np.sqrt([2.0, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41])[:count]
    spread = np.floor(((np.arange(1, 9)[:, None] * roots) % 1.0) * 2**24) / 2**24  # what float32 holds
    for row in spread:
        yield from fresh("spread", row)
    for base in (np.zeros(count), np.full(count, TOP["float32"]), *spread[:4]):
        for place in range(count):
            for edge in _thresholds(run, base, place):
                around: list[tuple[Any, float]] = []
                rounded = round(edge * 2**24) / 2**24  # what float32 holds
                around += [("near", rounded - NEAR), ("near", rounded + NEAR)]
                if same_plan:
                    around += [("close", edge - CLOSE), ("close", edge + CLOSE)]
                if edge * 2**20 == int(edge * 2**20):  # representable: the strictness of the test decides
                    around += [("at", edge), ("at", float(np.nextafter(edge, 0))), ("at", edge - 2.0**-24)]
                for kind, value in around:
                    yield from fresh(kind, [value if i == place else u for i, u in enumerate(base)])


def _thresholds(run: Outcomes, base: NDArray[np.float64], place: int) -> list[float]:
    """Smallest values of one uniform from which on the outcome is another, the others as in ``base``."""

    def at(values: Sequence[float]) -> list[Any]:
        rows = np.repeat(base[None], len(values), axis=0)
        rows[:, place] = values
        return run(rows)

    grid = [*(np.arange(64) / 64).tolist(), TOP["float64"]]
    outcomes = at(grid)
    found = []
    for i in range(len(grid) - 1):
        low, high, before = int(grid[i] * 2**53), int(grid[i + 1] * 2**53), outcomes[i]
        if before == outcomes[i + 1]:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if at([middle / 2**53])[0] == before else (low, middle)
        found.append(high / 2**53)
    return found


def _least(run: Outcomes, kind: Kind, uniforms: tuple[float, ...], outcome: Any, same_plan: bool) -> Dtype | None:
    """The least precision that decides this outcome; plans that are solved by iteration have fewer digits."""
    if _safe(run, kind, uniforms, outcome, "float32"):
        return "float32"
    return "float64" if same_plan and _safe(run, kind, uniforms, outcome, "float64") else None


def _safe(run: Outcomes, kind: Kind, uniforms: tuple[float, ...], outcome: Any, dtype: Dtype) -> bool:
    """Whether ``dtype`` gives this outcome, and would if a uniform moved a little (not for those at a threshold)."""
    exactly = np.array([uniforms], dtype=dtype)
    if (exactly.astype(np.float64) != np.array([uniforms])).any():
        return False
    if kind in ("corner", "at"):
        return run(exactly)[0] == outcome
    moved = np.repeat(np.array([uniforms]), 2 * len(uniforms) + 1, axis=0)
    for place in range(len(uniforms)):
        moved[1 + 2 * place, place] += STABLE[dtype]
        moved[2 + 2 * place, place] -= STABLE[dtype]
    moved = np.clip(moved, 0.0, TOP[dtype]).astype(dtype)
    return all(found == outcome for found in run(moved))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write golden vectors of all lossless rules, or of those that are named."""

    lossless = [name for name in rules.names() if rules.get(name).lossless]
    parser = argparse.ArgumentParser(prog="python -m specmath.oracle.golden_make", description=main.__doc__)
    parser.add_argument("rules", nargs="*", metavar="RULE", help="default: " + ", ".join(lossless))
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made if it does not exist")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.rules if name not in lossless]
    if unknown:
        parser.error(f"RULE is {unknown[0]!r}; allowed are {', '.join(map(repr, lossless))}")
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.rules or lossless:
        golden = make(name)
        path = given.out / f"{name}.json"
        path.write_text(dumps(golden), encoding="utf-8")
        print(f"{path}: {len(golden.cases)} cases, {sum(len(case.vectors) for case in golden.cases)} vectors")


if __name__ == "__main__":
    main()
