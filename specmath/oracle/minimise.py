"""The smallest instance on which a finding shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, product

from specmath import draft_laws
from specmath.oracle.instance import Instance, Row, Table, fractions
from specmath.oracle.joint import Joint

Judge = Callable[[Instance], Joint | None]
"""The function on an instance; None where the finding does not show."""
MOST = 400
"""Instances that are tried."""

_TWO = tuple(fractions(*parts) for parts in ((1, 1), (1, 3), (3, 1), (1, 0), (0, 1)))
_THREE = tuple(
    fractions(*parts)
    for parts in ((2, 1, 1), (1, 1, 2), (1, 2, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0), (0, 0, 1), (5, 2, 1))
)


def smallest(found: Joint, judge: Judge) -> Joint:
    """The first instance of a list, from small to large, on which ``judge`` sees the finding; ``found`` if none has it.

    The list: two tokens before three, fewer drafted tokens before more, the same law after every context before
    different ones, laws of small denominators. It is the same for every function.
    """
    for instance in islice(candidates(found.instance), MOST):
        seen = judge(instance)
        if seen is not None:
            return seen
    return found


def candidates(found: Instance) -> Iterator[Instance]:
    """Instances of the kind of ``found``, from small to large."""
    for rows, (same, parents) in product((_TWO, _THREE), product((True, False), _shapes(found))):
        if same:
            laws = (((t,), d) for t, d in product(rows, rows))
        elif found.kind == "node":
            continue
        else:
            laws = (((t, after), d) for t, d, after in product(rows[:3], rows[:3], rows) if t != after)
        for targets, draft in laws:
            law = draft_laws.get(found.drafts)
            support = sum(probability > 0 for probability in draft)
            if not any(law.needs(parents.count(parent), support) for parent in parents):
                yield _instance(found, parents, targets, draft)
    for parents in _shapes(found):  # laws of the last bit are in no list
        one = replace(found, name="smallest found", parents=parents)
        yield replace(one, mate=replace(found.mate, parents=parents)) if found.mate is not None else one


def _instance(found: Instance, parents: tuple[int, ...], targets: tuple[Row, ...], draft: Row) -> Instance:
    after = {(token,): targets[-1] for token in range(len(draft))}
    model = Table({(): targets[0], **after}, targets[-1])
    one = Instance("smallest found", found.kind, model, Table({}, draft), parents, found.drafts)
    return replace(one, mate=one) if found.mate is not None else one


def _shapes(found: Instance) -> list[tuple[int, ...]]:
    """Parents, smaller ones first, at most those of ``found``."""
    if found.kind == "node":
        return [(-1,) * n for n in range(1, found.n + 1)]
    if found.kind in ("chain", "batch"):
        return [tuple(range(-1, k - 1)) for k in range(1, min(found.n, 2) + 1)]
    return [found.parents[:size] for size in range(1, found.n + 1)]
