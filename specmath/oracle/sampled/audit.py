"""The audit of what cannot be followed: the function is really run, many times, and its law is tested."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate
from typing import Any

from specmath import exact
from specmath.arrays import check_count
from specmath.oracle import causes
from specmath.oracle.audit import Lossy, prepared, relaxed_model
from specmath.oracle.instance import Instance, Table
from specmath.oracle.kinds import Call, Raised, Tokens
from specmath.oracle.sampled.evidence import Evidence
from specmath.oracle.sampled.rounds import Drawn, Sampled, Text, Told, Trial, sample
from specmath.oracle.verdict import Cell, CheckResult, Verdict
from specmath.rules.laws import drafted

SAMPLES = 20_000
"""Default for the most samples of one instance."""
TOLERANCE = 0.1
"""Default for the total variation at which an instance needs no more samples."""
FEW = (
    "two tokens", "two tokens, one impossible", "three tokens", "target zeros", "draft zeros",
    "residual of two tokens", "mostly rejected", "crossed", "mixed",
)  # fmt: skip
"""The standard instances that are sampled: any of the known defects shows on several of them."""
LARGE = 300
"""Texts of an instance; those with more need too many samples."""
WRONG = {
    "support": "which is outside of the vocabulary",
    "nothing_after_stop": "which goes on after the stop token",
    "zero_probability": "which the target cannot",
}
"""Checks that one sample is enough to fail, and what is said then."""


def audit_sampled(
    function: Callable[..., Any],
    *,
    kind: str = "chain",
    arrays: str | None = None,
    dtype: str | None = None,
    drafts: str = "iid",
    n: int | None = None,
    declared: Lossy | None = None,
    instances: Sequence[Instance] | None = None,
    samples: int = SAMPLES,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Whether samples show a bias, for code whose randomness cannot be followed (kernels' counters, engines, the time).

    Drafts are drawn from the declared draft law, the function is really run, the target completes its tokens.
    The joint law of the text is tested on several instances side by side, as by `sequential_test`. Every run has other
    seeds: those of Python, numpy and torch, a generator or key or uniforms, and ``seed`` for a function that takes
    one. Rules that need no statistics are checked on every run.

    A function whose law is right on all instances is called "biased" with probability at most 1e-9. Samples cannot show
    that a law is exact: where none is refuted the status is "undecided", evidence "sequential", and on every instance
    the total variation is at most ``verdict.tolerance``, but for probability 1e-9.

    Parameters
    ----------
    function, kind, arrays, dtype, drafts, n, declared : as for `audit`; ``n`` defaults to 2 for chains, 1 for batches.
    instances : instead of some of the `standard` ones.
    samples : the most for one instance.
    tolerance : total variation that is to be excluded on every instance; sampling stops there.
    seed : of the drafts and of all seeds.
    progress : called with the number of instances done and to do.

    Raises
    ------
    ValueError
        For names that are unknown, and numbers out of range.

    Source: ramdas2023game, Sections 2 and 4.

    >>> import random
    >>> stream = random.SystemRandom()
    >>> def verify(target, draft, tokens):
    ...     if stream.random() * draft[tokens[0]] < target[tokens[0]]:
    ...         return tokens[0]
    ...     return stream.choices(range(len(target)), target)[0]
    >>> verdict = audit_sampled(verify, kind="node", n=1)
    >>> verdict.status, verdict.evidence
    ('biased', 'sequential')
    """
    if n is None:
        n = {"chain": 2, "batch": 1}.get(kind)
    check_sizes(samples, tolerance)
    call, todo = prepared(function, kind, arrays, dtype, drafts, n, declared, instances, seed=True)
    if instances is None:
        todo = tuple(one for one in todo if one.name in FEW and _texts(one) <= LARGE)
    generator = _generator(call)
    tables = [_floats(row.target) if declared is None else _floats(relaxed_model(row, declared)) for row in todo]
    trials = [_trial(call, one, table, generator) for one, table in zip(todo, tables, strict=True)]
    found, told = sample(trials, samples=samples, tolerance=tolerance, seed=seed, progress=progress)
    checks = [*judged(found, kind), *([_same_seed(call, todo[0], generator, seed)] if call.extra else [])]
    shown = worst(found)
    instance = None if shown is None else todo[found.index(shown)]
    cause = ""
    if shown is not None and shown.rejected and declared is None and instance is not None:
        cause = _closest(found, shown, todo)
    return concluded(
        found,
        told,
        checks,
        cause=cause,
        function=getattr(function, "__qualname__", type(function).__name__),
        kind=kind,
        arrays=call.arrays,
        dtype=call.dtype,
        drafts=drafts,
        instance=instance,
        replay=None
        if instance is None
        else lambda: audit_sampled(
            function, kind=kind, arrays=arrays, dtype=dtype, drafts=drafts, declared=declared,
            instances=(instance,), samples=samples, tolerance=tolerance, seed=seed,
        ),
    )  # fmt: skip


def check_sizes(samples: int, tolerance: float) -> None:
    """ValueError for numbers that are out of range."""
    check_count("samples", samples)
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance is {tolerance}; allowed are numbers above 0 and below 1")


def worst(found: Sequence[Sampled]) -> Sampled | None:
    """The trial that decides the status, None if none is wrong."""
    wrong = [one for one in found if one.raised is not None or one.rejected or one.trial.touched]
    return min(wrong, key=lambda one: (one.raised is None, not one.rejected), default=None)


def judged(found: Sequence[Sampled], kind: str) -> list[CheckResult]:
    """The named checks that samples can answer for a kind of function."""
    results = []
    for name in (
        ("returns", "shape", "count_range", "padding") if kind != "generate" else ("returns", "shape", "count_range")
    ):
        bad = next((one for one in found if one.raised is not None and one.raised.check == name), None)
        message = "" if bad is None or bad.raised is None else bad.raised.message
        results.append(_result(name, bad, message, 0.0 if bad is None else 1 / (bad.samples + 1)))
    for name, what in WRONG.items():
        if name == "nothing_after_stop" and kind != "generate":
            continue
        bad = next((one for one in found if name in one.wrong), None)
        message = "" if bad is None else f"emitted {bad.wrong[name]}, {what}, in {bad.samples + 1} samples"
        results.append(_result(name, bad, message, 0.0 if bad is None else 1 / (bad.samples + 1)))
    bad = next((one for one in found if one.rejected and set(one.wrong) <= {"zero_probability"}), None)
    value = 0.0 if bad is None else bad.seen.total_variation
    results.append(_result("sampled_law", bad, "" if bad is None else _law(bad), value))
    if kind != "generate":
        bad = next((one for one in found if one.trial.touched), None)
        message = "" if bad is None else f"changed its inputs: {', '.join(bad.trial.touched)}"
        results.append(_result("inputs_not_mutated", bad, message, float(bad is not None)))
    return results


def concluded(
    found: Sequence[Sampled], told: Told, checks: Sequence[CheckResult], *, cause: str, **fields: Any
) -> Verdict:
    """The verdict on sampled trials; ``fields`` say what was audited."""
    shown = worst(found)
    failed = {result.name for result in checks if not result.passed}
    high = max(one.seen.interval(told.missed / len(found))[1] for one in found)
    status = "undecided"
    if shown is not None and shown.raised is not None:
        status = "failed"
    elif shown is not None and shown.rejected:
        status = "biased"
    elif failed:
        status = "unsafe"
    if status == "undecided":
        cause = f"no bias of {high:.3g} or more was found; samples cannot show that a law is exact"
    return Verdict(
        status=status,  # type: ignore[arg-type]
        total_variation=shown.seen.total_variation if shown is not None and shown.rejected else 0.0,
        tolerance=high,
        evidence="sequential",
        checks=tuple(checks),
        cells=() if shown is None or status != "biased" else tuple(_cells(shown)),
        cause=cause,
        calls=(),
        runs=sum(one.samples for one in found),
        instances=len(found),
        sampled=told,
        **fields,
    )


def _result(name: str, bad: Sampled | None, message: str, value: float) -> CheckResult:
    return CheckResult(name, bad is None, message, "" if bad is None else bad.trial.name, value)


def _law(bad: Sampled) -> str:
    power = bad.seen.log_e_value / math.log(10)
    size = "a text of probability 0" if math.isinf(power) else f"e-value 10^{power:.1f}"
    return f"{size} after {bad.samples} samples"


def _cells(shown: Sampled) -> Iterator[Cell]:
    """Texts by how far their share is from the probability, in standard errors."""
    total = max(shown.samples, 1)
    rows = []
    for text in {**shown.trial.reference, **shown.counts}:
        expected, actual = shown.trial.reference.get(text, 0.0), shown.counts[text] / total
        error = math.sqrt(max(expected * (1 - expected), 1e-12) / total)
        rows.append((-abs(actual - expected) / error, text, expected, actual))
    yield from (Cell(text, expected, actual) for _, text, expected, actual in sorted(rows))


def _trial(call: Call, instance: Instance, table: Any, generator: Any) -> Trial:
    """Runs of the function on an instance, drafts drawn inside."""
    tables = [table] if instance.mate is None else [_floats(row.target) for row in instance.rows]
    laws = []
    for row in instance.rows:
        law = exact.law(lambda chance, row=row: drafted(chance, row.draft, row.parents, row.drafts)[0])
        laws.append((list(law), list(accumulate(float(probability) for probability in law.values()))))
    touched: dict[str, None] = {}
    made: dict[Text, Any] = {}

    def draw(seed: int, uniform: Callable[[], float]) -> Drawn:
        tokens = tuple(outcomes[_place(edges, uniform())] for outcomes, edges in laws)
        if tokens not in made:
            made[tokens] = call.inputs(instance, tokens)
        found = call.sampled(instance, made[tokens], generator, touched, seed=seed)
        if isinstance(found, Raised):
            return Drawn(found)
        rows = found if instance.kind == "batch" else (found,)
        if not all(0 <= token < instance.vocabulary for row in rows for token in row):
            return Drawn(None, rows, wrong="support")
        impossible = any(
            not table(row[:i])[token] for row, table in zip(rows, tables, strict=True) for i, token in enumerate(row)
        )
        ended = tuple(complete(row, table, instance.length, uniform) for row, table in zip(rows, tables, strict=True))
        return Drawn(ended, rows, impossible=impossible)

    rows = [list(texts(table, instance.length)) for table in tables]
    reference = {
        tuple(text for text, _ in one): math.prod(probability for _, probability in one)
        for one in itertools.product(*rows)
    }
    return Trial(instance.name, reference, draw, touched)


def texts(table: Callable[[Tokens], Sequence[float]], length: int) -> Iterator[tuple[Tokens, float]]:
    """(text, probability) of every text of this length that a model can write."""
    todo: list[tuple[Tokens, float]] = [((), 1.0)]
    while todo:
        text, probability = todo.pop()
        if len(text) == length:
            yield text, probability
        else:
            todo += [((*text, token), probability * share) for token, share in enumerate(table(text)) if share]


def complete(
    text: Tokens, table: Callable[[Tokens], Sequence[float]], length: int, uniform: Callable[[], float]
) -> Tokens:
    """A text continued by the model to ``length`` tokens."""
    while len(text) < length:
        text = (*text, _place(list(accumulate(table(text))), uniform()))
    return text


def _place(edges: Sequence[float], uniform: float) -> int:
    """The interval of rising ``edges`` in which a uniform lies; the last edge may be just below one."""
    return min(bisect_right(edges, uniform * edges[-1]), bisect_left(edges, edges[-1]))


def _floats(model: Table) -> Callable[[Tokens], Sequence[float]]:
    rows: dict[Tokens, tuple[float, ...]] = {}

    def row(context: Tokens) -> tuple[float, ...]:
        if context not in rows:
            rows[context] = tuple(map(float, model[context]))
        return rows[context]

    return row


def _texts(instance: Instance) -> int:
    return instance.vocabulary ** (instance.length * len(instance.rows))


def _generator(call: Call) -> Any:
    if call.arrays != "torch":
        return None
    import torch

    return torch.Generator()


def _same_seed(call: Call, instance: Instance, generator: Any, seed: int) -> CheckResult:
    """A function that is given its seeds has to give the same tokens for the same ones."""
    from specmath.oracle.joint import first_drafts

    kept = call.inputs(instance, first_drafts(instance))
    for number in range(seed, seed + 20):
        one, other = (call.real(kept, instance, generator, seed=number) for _ in range(2))
        if one != other:
            return CheckResult("same_seed", False, f"gave {one} and then {other}", instance.name, 1.0)
    return CheckResult("same_seed", True)


def _closest(found: Sequence[Sampled], shown: Sampled, todo: Sequence[Instance]) -> str:
    """The known defect that explains the texts of all instances, if one does far better than all others."""
    scores: dict[str, float] | None = None
    order = sorted(zip(found, todo, strict=True), key=lambda pair: pair[0] is not shown)
    for one, instance in order:
        fits = dict(_fits(one, instance, scores))
        scores = {name: fits[name] + (scores or {}).get(name, 0.0) for name in fits}
        if len(scores) < 2:
            break
    ranked = sorted(scores or {}, key=lambda name: -(scores or {})[name])
    if not scores or (len(ranked) > 1 and scores[ranked[0]] - scores[ranked[1]] < math.log(100)):
        return ""
    return f"closest: {ranked[0]}"


def _fits(one: Sampled, instance: Instance, names: Collection[str] | None) -> Iterator[tuple[str, float]]:
    """(defect, log likelihood) of those whose law the texts do not refute."""
    table = _floats(instance.target)
    for name, law in causes.alternatives(instance, names):
        whole: dict[Text, float] = {}
        for emitted, probability in law.items():
            rests = texts(lambda after, emitted=emitted: table((*emitted, *after)), instance.length - len(emitted))
            for rest, share in rests:
                text = ((*emitted, *rest),)
                whole[text] = whole.get(text, 0.0) + float(probability) * share
        if all(text in whole for text in one.counts):
            seen = Evidence(whole)
            seen.update(one.counts.elements())
            if seen.log_e_value < math.log(1000):
                yield name, sum(count * math.log(whole[text]) for text, count in one.counts.items())
