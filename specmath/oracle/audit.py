"""The audit of a function: standard instances, exact laws, checks, and the smallest counterexample."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specmath.exact import BudgetError
from specmath.oracle import causes, checks
from specmath.oracle.draws import UnsupportedRandomness
from specmath.oracle.instance import EPS, KINDS, Instance, Row, Table, standard
from specmath.oracle.joint import Joint, first_drafts, joint
from specmath.oracle.kinds import Call, extras, takes_seed
from specmath.oracle.minimise import smallest
from specmath.oracle.reach import RealState, Seeds
from specmath.oracle.run import DEFAULT_BUDGET
from specmath.oracle.sources import ARRAYS
from specmath.oracle.verdict import Cell, CheckResult, Verdict

SEARCH = 20_000
"""Runs that the search for a smallest instance may take."""

SEEDS = 24
"""Seeds under which a function is run twice: so many that runs which ignore them differ at one of them."""
SAMPLE_IT = "test samples instead (specmath.oracle.audit_sampled, or --sample)"

SEVERITY = ("lossless", "unsafe", "biased", "failed")


@dataclass(frozen=True)
class Lossy:
    """A declared lossy mode: the law that a function is to have in place of the target's.

    Attributes
    ----------
    name : what the mode is called.
    law : ``law(target, draft) -> relaxed target``, rows of fractions; the bonus token has the target's own law.
    """

    name: str
    law: Callable[[Row, Row], Sequence[Any]]


def audit(
    function: Callable[..., Any],
    *,
    kind: str = "chain",
    arrays: str | None = None,
    dtype: str | None = None,
    drafts: str = "iid",
    n: int | None = None,
    declared: Lossy | None = None,
    instances: Sequence[Instance] | None = None,
    budget: int = DEFAULT_BUDGET,
    minimise: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Whether a verification function is lossless, by the exact law of its unmodified code.

    The function is run on every draft of every instance along every outcome of its random calls. The law of the text,
    drafts drawn by the declared draft law, verified, and completed by the target, is compared with the target's:
    ``TV = 1/2 sum |P_found - P_target|`` over all texts.

    Parameters
    ----------
    function : called as `specmath.oracle.kinds.SIGNATURES` says: laws (..., V) in ``dtype``, tokens as integers.
    kind : "node", "chain", "tree" or "batch".
    arrays : "torch", "numpy" or "jax"; default torch where the function's module uses it, then jax, else numpy.
    dtype : of the laws, default float64 for numpy and float32 else.
    drafts : law of the drafts, a name of `specmath.draft_laws`.
    n : candidates at a node, or depth of a chain; default: several.
    declared : a lossy mode that is to be met exactly (nodes and chains).
    instances : instead of `standard`.
    budget : runs of the function for one instance.
    minimise : whether to look for the smallest instance with the finding.
    progress : called with the number of instances done and to do.

    Returns
    -------
    Verdict
        "undecided" for randomness that cannot be followed, and where the budget does not suffice.

    Raises
    ------
    ValueError
        For names that are unknown, and instances of another kind.

    >>> import numpy as np
    >>> def verify(target, draft, tokens, generator):
    ...     token = tokens[0]
    ...     if generator.random() < target[token] / draft[token]:
    ...         return token
    ...     return generator.choice(len(target), p=target)
    >>> verdict = audit(verify, kind="node", n=1, arrays="numpy")
    >>> verdict.status, verdict.cause
    ('biased', 'matches: residual taken from the target')
    """
    call, todo = prepared(function, kind, arrays, dtype, drafts, n, declared, instances)
    return _Audit(call, drafts, declared, todo, budget, minimise, progress).verdict()


def prepared(
    function: Callable[..., Any],
    kind: str,
    arrays: str | None,
    dtype: str | None,
    drafts: str,
    n: int | None,
    declared: Lossy | None,
    instances: Sequence[Instance] | None,
    *,
    seed: bool = False,
) -> tuple[Call, tuple[Instance, ...]]:
    """The arguments of `audit`, checked: how the function is called, and on what.

    With ``seed`` it is also given an argument ``seed``. Raises ValueError as `audit` does.
    """
    if kind == "generate":
        raise ValueError("kind is 'generate'; it needs the target's law: call specmath.oracle.audit_generate")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed are {', '.join(map(repr, KINDS))}")
    if type(function).__name__ == "PjitFunction":  # of jax.jit: it runs eagerly, as those do that the code calls
        function = inspect.unwrap(function)
    arrays = arrays_of(function) if arrays is None else arrays
    if arrays not in ARRAYS:
        raise ValueError(f"arrays is {arrays!r}; allowed are {', '.join(map(repr, ARRAYS))}")
    dtype = ("float64" if arrays == "numpy" else "float32") if dtype is None else dtype
    if dtype not in EPS or (arrays != "torch" and dtype == "bfloat16"):
        raise ValueError(f"dtype is {dtype!r}; allowed are {', '.join(map(repr, EPS))} (bfloat16 for torch only)")
    if declared is not None and kind not in ("node", "chain"):
        raise ValueError(f"declared is allowed for nodes and chains, and kind is {kind!r}")
    todo = tuple(instances) if instances is not None else standard(kind, drafts=drafts, dtype=dtype, n=n)  # type: ignore[arg-type]
    for instance in todo:
        if instance.kind != kind:
            raise ValueError(f"instances: {instance.name!r} is of kind {instance.kind!r}; allowed is {kind!r}")
    extra = extras(function, arrays)
    return Call(function, arrays, dtype, (*extra, "seed") if seed and takes_seed(function) else extra), todo


@dataclass
class _Audit:
    call: Call
    drafts: str
    declared: Lossy | None
    todo: tuple[Instance, ...]
    budget: int
    minimise: bool
    progress: Callable[[int, int], None] | None
    runs: int = 0

    def __post_init__(self) -> None:
        # Handed to the function, and intercepted as the global one.
        self.generator = None
        if self.call.arrays == "torch":
            import torch

            self.generator = torch.Generator()

    def joint(self, instance: Instance, budget: int | None = None) -> Joint:
        target = None if self.declared is None else relaxed_model(instance, self.declared)
        budget = self.budget if budget is None else budget
        found = joint(self.call, instance, target=target, budget=budget, generator=self.generator)
        self.runs += found.runs
        return found

    def status(self, found: Joint) -> str:
        return checks.status(checks.run(found, self.call.dtype), checks.tolerance(found, self.call.dtype))

    def verdict(self) -> Verdict:
        worst: Joint | None = None
        if takes_seed(self.call.function):
            return self._undecided(f"it makes its own randomness from the argument seed; {SAMPLE_IT}", 0, {}, {})
        results: dict[str, CheckResult] = {"same_seed": same_seed(self.call, self.todo[0], self.generator)}
        if not results["same_seed"].passed:
            # Runs that differ under one seed have a source of choice that is not explored: no law of theirs is exact.
            why = f"with the same seeds it {results['same_seed'].message}: something that draws is not intercepted; "
            return self._undecided(why + SAMPLE_IT, 0, results, {})
        calls: dict[str, None] = {}
        largest, done = 0.0, 0
        status = "lossless"
        instance = self.todo[0]
        try:
            for done, instance in enumerate(self.todo, 1):
                found = self.joint(instance)
                calls.update(found.calls)
                largest = max(largest, found.total_variation)
                for name, result in checks.run(found, self.call.dtype).items():
                    if name not in results or (results[name].passed and not result.passed):
                        results[name] = result
                now = self.status(found)
                if worst is None or SEVERITY.index(now) > SEVERITY.index(self.status(worst)):
                    worst = found
                status = max(status, now, key=SEVERITY.index)
                if self.progress is not None:
                    self.progress(done, len(self.todo))
            assert worst is not None
            shown = self._smallest(worst) if status != "lossless" and self.status(worst) != "lossless" else None
        except BudgetError:
            if status in ("biased", "failed") and worst is not None:  # the rest cannot change it
                return self._made(status, worst, self._smallest(worst), largest, done - 1, results, calls)
            why = (
                f"more than budget={self.budget} runs on one instance, {instance.name!r}; raise the budget, or lower n"
            )
            return self._undecided(why, done - 1, results, calls)
        except UnsupportedRandomness as error:
            return self._undecided(str(error), done - 1, results, calls)
        return self._made(status, worst, shown, largest, done, results, calls)

    def _smallest(self, worst: Joint) -> Joint:
        if not self.minimise:
            return worst
        wanted = self.status(worst)
        failed = {name for name, result in checks.run(worst, self.call.dtype).items() if not result.passed}

        end = self.runs + SEARCH

        def judge(instance: Instance) -> Joint | None:
            left = min(end - self.runs, self.budget)
            if left <= 0:
                return None
            try:
                found = self.joint(instance, left)
            except (UnsupportedRandomness, BudgetError):
                return None
            if self.status(found) != wanted:
                return None
            same = failed & {name for name, result in checks.run(found, self.call.dtype).items() if not result.passed}
            return found if same else None

        return smallest(worst, judge)

    def _made(
        self, status: str, worst: Joint, shown: Joint | None, largest: float, done: int, results: Any, calls: Any
    ) -> Verdict:
        found = worst if shown is None else shown
        allowed = checks.tolerance(found, self.call.dtype)
        cells: tuple[Cell, ...] = ()
        cause = ""
        if shown is not None:
            cause = (causes.guess(shown) if status == "biased" else "") or causes.numeric(shown)
            # A biased law shows where it differs, one that is only unsafe what it must not emit.
            least = allowed / len(shown.cells) if status == "biased" and shown.cells else 0.0
            cells = tuple(
                Cell(text, expected, actual)
                for text, expected, actual in shown.cells
                if abs(expected - actual) > least and (status == "biased" or not expected)
            )
        variation = largest if shown is None else shown.total_variation
        if self.declared is not None and status == "lossless":
            status, variation = "lossy-as-declared", _distance(self.todo[:done], self.declared)
        elif self.declared is not None and status == "biased":
            cause = f"the law is not the declared one ({self.declared.name}); total variation is from that law"
        instance = None if shown is None else shown.instance
        return self._verdict(
            status=status,
            total_variation=variation,
            tolerance=allowed,
            evidence="exact",
            checks=tuple(results[name] for name in checks.checks(found.instance.kind) if name in results),
            instance=instance,
            cells=cells,
            cause=cause,
            calls=tuple(calls),
            instances=done,
            replay=None
            if instance is None
            else lambda: replace(self, todo=(instance,), minimise=False, runs=0).verdict(),
        )

    def _undecided(self, why: str, done: int, results: Any, calls: Any) -> Verdict:
        return self._verdict(
            status="undecided",
            total_variation=0.0,
            tolerance=0.0,
            evidence="none",
            checks=tuple(results.values()),
            instance=None,
            cells=(),
            cause=why,
            calls=tuple(calls),
            instances=done,
        )

    def _verdict(self, **fields: Any) -> Verdict:
        name = getattr(self.call.function, "__qualname__", type(self.call.function).__name__)
        call = self.call
        kind = self.todo[0].kind
        return Verdict(
            function=name, kind=kind, arrays=call.arrays, dtype=call.dtype, drafts=self.drafts, runs=self.runs, **fields
        )


def arrays_of(function: Callable[..., Any]) -> str:
    """The library that the function's module uses: "torch" where it holds it, then "jax", else "numpy"."""
    held = getattr(function, "__globals__", None) or vars(sys.modules.get(type(function).__module__, sys))
    homes = {
        str(getattr(value, "__name__", getattr(value, "__module__", ""))).partition(".")[0] for value in held.values()
    }
    return next((name for name in ("torch", "jax") if name in homes), "numpy")


def same_seed(call: Call, instance: Instance, generator: Any) -> CheckResult:
    """Runs with the same seeds, not intercepted, must agree; this also lets the code import what it imports."""
    kept = call.inputs(instance, first_drafts(instance))
    with RealState(), Seeds(call.function) as seeds:
        call.real(kept, instance, generator, seed=0)  # the first run may fill caches
        for seed in range(SEEDS):
            found = []
            for _ in range(2):
                seeds.seed(seed)
                found.append(call.real(kept, instance, generator, seed=seed))
            one, other = found
            if one != other:
                return CheckResult("same_seed", False, f"gave {one} and then {other}", instance.name, 1.0)
    return CheckResult("same_seed", True)


def relaxed_model(instance: Instance, declared: Lossy) -> Table:
    """The model that a declared lossy function follows."""
    rows = {}
    for context in instance.contexts():
        target = instance.target[context]
        drafted = instance.kind == "node" or len(context) < instance.depth
        rows[context] = tuple(declared.law(target, instance.draft[context])) if drafted else target
    return Table(rows, instance.target.otherwise)


def _distance(instances: Sequence[Instance], declared: Lossy) -> float:
    """Largest total variation between texts of the declared law and of the target."""
    largest = 0.0
    for instance in instances:
        relaxed = relaxed_model(instance, declared)
        seen = {(): (1.0, 1.0)}
        for _ in range(instance.length):
            seen = {
                (*text, token): (one * float(p), other * float(r))
                for text, (one, other) in seen.items()
                for token, (p, r) in enumerate(zip(instance.target[text], relaxed[text], strict=True))
                if p or r
            }
        largest = max(largest, sum(abs(one - other) for one, other in seen.values()) / 2)
    return largest
