"""The joint optimum over whole rounds: the most tokens any lossless verifier of a drafted tree accepts, by one LP.

A verifier sees the drafted tree and emits a path of it and one more token. It is lossless if and only if the mass of
what it emits beyond a prefix u splits over the next tokens as the target does: with B(v) the mass of the emissions that
begin with v and C(u) that of those strictly longer than u, B(u x) = target(x | u) C(u) for all u and x.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specmath import draft_laws, exact
from specmath.exact import Number
from specmath.exact.check import check_numbers

Text = tuple[int, ...]
Model = Callable[[Text], Sequence[Number]]


@dataclass(frozen=True)
class JointOptimum:
    """Largest mean number of accepted tokens of one round.

    Attributes
    ----------
    accepted : value of the solver's plan, exact to about 1e-7.
    bound : upper bound of every lossless verifier, recomputed from the dual prices after they were made feasible.
    violation : largest violation of a constraint by the plan.
    trees, variables : size of the linear program.
    """

    accepted: float
    bound: float
    violation: float
    trees: int
    variables: int


class _Checked:
    """A model whose laws are checked when they are first asked for, and remembered."""

    def __init__(self, name: str, model: Model) -> None:
        self._name, self._model = name, model
        self._known: dict[Text, Sequence[Number]] = {}

    def __call__(self, text: Text) -> Sequence[Number]:
        if text not in self._known:
            law = check_numbers(f"{self._name}{text}", self._model(text))
            size = len(next(iter(self._known.values()), law))
            if len(law) != size:
                raise ValueError(f"{self._name}{text} has {len(law)} tokens, other texts {size}; allowed is one number")
            self._known[text] = law
        return self._known[text]


def _check_parents(parents: Sequence[int]) -> list[int]:
    try:
        found = [operator.index(parent) for parent in parents]
    except TypeError:
        raise ValueError(f"parents is {parents!r}; allowed are sequences of whole numbers") from None
    if not found or any(not -1 <= parent < place for place, parent in enumerate(found)):
        raise ValueError(
            f"parents is {found}; allowed are one or more drafted tokens, each with -1 (root) or the index of an "
            "earlier one"
        )
    return found


def drafted_paths(draft: Model, parents: Sequence[int], drafts: str, *, budget: int) -> dict[frozenset[Text], Number]:
    """Law of the set of drafted paths (the root left out): what a verifier of the tree has to work with.

    Raises ValueError as `joint_optimum` does.
    """
    law, parents = draft_laws.get(drafts), _check_parents(parents)
    draft = draft if isinstance(draft, _Checked) else _Checked("draft", draft)

    def play(chance: exact.Chance) -> frozenset[Text]:
        paths: dict[int, Text] = {-1: ()}
        for node in range(-1, len(parents)):
            children = [i for i, parent in enumerate(parents) if parent == node]
            if children:
                proposal = draft(paths[node])
                law.check(len(children), sum(probability > 0 for probability in proposal))
                drawn = law.program(chance, proposal, len(children))
                paths.update({i: (*paths[node], token) for i, token in zip(children, drawn, strict=True)})
        return frozenset(path for node, path in paths.items() if node >= 0)

    return dict(exact.law(play, budget=budget))


def joint_optimum(
    target: Model, draft: Model, parents: Sequence[int], drafts: str = "iid", *, budget: int = exact.DEFAULT_BUDGET
) -> JointOptimum:
    """The most tokens that a lossless verifier accepts on average when the tree ``parents`` is drafted.

    maximise sum P(tree) z(tree, u y) |u| over kernels z from trees to emissions u y, u a path of the tree, y a token
    that is not drafted after u, under the constraints above. Ground truth for tiny instances: all trees are enumerated
    (V^N of them, equal path sets joined).

    Parameters
    ----------
    target, draft : next-token law after a tuple of tokens.
    parents : parent of each drafted token, -1 for the root; drafts : law of the children of a node.

    Raises
    ------
    ValueError
        For laws with entries that are negative or no numbers, that do not sum to one, or over different vocabularies,
        parents other than -1 or an earlier index, an unknown draft law, and too few possible tokens for the children
        of a node.
    BudgetError
        For more than ``budget`` drafted tuples.
    RuntimeError
        If the solver gives up.

    >>> joint_optimum(lambda _: [0.3, 0.7], lambda _: [0.7, 0.3], [-1]).accepted  # one draft: 1 - TV
    0.6
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    target, draft = _Checked("target", target), _Checked("draft", draft)
    parents = _check_parents(parents)
    if len(target(())) != len(draft(())):
        raise ValueError(
            f"target has {len(target(()))} tokens and draft {len(draft(()))}; both laws must be over one vocabulary"
        )
    trees = drafted_paths(draft, parents, drafts, budget=budget)
    chance = _Texts(target)
    columns: list[tuple[int, Text]] = []  # (tree, emission)
    gains: list[float] = []
    rows: dict[Text, int] = {}
    entries: list[tuple[int, int, float]] = []
    for number, (paths, mass) in enumerate(trees.items()):
        for path in sorted({(), *paths}):
            for token, share in enumerate(target(path) if chance(path) > 0 else ()):
                emission = (*path, token)
                if share <= 0 or emission in paths:
                    continue
                column = len(columns)
                columns.append((number, emission))
                gains.append(float(mass) * len(path))
                for length in range(len(emission)):
                    begin, law = emission[:length], target(emission[:length])
                    likeliest = max(range(len(law)), key=law.__getitem__)
                    for x, split in enumerate(law):
                        if x != likeliest and split > 0:  # the likeliest token's row is implied by the others
                            share_here = (x == emission[length]) - float(split)
                            entries.append((rows.setdefault((*begin, x), len(rows)), column, float(mass) * share_here))
    count, size = len(trees), len(columns)
    places = np.array([(count + r, c) for r, c, _ in entries] + [(t, c) for c, (t, _) in enumerate(columns)]).T
    values = np.array([value for _, _, value in entries] + [1.0] * size)
    largest = np.zeros(count + len(rows))
    np.maximum.at(largest, places[0], np.abs(values))
    matrix: Any = csr_array((values / largest[places[0]], (places[0], places[1])), shape=(count + len(rows), size))
    right = np.array([1.0] * count + [0.0] * len(rows))
    solved = linprog(-np.array(gains), A_eq=matrix, b_eq=right, bounds=(0, None), method="highs")
    if not solved.success:
        raise RuntimeError(f"HiGHS: {solved.message}")
    prices = -solved.eqlin.marginals
    short = np.array(gains) - matrix.T @ prices
    raised = np.zeros(count)
    np.maximum.at(raised, [tree for tree, _ in columns], short)  # the tree's own price covers what is missing
    plan = np.maximum(solved.x, 0.0)
    return JointOptimum(
        accepted=float(np.array(gains) @ plan),
        bound=float(right @ prices + raised.sum()),
        violation=float(np.abs(matrix @ plan - right).max()),
        trees=count,
        variables=size,
    )


class _Texts:
    """Probability of a text under the target, remembered."""

    def __init__(self, target: Model) -> None:
        self._target = target
        self._known: dict[Text, Number] = {(): 1}

    def __call__(self, text: Text) -> Number:
        if text not in self._known:
            self._known[text] = self(text[:-1]) * self._target(text[:-1])[text[-1]]
        return self._known[text]
