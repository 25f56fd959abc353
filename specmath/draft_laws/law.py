"""What a draft law is: how the n candidates at one node are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from specmath import exact
from specmath.arrays import Array, check_count, is_concrete, namespace, to_numpy
from specmath.exact import Chance, Law, Number


@dataclass(frozen=True)
class DraftLaw:
    """How n candidates are drawn at one node from the draft's next-token law.

    Attributes
    ----------
    name : registry name, also the value of every ``drafts=`` argument.
    purpose : one line.
    program : ``program(chance, draft, n) -> tuple of n tokens``; short, exact over Fractions: the judge.
    sample : ``sample(draft, n, uniforms) -> tokens``; draft (..., V), uniforms (..., uniforms(n)), tokens (..., n).
    inside : ``inside(draft, n, members) -> probability`` that all n drafts lie in the set; draft (..., V), members
        boolean (..., V), result (...).
    uniforms : number of uniforms in [0, 1) that `sample` uses for n drafts, in the order of the drafts.
    possible : ``possible(draft, tokens) -> boolean`` (...): whether this law can draw the ordered tokens (..., n), each
        of positive draft probability.
    needs : ``needs(n, support) -> message`` when a law with ``support`` possible tokens cannot give n drafts, else "".
    source : bibliography key and locator.
    """

    name: str
    purpose: str
    program: Callable[[Chance, Sequence[Number], int], tuple[int, ...]]
    sample: Callable[[Array, int, Array], Array]
    inside: Callable[[Array, int, Array], Array]
    possible: Callable[[Array, Array], Array]
    uniforms: Callable[[int], int]
    needs: Callable[[int, int], str]
    source: str

    def law(self, draft: Sequence[Number], n: int, *, budget: int = exact.DEFAULT_BUDGET) -> Law:
        """Exact law of the ordered draft tuple, by enumeration: tuple of n tokens -> probability.

        Over Fractions for a rational draft law. Raises ValueError when n drafts cannot be drawn, `exact.BudgetError`
        when there are more than ``budget`` tuples.
        """
        self.check(n, sum(probability > 0 for probability in draft))
        return exact.law(lambda chance: self.program(chance, draft, n), budget=budget)

    def check(self, n: int, support: int) -> None:
        """ValueError unless n candidates can be drawn from a law with ``support`` tokens of positive probability."""
        self._check(n, support, "")

    def check_rows(self, n: int, draft: Array) -> None:
        """`check` for every row of draft (..., V), naming the first that fails; tracers cannot be looked at."""
        size = draft.shape[-1]
        if not is_concrete(draft):
            return self._check(n, size, "")
        if not self.needs(check_count("n", n), 1):
            return None  # one token is enough, and a law has one
        xp = namespace(draft)
        support = to_numpy(xp.sum(xp.astype(draft > 0, xp.int32), axis=-1))
        smallest = int(np.min(support, initial=size))
        row = [int(i) for i in np.argwhere(support == smallest)[0]] if support.size else []
        return self._check(n, smallest, f" (context {row[0] if len(row) == 1 else row})" if row else "")

    def _check(self, n: int, support: int, place: str) -> None:
        n = check_count("n", n)
        problem = self.needs(n, support)
        if problem:
            raise ValueError(f"n is {n}: drafts={self.name!r} {problem}{place}")
