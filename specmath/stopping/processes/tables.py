"""Two language models given as tables: everything about their chains is then known exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from specmath.exact.check import check_numbers
from specmath.exact.explorer import Number, normalised
from specmath.stopping.process import Law, State, Token, entropy

Context = tuple[int, ...]


@dataclass(frozen=True)
class Tables:
    """Target and draft as laws after a context, the last tokens of the text; token by token verification.

    A token y is drafted with draft(y), kept with min(1, target(y) / draft(y)), and corrected by a draw from the
    residual (leviathan2023fast, Algorithm 1). The state is the context, so the text goes on from round to round.

    Attributes
    ----------
    target, draft : context -> law (V,); numbers may be Fractions. A context is a tuple of the last ``order`` tokens.
    order : how many tokens a context has.
    beginning : the context that texts begin in.

    Raises ValueError for a context without laws, rows that are no laws, and rows of different lengths.

    >>> tables = Tables({(): [0.5, 0.5]}, {(): [0.25, 0.75]}, order=0)
    >>> [round(token.acceptance, 3) for token in tables.tokens(())]
    [1, 0.667]
    """

    target: Mapping[Context, Sequence[Number]]
    draft: Mapping[Context, Sequence[Number]]
    order: int = 1
    beginning: Context = ()
    _known: dict[Context, tuple[Token, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.order, bool) or not isinstance(self.order, int) or self.order < 0:
            raise ValueError(f"order is {self.order!r}; allowed are whole numbers >= 0")
        self._laws(self.beginning)

    def _laws(self, context: Context) -> tuple[Sequence[Number], Sequence[Number]]:
        found = []
        for name, table in (("target", self.target), ("draft", self.draft)):
            if context not in table:
                raise ValueError(f"{name} has no law after {context}; every context that can come up needs one")
            found.append(check_numbers(f"{name}[{context}]", table[context]))
        if len(found[0]) != len(found[1]):
            raise ValueError(f"target and draft have {len(found[0])} and {len(found[1])} tokens after {context}")
        return found[0], found[1]

    def _after(self, context: Context, token: int) -> Context:
        return (*context, token)[-self.order :] if self.order else ()

    def _law(self, context: Context, law: Sequence[Number]) -> Law:
        return tuple((weight, self._after(context, token)) for token, weight in enumerate(law) if weight)

    def start(self) -> Law:
        return ((1, self.beginning),)

    def tokens(self, state: State) -> tuple[Token, ...]:
        context: Context = state  # type: ignore[assignment]
        if context not in self._known:
            target, draft = self._laws(context)
            excess = [max(p - q, 0) for p, q in zip(target, draft, strict=True)]
            rejected = self._law(context, normalised(excess)) if any(excess) else ()
            spread = entropy(draft)
            self._known[context] = tuple(
                Token(q, min(1, p / q), self._after(context, token), rejected, q, spread)
                for token, (p, q) in enumerate(zip(target, draft, strict=True))
                if q
            )
        return self._known[context]

    def bonus(self, state: State) -> Law:
        context: Context = state  # type: ignore[assignment]
        return self._law(context, self._laws(context)[0])
