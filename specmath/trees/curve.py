"""How much each further candidate at a node brings, from the laws themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specmath.arrays import Array, check_count, check_pair, to_numpy
from specmath.rules import acceptance, get
from specmath.transport import optimum


@dataclass(frozen=True)
class AcceptanceCurve:
    """F(n) = P(one of n candidates is emitted), the mean over contexts, for n = 0 .. N.

    Attributes
    ----------
    values : (N + 1,), F(0) = 0.
    standard_error : (N + 1,), of the mean over the contexts given; zero for a single context.
    drafts : how the candidates are drawn.
    rule : the verification rule, None for the optimum.
    nested : the j-th candidate is looked at only after those before it, and does not change what happens to them. Its
        own chance is then F(j) - F(j - 1), whatever follows.
    """

    values: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    drafts: str
    rule: str | None
    nested: bool

    @property
    def increments(self) -> tuple[float, ...]:
        """F(j) - F(j - 1) for j = 1 .. N: the rates of `by_rank`. ValueError where the curve is not ``nested``."""
        if not self.nested:
            raise ValueError(
                f"increments: {self.rule or 'the optimum'} does not test its candidates one after the other; "
                "allowed is shares"
            )
        return tuple(float(step) for step in np.maximum(np.diff(self.values), 0.0))

    @property
    def shares(self) -> tuple[tuple[float, ...], ...]:
        """P(child j of k is accepted), for `by_shares`: increments where nested, else F(k) / k each.

        A rule that is not nested treats the candidates alike once they are hung up in random order.
        """
        if self.nested:
            return tuple(self.increments[:k] for k in range(1, len(self.values)))
        return tuple((float(value) / k,) * k for k, value in enumerate(self.values) if k)


NESTED = {
    "single": ("iid",),
    "recursive": ("iid",),
    "recursive_without_replacement": ("without_replacement",),
    "sampler_match": ("iid", "without_replacement", "top_k"),
}
"""Rules that look at one candidate after the other, with the draft laws whose first drafts do not depend on n."""


def acceptance_curve(
    target: Array,
    draft: Array,
    n: int,
    *,
    drafts: str | None = None,
    rule: str | None = None,
    seed: int = 0,
    replicates: int = 256,
) -> AcceptanceCurve:
    """F(1) .. F(n) of a rule, or of the optimum, from laws of contexts.

    Parameters
    ----------
    target, draft : laws (..., V); all contexts count alike.
    n : most candidates at a node.
    drafts : draft law, default the first of the rule ("iid" for the optimum).
    rule : a node rule of `specmath.rules`; None for the optimal acceptance (`specmath.optimum`).
    seed, replicates : for rules without a formula (`specmath.acceptance`).

    Raises ValueError as `specmath.optimum` and `specmath.acceptance`.

    Source: chen2024sequoia (positional acceptance, measured); hu2025optimal (the optimum).

    >>> curve = acceptance_curve([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], 2)
    >>> curve.values.round(3).tolist(), curve.nested
    ([0.0, 0.7, 0.86], False)
    """
    n = check_count("n", n)
    p, q, _ = check_pair(target, draft)
    if rule is None:
        law = "iid" if drafts is None else drafts
        found = [to_numpy(optimum(p, q, k, law).acceptance) for k in range(1, n + 1)]
    else:
        law = get(rule).supported(1, drafts)
        found = [_rule_values(rule, p, q, k, law, seed, replicates) for k in range(1, n + 1)]
    rows = np.stack([np.atleast_1d(np.asarray(one, dtype=np.float64)).ravel() for one in found])  # (n, contexts)
    contexts = rows.shape[1]
    error = rows.std(axis=1, ddof=1) / np.sqrt(contexts) if contexts > 1 else np.zeros(n)
    values = np.concatenate([[0.0], rows.mean(axis=1)])
    return AcceptanceCurve(values, np.concatenate([[0.0], error]), law, rule, law in NESTED.get(rule or "", ()))


def _rule_values(rule: str, p: Any, q: Any, k: int, drafts: str, seed: int, replicates: int) -> Any:
    return to_numpy(acceptance(rule, p, q, k, drafts, seed=seed, replicates=replicates).values)
