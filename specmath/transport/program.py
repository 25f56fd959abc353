"""The transport problem as a linear program: scipy's HiGHS, or a cvxpy model that one can extend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from specmath.exact import Number
from specmath.transport.plan import Plan, problem


def _incidence(size: int, sets: Sequence[frozenset[int]]) -> tuple[list[tuple[int, int]], Any]:
    """Pairs (set index, token) that may carry flow, and the sparse constraint matrix (sets + V, pairs)."""
    from scipy.sparse import csr_array

    pairs = [(i, token) for i, drafted in enumerate(sets) for token in sorted(drafted)]
    columns = np.arange(len(pairs))
    rows = np.concatenate([[i for i, _ in pairs], [len(sets) + token for _, token in pairs]]).astype(int)
    matrix = csr_array((np.ones(2 * len(pairs)), (rows, np.tile(columns, 2))), shape=(len(sets) + size, len(pairs)))
    return pairs, matrix


def linear_program(target: Sequence[Number], law: Mapping[tuple[int, ...], Number], *, solver: str = "scipy") -> Plan:
    """Optimal plan for any enumerable draft law, in float64, with primal and dual solution.

    ``solver`` is "scipy" (HiGHS through scipy) or "cvxpy" (the model of `cvxpy_model`, HiGHS too; needs the extra
    ``specmath[lp]``). Values are exact to about 1e-9; `Plan.gap`, `Plan.infeasibility` and `Plan.slackness` say how
    exact. Raises ValueError for an unknown solver, foreign tokens or masses that are none, RuntimeError if the
    solver gives up.

    Source: hu2025optimal.

    >>> plan = linear_program([0.5, 0.5], {(0, 0): 0.25, (0, 1): 0.5, (1, 1): 0.25})
    >>> round(plan.acceptance, 9), abs(plan.gap) < 1e-9
    (1.0, True)
    """
    target, sets = problem(target, law)
    names = list(sets)
    size = len(target)
    pairs, matrix = _incidence(size, names)
    limits = np.array([*(float(sets[s]) for s in names), *(float(p) for p in target)])
    if solver == "scipy":
        from scipy.optimize import linprog

        solved = linprog(-np.ones(len(pairs)), A_ub=matrix, b_ub=limits, method="highs")
        if not solved.success:
            raise RuntimeError(f"HiGHS: {solved.message}")
        flow, potentials = solved.x, -solved.ineqlin.marginals
    elif solver == "cvxpy":
        model, variable, constraint = cvxpy_model(matrix, limits)
        model.solve(solver="HIGHS")
        if model.status != "optimal":
            raise RuntimeError(f"cvxpy: status {model.status}")
        flow, potentials = variable.value, constraint.dual_value
    else:
        raise ValueError(f"solver is {solver!r}; allowed are 'scipy', 'cvxpy'")
    return Plan(
        {(names[i], token): float(mass) for (i, token), mass in zip(pairs, flow, strict=True) if mass > 0},
        [float(y) for y in potentials[len(names) :]],
        {drafted: float(z) for drafted, z in zip(names, potentials[: len(names)], strict=True)},
        [float(p) for p in target],
        {drafted: float(mass) for drafted, mass in sets.items()},
    )


def cvxpy_dual(target: Sequence[Number], law: Mapping[tuple[int, ...], Number]) -> tuple[Any, Any, Any]:
    """The dual as (problem, y, z): minimise sum p y + sum P z with y(x) + z(omega) >= 1 for x in omega, y, z >= 0.

    ``y`` has one entry per token, ``z`` one per set of `drafted_sets`, in its order. Solve it with
    ``problem.solve(solver="HIGHS")``. Needs the extra ``specmath[lp]``. Raises ValueError as `linear_program`.

    Source: hu2025optimal.

    >>> problem, y, z = cvxpy_dual([0.5, 0.5], {(0, 0): 0.25, (0, 1): 0.5, (1, 1): 0.25})
    >>> round(float(problem.solve(solver="HIGHS")), 9)
    1.0
    """
    import cvxpy

    target, sets = problem(target, law)
    pairs, _ = _incidence(len(target), list(sets))
    y, z = cvxpy.Variable(len(target), nonneg=True), cvxpy.Variable(len(sets), nonneg=True)
    drafted, tokens = (np.array(column) for column in zip(*pairs, strict=True))
    cost = np.array(target, dtype=float) @ y + np.array(list(sets.values()), dtype=float) @ z
    return cvxpy.Problem(cvxpy.Minimize(cost), [y[tokens] + z[drafted] >= 1]), y, z


def cvxpy_model(matrix: Any, limits: np.ndarray[Any, Any]) -> tuple[Any, Any, Any]:
    """The relaxed primal as (problem, flow variable, capacity constraint); its dual value is (z, y)."""
    import cvxpy

    flow = cvxpy.Variable(matrix.shape[1], nonneg=True)
    capacity = matrix @ flow <= limits
    return cvxpy.Problem(cvxpy.Maximize(cvxpy.sum(flow)), [capacity]), flow, capacity
