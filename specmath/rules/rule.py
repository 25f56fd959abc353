"""What a verification rule is: one object with an exact program, a vectorised step and, where known, a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

from specmath import draft_laws
from specmath.arrays import Array, as_array, check_count, check_pair, like, namespace, to_index
from specmath.draws import categorical, first_match
from specmath.rules.check import allowed, check_children, check_drafted, check_step

Layout = Literal["node", "chain", "tree"]
Shape = Literal["any", "paths"]


class Verdict(NamedTuple):
    """What one verification step decided.

    Attributes
    ----------
    tokens : node rules: the emitted token, shape (...). Chain and tree rules: the accepted path and then the
        correction or bonus token, padded with -1, shape (..., N + 1) for N drafted tokens.
    accepted : index (into the drafted tokens) of the deepest accepted draft, -1 if none, shape (...). For a chain the
        number of accepted drafts is ``accepted + 1``; for a node it is the first draft equal to the emitted token; in a
        tree it and its ancestors along ``parents`` are the path to keep in a cache, repeated siblings or not.
    """

    tokens: Array
    accepted: Array


def conclude(tokens: Array, emitted: Array, law: Array, uniform: Array) -> Verdict:
    """End of a node step: where no test passed (``emitted`` is -1) draw from ``law`` (..., V); then the verdict."""
    xp = namespace(tokens)
    drawn = xp.astype(categorical(law, uniform), tokens.dtype)
    emitted = xp.where(emitted < 0, drawn, emitted)
    return Verdict(emitted, first_match(tokens, emitted))


@dataclass(frozen=True)
class Rule:
    """A verification rule.

    Attributes
    ----------
    name, purpose, source : registry name, one line, bibliography key with locator.
    layout : "node" (n candidates for one position), "chain" (one path) or "tree" (a path set with a parent vector).
    drafts : names of the draft laws under which the rule is lossless; for chains and trees, of the children of a node.
    lossless : whether the output law equals the target's for those draft laws.
    program : the readable judge, exact over Fractions. Node: ``program(chance, target, draft, tokens) -> token``;
        chain: ``program(chance, target, draft, tokens) -> emitted tokens`` with target[i], draft[i] the laws at
        depth i; tree: the same with ``parents`` appended.
    step : the vectorised form behind `verify`, without checks.
    formula : ``formula(target, draft, n, drafts) -> acceptance`` of shape (...), or None where none is known.
    given : ``given(target, draft, tokens) -> P(emitted token is drafted | the drafts)``, shape (...): averaged over
        drafts by Monte Carlo where there is no formula.
    tests : names of the accept tests for n drafted tokens, in the order of their uniforms.
    at_least, at_most : smallest and largest n of a node rule, None for any.
    by_law : whether `program` and `step` take the draft law's name as keyword ``drafts``; `under` fills it in.
    shape : trees that a tree rule takes: "any", or "paths", chains of one length from the root.
    same_plan : whether verify has the law of program for all drafted tokens. If not, they select a draft by different
        plans with one marginal law, and agree on average over the drafts.
    """

    name: str
    purpose: str
    source: str
    layout: Layout
    drafts: tuple[str, ...]
    lossless: bool
    program: Callable[..., Any]
    step: Callable[..., Verdict]
    formula: Callable[[Array, Array, int, str], Array | None] | None = None
    given: Callable[[Array, Array, Array], Array] | None = None
    tests: Callable[[int], tuple[str, ...]] = lambda n: tuple(f"draft {j}" for j in range(n))
    at_least: int = 1
    at_most: int | None = None
    by_law: bool = False
    shape: Shape = "any"
    same_plan: bool = True

    def coins(self, n: int) -> tuple[str, ...]:
        """What each uniform of `verify` decides, in order: the accept tests of n drafted tokens, then the final draw.

        >>> from specmath import rules
        >>> rules.get("recursive").coins(2), rules.get("spechub").coins(2)
        (('draft 0', 'draft 1', 'final'), ('other token', 'hub', 'final'))
        """
        return (*self.tests(n), "final")

    def uniforms(self, n: int) -> int:
        """Number of uniforms that `verify` takes for n drafted tokens, one per name in `coins`."""
        return len(self.coins(n))

    def verify(
        self,
        target: Array,
        draft: Array,
        tokens: Array,
        uniforms: Array,
        parents: Array | None = None,
        *,
        check: bool = True,
        drafts: str | None = None,
    ) -> Verdict:
        """Decide which drafted tokens to keep; batched over leading axes, numpy, torch or jax, no host synchronisation.

        Parameters
        ----------
        target : node (..., V); chain and tree (..., N + 1, V), row 0 the law at the root, row i + 1 after drafted
            token i.
        draft : node (..., V); chain and tree (..., N, V), row i the law that drafted token i was drawn from (siblings
            share it; without replacement it is the law before the earlier siblings were taken out).
        tokens : drafted tokens, node (..., n), chain and tree (..., N), integers.
        uniforms : (..., self.uniforms(n)) in [0, 1), in the order of `coins`; float64 is better for
            large vocabularies: float32 has 24 bits, which alone cost a final draw from 128,000 tokens a total variation
            of about 1e-3.
        parents : trees: (N,) or (..., N), the parent of each drafted token, -1 for the root, parents[i] < i.
        check : look at the values too (sums, NaN, support of the drafts) where that costs no synchronisation, that is
            for concrete host arrays; shapes and dtypes are always checked. Laws are used as given, never scaled: the
            emitted law is the target's up to the |sum - 1| that the check allows.
        drafts : name of the law that drew the tokens, in a tree the children of every node; the check is made for it.
            Rules with ``by_law`` depend on it, by default on the first that they are made for; the others treat the
            tokens of all their draft laws alike, and without it the tokens of a node may come from any of these.

        Returns
        -------
        Verdict
            Tokens and the index of the deepest accepted draft.

        Raises
        ------
        ValueError
            For a draft law that the rule does not verify, shapes or libraries that do not fit, half precision, laws
            that are none, tokens outside the vocabulary or that the draft law cannot have drawn (siblings together,
            where it is declared), siblings with different draft laws.
        """
        rule = self.under(drafts)
        target, draft = as_array("target", target), as_array("draft", draft)
        tokens, uniforms = as_array("tokens", tokens), as_array("uniforms", uniforms)
        if parents is not None:
            parents = like(as_array("parents", parents), tokens)
        sizes = (self.at_least, self.at_most)
        check_step(self.layout, self.uniforms, sizes, target, draft, tokens, uniforms, parents, values=check)
        # Rules that treat all their draft laws alike have no default: without ``drafts`` any of these may have drawn.
        laws = rule.drafts if drafts is None else (drafts,)
        if check and drafts is not None and drafts not in self.drafts:
            raise ValueError(self._refused(drafts))
        if check and self.layout == "node":
            check_drafted(laws, draft, tokens)
        if check and self.layout == "tree" and len(laws) == 1:
            check_children(laws[0], draft, tokens, parents)
        extra = (parents,) if self.layout == "tree" else ()
        return rule.step(target, draft, to_index(tokens), uniforms, *extra)

    def under(self, drafts: str | None = None) -> Rule:
        """The rule for one draft law: itself if it treats all its draft laws alike; see ``by_law``.

        ``drafts`` is by default the first draft law that the rule is made for; ValueError for an unknown one, and for
        one that a rule with ``by_law`` does not verify.

        >>> from specmath import rules
        >>> rules.get("optimal").under("greedy").drafts, rules.get("single").under("iid").drafts
        (('greedy',), ('iid',))
        """
        drafts = self.drafts[0] if drafts is None else draft_laws.get(drafts).name
        if not self.by_law:
            return self
        if drafts not in self.drafts:
            raise ValueError(self._refused(drafts))
        bound = {name: partial(getattr(self, name), drafts=drafts) for name in ("program", "step")}
        return replace(self, drafts=(drafts,), by_law=False, **bound)

    def acceptance(self, target: Array, draft: Array, n: int, drafts: str | None = None) -> Array:
        """P(the emitted token is one of the n drafted ones), shape (...), for laws (..., V).

        ``drafts`` names the draft law, default the first the rule is made for. Laws are checked and converted to
        float64. Raises ValueError when the rule does not support the draft law or n, and NotImplementedError when no
        formula is known (`specmath.acceptance` estimates it then).
        """
        drafts = self.supported(n, drafts)
        p, q, _ = check_pair(target, draft)
        draft_laws.get(drafts).check_rows(n, q)
        value = None if self.formula is None else self.formula(p, q, n, drafts)
        if value is None:
            raise NotImplementedError(f"rule {self.name!r} has no acceptance formula for n = {n}, drafts = {drafts!r}")
        return value

    def supported(self, n: int, drafts: str | None = None) -> str:
        """The draft law's name if this rule verifies n of its drafts losslessly; ValueError otherwise."""
        drafts = self.drafts[0] if drafts is None else draft_laws.get(drafts).name
        if drafts not in self.drafts:
            raise ValueError(self._refused(drafts))
        n = check_count("n", n)
        if n < self.at_least or (self.at_most is not None and n > self.at_most):
            raise ValueError(f"n is {n}: rule {self.name!r} allows n = {allowed(self.at_least, self.at_most)}")
        return drafts

    def _refused(self, drafts: str) -> str:
        return f"rule {self.name!r} does not verify drafts={drafts!r}; allowed are {', '.join(map(repr, self.drafts))}"
