"""The audit of whole generate calls: the exact law of their texts against the target's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any

from specmath.arrays import check_count
from specmath.oracle import causes
from specmath.oracle.audit import SEARCH, SEVERITY, Lossy, arrays_of
from specmath.oracle.draws import UnsupportedRandomness
from specmath.oracle.generate import causes as generate_causes
from specmath.oracle.generate import checks as generate_checks
from specmath.oracle.generate.law import Found, OutOfBudget, Remembers, compare, explore
from specmath.oracle.generate.seeds import differs
from specmath.oracle.instance import EPS
from specmath.oracle.prompted import Model, Prompted, Text, contexts, text_law
from specmath.oracle.reach import Held, RealState, reachable
from specmath.oracle.run import DEFAULT_BUDGET
from specmath.oracle.sources import ARRAYS
from specmath.oracle.verdict import Cell, CheckResult, Verdict

Generate = Callable[[Text, int], Any]
Together = Callable[[tuple[Text, ...], int], Any]
PARTS = 1000
"""Steps in which progress is told for each instance."""
BESIDE = 2
"""New tokens of a call with several prompts: rows have the product of the paths."""
SAMPLE_IT = "test samples instead (specmath.oracle.audit_generate_sampled, or --sample)"


def audit_generate(
    generate: Generate,
    target: Callable[[Text], Any],
    *,
    prompts: Sequence[Sequence[int]] = ((0,),),
    length: int = 4,
    stop: int | None = None,
    draft: Callable[[Text], Any] | None = None,
    together: Together | None = None,
    arrays: str | None = None,
    dtype: str | None = None,
    declared: Lossy | None = None,
    budget: int = DEFAULT_BUDGET,
    minimise: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Whether a whole generate call writes the target's texts, by the exact law of its unmodified code.

    Every outcome of its random calls is explored, for every prompt and, with ``minimise``, for 1, 2, .. ``length`` new
    tokens, so that the first finding is a smallest one: ``TV = 1/2 sum_y |P_found(y) - prod_i target(prompt,
    y_<i)(y_i)|`` over all texts y.

    Parameters
    ----------
    generate : ``generate(prompt, n_tokens) -> new tokens``, a list or an array (T,), T = n_tokens, or less if the text
        ends with ``stop``; -1 at the end is padding.
    target : ``target(text) -> law (V,)``, probabilities of the next token after prompt and text.
    prompts : tuples of tokens.
    length : new tokens.
    stop : token that ends a text.
    draft : ``draft(text) -> law (V,)`` of the draft model, to name the cause of a bias, and for ``declared``.
    together : the same decoder for several prompts at once, ``together(prompts, n_tokens) -> rows``: rows must have the
        laws that they have alone, independently; checked for two prompts and two new tokens.
    arrays : library whose randomness the code uses ("torch", "numpy" or "jax"; that of numpy and Python always);
        default torch where the function's module has it, then jax, else numpy.
    dtype : of the models' laws, for the tolerance of 8 eps for each token; default float64 for numpy, float32 else.
    declared : a lossy mode that is to be met exactly, at every token or at those that rounds of 1 .. ``length`` drafted
        tokens verify.
    budget : runs for one instance.
    minimise : whether shorter texts come first.
    progress : called with parts done and to do; parts are thousandths of an instance's outcomes, by probability.

    Returns
    -------
    Verdict
        "undecided" for randomness that cannot be followed, code that remembers earlier calls, and a budget that does
        not suffice.

    Raises
    ------
    ValueError
        For arguments that are wrong, and laws that are none.

    >>> import numpy as np
    >>> def generate(prompt, n_tokens):
    ...     return [np.random.choice(2, p=[0.5, 0.5]) for _ in range(n_tokens)]
    >>> audit_generate(generate, lambda text: [0.5, 0.5], length=3).status
    'lossless'
    >>> print(audit_generate(generate, lambda text: [0.25, 0.75]).cause)
    the law first departs at new token 1, right after the prompt: token 0 has 0.5, the target 0.25
    """
    if not callable(generate) or not callable(target):
        name, given = ("target", target) if callable(generate) else ("generate", generate)
        raise ValueError(f"{name} is {type(given).__name__}; allowed are callables")
    arrays = _arrays(generate) if arrays is None else arrays
    if arrays not in ARRAYS:
        raise ValueError(f"arrays is {arrays!r}; allowed are {', '.join(map(repr, ARRAYS))}")
    dtype = ("float64" if arrays == "numpy" else "float32") if dtype is None else dtype
    if dtype not in EPS:
        raise ValueError(f"dtype is {dtype!r}; allowed are {', '.join(map(repr, EPS))}")
    if declared is not None and draft is None:
        raise ValueError("draft is missing; allowed with declared= is a callable, whose laws the declared law mixes")
    check_count("length", length)
    check_count("budget", budget)
    own = Model("target", target, dtype)
    drafted = None if draft is None else Model("draft", draft, dtype)
    given = _prompts(prompts, own, stop)
    audit = _Audit(
        generate, together, own, drafted, given, length, stop, arrays, dtype, declared, budget, minimise, progress
    )
    return audit.verdict()


def _arrays(generate: Generate) -> str:
    """The library of the code, also where it lies behind decorators and partial calls."""
    homes = {arrays_of(one) for one in reachable(generate) if isinstance(one, FunctionType)} | {arrays_of(generate)}
    return next((name for name in ("torch", "jax") if name in homes), "numpy")


def _prompts(prompts: Sequence[Sequence[int]], target: Model, stop: int | None) -> tuple[Text, ...]:
    try:
        given = tuple(tuple(int(token) for token in prompt) for prompt in prompts)
    except TypeError:
        raise ValueError(f"prompts is {prompts!r}; allowed are tuples of tokens, such as ((0, 1), (2,))") from None
    if not given:
        raise ValueError("prompts is empty; allowed are one or more tuples of tokens")
    for prompt in given:
        target(prompt)
    size = target.vocabulary
    for name, tokens in [*(("prompts", prompt) for prompt in given), ("stop", () if stop is None else (stop,))]:
        if any(not 0 <= token < size for token in tokens):
            raise ValueError(f"{name}: token {tokens}; allowed are 0 to {size - 1}")
    return tuple(dict.fromkeys(given))


@dataclass
class _Audit:
    generate: Generate
    together: Together | None
    target: Model
    draft: Model | None
    prompts: tuple[Text, ...]
    length: int
    stop: int | None
    arrays: str
    dtype: str
    declared: Lossy | None
    budget: int
    minimise: bool
    progress: Callable[[int, int], None] | None
    only: tuple[tuple[Text, ...], int] | None = None
    runs: int = 0
    calls: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._laws: dict[tuple[Text, int], dict[Text, float]] = {}
        self._how = ""
        self._distance = 0.0

    def todo(self) -> Iterator[tuple[tuple[Text, ...], int]]:
        """Prompts and lengths, from small to large; calls with several prompts come last."""
        if self.only is not None:
            yield self.only
            return
        ordered = sorted(self.prompts, key=len)
        for length in range(1 if self.minimise else self.length, self.length + 1):
            yield from (((prompt,), length) for prompt in ordered)
        if self.together is not None:
            short = ordered[0]
            longer = next((prompt for prompt in ordered if len(prompt) > len(short)), (*short, short[-1]))
            other = next((prompt for prompt in ordered[1:] if len(prompt) == len(short)), short)
            for pair in ((short, other), (short, longer), (longer, short)):
                yield pair, min(self.length, BESIDE)

    def verdict(self) -> Verdict:
        self._warm_up()
        self._held = Held(self.generate, self.together)
        told = differs(self.generate, min(self.prompts, key=len), self.length, self._held)
        if told:
            message = f"with the same seeds it gave {told}: something that draws is not intercepted, or it remembers"
            result = CheckResult(generate_checks.SAME, False, message, "", 1.0)
            return self._undecided(f"{message}; {SAMPLE_IT}", 0, {generate_checks.SAME: result})
        todo = list(self.todo())
        results: dict[str, CheckResult] = {}
        worst: Found | None = None
        status, weight, largest, done, name = "lossless", (0, 0), 0.0, 0, ""
        try:
            for done, (prompts, length) in enumerate(todo):
                name = f"prompt {' | '.join(' '.join(map(str, p)) for p in prompts)}, {length} new tokens"
                found = self._found(name, prompts, length, done, len(todo))
                largest = max(largest, found.total_variation)
                now = generate_checks.run(found, self.dtype)
                for key, result in now.items():
                    if key not in results or (results[key].passed and not result.passed):
                        results[key] = result
                judged = generate_checks.status(now, generate_checks.tolerance(found, self.dtype))
                place = SEVERITY.index(judged), generate_checks.weight(now)
                if worst is None or place > weight or status == "lossless":
                    worst, status, weight = found, judged, place
                if status in ("biased", "failed") and self.minimise:
                    break
        except OutOfBudget as error:
            return self._undecided(self._too_long(name, error), done, results)
        except UnsupportedRandomness as error:
            return self._undecided(str(error), done, results)
        except Remembers as error:
            message = f"a call depends on those before it, or on something that is not intercepted: {error}"
            results[generate_checks.SAME] = CheckResult(generate_checks.SAME, False, message, name, 1.0)
            return self._undecided(message, done, results)
        assert worst is not None
        results[generate_checks.SAME] = CheckResult(generate_checks.SAME, True)
        if self.progress is not None:
            self.progress(PARTS * len(todo), PARTS * len(todo))
        return self._made(status, worst, largest, done + 1, results)

    def _found(
        self, name: str, prompts: tuple[Text, ...], length: int, done: int, todo: int, budget: int | None = None
    ) -> Found:
        expected: dict[tuple[Text, ...], float] = {(): 1.0}
        for law in (self._alone(prompt, length) for prompt in prompts):
            expected = {(*rows, text): p * q for rows, p in expected.items() for text, q in law.items()}
        instance = Prompted(name, prompts, length, self.stop, self.target.vocabulary)
        found = Found(instance, expected)
        (first, *others), several = prompts, len(prompts) > 1
        function: Any = self.together if others else self.generate
        given = prompts if others else first
        last = [-1]

        def told(covered: float) -> None:
            part = int(covered * PARTS)
            if self.progress is not None and budget is None and part > last[0]:
                last[0] = part
                self.progress(done * PARTS + part, todo * PARTS)

        try:
            explore(
                lambda: function(given, length),
                found,
                arrays=self.arrays,
                held=self._held,
                functions=(function,),
                budget=self.budget if budget is None else budget,
                several=several,
                told=told,
            )
        finally:
            self.runs += found.runs
            self.calls.update(found.calls)
        if self.declared is not None and not several:
            self._compare_declared(found, self.declared)
        return found

    def _alone(self, prompt: Text, length: int) -> dict[Text, float]:
        if (prompt, length) not in self._laws:
            self._laws[prompt, length] = text_law(self.target, prompt, length, self.stop)
        return self._laws[prompt, length]

    def _compare_declared(self, found: Found, declared: Lossy) -> None:
        """Hold the law against the declared one that is closest to it."""
        assert self.draft is not None
        own, best = found.expected, None
        for how, law in generate_causes.relaxed(found, self.target, self.draft, declared.law):
            expected = {(text,): float(p) for text, p in law.items()}
            found.expected = expected
            compare(found)
            if best is None or found.total_variation < best[0] - 1e-12:
                best = found.total_variation, how, expected
        assert best is not None
        _, self._how, found.expected = best
        rows = {*own, *found.expected}
        distance = sum(abs(own.get(r, 0.0) - found.expected.get(r, 0.0)) for r in rows) / 2
        self._distance = max(self._distance, distance)
        compare(found)

    def _warm_up(self) -> None:
        """One call on real random numbers: code imports what it imports, and fills its caches."""
        prompt = min(self.prompts, key=len)
        with RealState(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for function, given in ((self.generate, prompt), (self.together, (prompt, prompt))):
                try:
                    if function is not None:
                        function(given, self.length)  # type: ignore[arg-type]
                except (Exception, SystemExit):  # the audit will meet it again, and say so
                    continue

    def _too_long(self, name: str, error: OutOfBudget) -> str:
        return (
            f"more than budget={self.budget} runs for {name}: {self.budget} runs covered {error.covered:.3g} of the "
            f"probability, about {self.budget / max(error.covered, 1e-12):.2g} would be needed; lower length or the "
            "number of drafted tokens, take models whose laws have zeros, or raise the budget"
        )

    def _made(self, status: str, worst: Found, largest: float, done: int, results: dict[str, CheckResult]) -> Verdict:
        allowed = generate_checks.tolerance(worst, self.dtype)
        cells: tuple[Cell, ...] = ()
        cause, instance = "", None
        if status != "lossless":
            prompts, length = worst.instance.prompts, worst.instance.length
            laws = contexts(self.target, self.draft, prompts[0], length, self.stop) if len(prompts) == 1 else ()
            instance = replace(worst.instance, laws=laws)
            cause = self._cause(status, worst, allowed)
            least = allowed / len(worst.cells) if status == "biased" and worst.cells else 0.0
            cells = tuple(
                Cell(rows, expected, actual)
                for rows, expected, actual in worst.cells
                if abs(expected - actual) > least and (status == "biased" or not expected)
            )
        variation = largest if status == "lossless" else worst.total_variation
        if self.declared is not None and status == "lossless":
            status, variation = "lossy-as-declared", self._distance
            cause = f"{self.declared.name}, {self._how}"
        return self._verdict(
            status=status,
            total_variation=variation,
            tolerance=allowed,
            evidence="exact",
            checks=_ordered(results),
            instance=instance,
            cells=cells,
            cause=cause,
            instances=done,
            replay=None
            if instance is None
            else lambda: replace(self, only=(instance.prompts, instance.length), runs=0, calls={}).verdict(),
        )

    def _cause(self, status: str, worst: Found, allowed: float) -> str:
        said = []
        if status == "biased" and self.declared is not None:
            said.append(f"the law is not the declared one ({self.declared.name}); total variation is from that law")
        elif status == "biased":
            said.append(generate_causes.departure(worst, self.target, allowed))
            said.append(self._guess(worst))
        said.append(causes.numeric(worst))  # type: ignore[arg-type]
        return "; ".join(filter(None, said))

    def _guess(self, worst: Found) -> str:
        """The known mistake that explains the law, also that of a text which is one token longer."""
        if self.draft is None:
            return ""
        same = generate_causes.matches(worst, self.target, self.draft)
        (prompt, *_), length = worst.instance.prompts, worst.instance.length
        if same and length < self.length:
            try:
                longer = self._found("one token more", (prompt,), length + 1, 0, 1, min(self.budget, SEARCH))
            except (OutOfBudget, Remembers, UnsupportedRandomness):
                pass
            else:
                same = generate_causes.matches(longer, self.target, self.draft, same)
        return f"matches: {same[0]}" if same else ""

    def _undecided(self, why: str, done: int, results: dict[str, CheckResult]) -> Verdict:
        return self._verdict(
            status="undecided",
            total_variation=0.0,
            tolerance=0.0,
            evidence="none",
            checks=_ordered(results),
            instance=None,
            cells=(),
            cause=why,
            instances=done,
        )

    def _verdict(self, **fields: Any) -> Verdict:
        name = getattr(self.generate, "__qualname__", type(self.generate).__name__)
        return Verdict(
            function=name,
            kind="generate",
            arrays=self.arrays,
            dtype=self.dtype,
            drafts="its own",
            calls=tuple(self.calls),
            runs=self.runs,
            **fields,
        )


def _ordered(results: dict[str, CheckResult]) -> tuple[CheckResult, ...]:
    return tuple(results[name] for name in generate_checks.STATEMENTS if name in results)
