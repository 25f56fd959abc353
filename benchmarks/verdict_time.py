"""Time to verdict: the exact audit against a plain chi-square test on whole texts. ``make bench-oracle``.

For every defect of the corpus:

audit    CPU seconds of `audit` as it is called without options, smallest counterexample included, and of its way
         through the standard instances up to the first on which the defect's named check fails.
samples  what Pearson's chi-square on whole texts needs at a false-alarm rate of 1e-9 until it sees the defect with
         99 % power, on that same instance: the test is told where to look, the audit is not. From the exact law of
         the broken function: the non-central chi-square law with non-centrality n sum (found - expected)^2 / expected,
         cells of less than five expected taken together; a text that the target cannot emit is seen at once.
seconds  these samples times the CPU seconds of one, measured on real calls. Where the test needs few samples they are
         drawn, and the test is made.

A correct function is audited on all standard instances; a test by samples never says that it is right. Then the chain
audit that the package promises a time for, and transformers' function. All numbers are from one run on one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kill_table import PAGE, audited, filled, provenance, tokens
from benchmarks.verdict_goals import goals
from proofs_tests.oracle.corpus.entry import Entry
from proofs_tests.oracle.corpus.given import Law, dtype_of, found_law, sampler, whole_verdict
from proofs_tests.oracle.corpus.sampling import Sampler, chi_square
from proofs_tests.oracle.corpus.table import CORRECT, DEFECTS
from proofs_tests.oracle.corpus.toys import PROMPT, TOYS, Toy
from specmath import oracle

NAME = "oracle.json"
KEPT = Path(__file__).parent / "results" / NAME
BEGIN, END = "<!-- verdict time: begin, written by make bench-oracle -->", "<!-- verdict time: end -->"
SECTIONS = ("defects", "right", "goals")
CHOSEN = {  # traces have no law to compare
    "defects": [entry for entry in DEFECTS if entry.kind != "log"],
    "right": [entry for entry in CORRECT if entry.kind != "log"],
}
FALSE_ALARM, POWER = 1e-9, 0.99
DRAWN = 4_000
"""Most samples that are drawn to hold the extrapolation against the test itself."""
DEPENDENT = ("restarts_the_generator", "reseeds_at_every_position", "seed_set_every_round")
"""Defects that seed the generators: their samples are not independent, and the law of one call says nothing of many."""
SMALL = TOYS[2:]
"""Pairs of laws on which a whole generate call is audited: three tokens, four new ones (three for counts)."""


@dataclass(frozen=True)
class Case:
    """Where a defect shows: what is sampled there, the law that it has, and the target's."""

    name: str
    sampler: Sampler
    found: Law
    expected: Law


def audit(entry: Entry, instances: tuple[oracle.Instance, ...] | None = None, minimise: bool = True) -> oracle.Verdict:
    return oracle.audit(
        entry.load(), kind=entry.kind, arrays=entry.arrays, drafts=entry.drafts, dtype=dtype_of(entry),
        instances=instances, minimise=minimise,
    )  # fmt: skip


def case(entry: Entry, seed: int) -> Case:
    """The first instance on which the named check fails."""
    if entry.kind == "generate":
        for toy in reversed(TOYS):
            if any(c.name == entry.check and not c.passed for c in whole_verdict(entry, toy, tokens(entry)).checks):
                return _whole_case(entry, toy, seed)
    for instance in oracle.standard(entry.kind, drafts=entry.drafts, dtype=dtype_of(entry)):  # type: ignore[arg-type]
        verdict = audit(entry, (instance,), minimise=False)
        if any(check.name == entry.check and not check.passed for check in verdict.checks):
            real = sampler(entry, instance, seed)
            return Case(instance.name, real, found_law(entry, instance), real.expected())
    raise LookupError(f"{entry.name}: {entry.check} fails on no standard instance")


def _whole_case(entry: Entry, toy: Toy, seed: int) -> Case:
    real = Sampler(entry, (toy,), seed)
    real.length = tokens(entry)
    law = oracle.law_of(lambda: tuple(real.generate(PROMPT, real.length)), arrays="numpy")
    found: Law = {}
    for text, probability in law.items():
        full = text + (entry.stop,) * (real.length - len(text)) if entry.stop in text else text
        found[full] = found.get(full, 0.0) + float(probability)
    return Case(f"toy {TOYS.index(toy)}", real, found, real.expected())


def samples(found: Law, expected: Law) -> float:
    """Samples until the test sees ``found`` with 99 % power; infinite if it never does.

    >>> samples({0: 0.5, 1: 0.5}, {0: 0.5, 1: 0.5})
    inf
    >>> samples({0: 0.6, 1: 0.4}, {0: 0.5, 1: 0.5}) in range(1500, 2000)
    True
    >>> samples({0: 0.5, 2: 0.5}, {0: 0.5, 1: 0.5})
    7
    """
    from scipy.stats import chi2, ncx2

    impossible = sum(p for text, p in found.items() if not expected.get(text))
    seen_at_once = math.ceil(math.log(1 - POWER) / math.log1p(-impossible)) if impossible else math.inf
    if sum(abs(found.get(text, 0.0) - p) for text, p in expected.items()) < 1e-7:  # float32 laws round so far
        return seen_at_once

    def power(n: int) -> float:
        large = [text for text, p in expected.items() if p * n >= 5]
        means = [expected[text] for text in large]
        seen = [found.get(text, 0.0) for text in large]
        if len(large) < len(expected):
            means, seen = [*means, 1 - sum(means)], [*seen, 1 - impossible - sum(seen)]
        if len(means) < 2:
            return 0.0
        away = n * sum((a - b) ** 2 / b for a, b in zip(seen, means, strict=True))
        freedom = len(means) - 1
        return float(ncx2.sf(chi2.isf(FALSE_ALARM, freedom), freedom, away))

    n = 16
    while n < seen_at_once and power(n) < POWER:
        n = math.ceil(n * 1.05)
        if n > 1e13:
            return seen_at_once
    return min(n, seen_at_once)


def sampled(one: Case, count: int) -> tuple[float, float]:
    """(p-value, CPU seconds) of the test on so many samples."""
    begun = time.process_time()
    try:
        seen = Counter(one.sampler.rounds(count))
    except (ArithmeticError, LookupError, RuntimeError, ValueError):  # a call that raises is seen too
        return 0.0, time.process_time() - begun
    return chi_square(seen, one.expected)[0], time.process_time() - begun


def until_seen(one: Case) -> float:
    """Samples, doubled from 64 on until the test sees the defect: for samples that are not independent."""
    count = 64
    while count <= 65_536:
        if sampled(one, count)[0] < FALSE_ALARM:
            return count
        count *= 2
    return math.inf


def defect(entry: Entry, seed: int = 0) -> dict[str, Any]:
    """One row: audit and test on one defect."""
    first = audited(entry)[1]
    begun = time.process_time()
    if entry.kind == "generate":
        for toy in SMALL:
            whole_verdict(entry, toy, tokens(entry), minimise=True)
    else:
        audit(entry)
    whole = time.process_time() - begun
    one = case(entry, seed)
    needed = until_seen(one) if entry.function in DEPENDENT else samples(one.found, one.expected)
    tried = int(min(needed, 20 if entry.arrays == "jax" else 500))
    each = sampled(one, tried)[1] / tried
    made = needed <= DRAWN and entry.arrays != "jax"
    return {
        "class": entry.defect,
        "instance": one.name,
        "audit": whole,
        "first": first,
        "samples": _finite(needed),
        "second per sample": each,
        "seconds": _finite(needed * each),
        "ratio": _finite(needed * each / whole),
        "seen": bool(sampled(one, int(needed))[0] < FALSE_ALARM) if made else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def right(entry: Entry) -> dict[str, Any]:
    """One row: a function that is right, on everything."""
    begun = time.process_time()
    if entry.kind == "generate":
        found = {whole_verdict(entry, toy, 4, minimise=True).status for toy in SMALL}
        status = "lossless" if found == {"lossless"} else " ".join(sorted(found - {"lossless"}))
    else:
        status = audit(entry).status
    return {"status": status, "audit": time.process_time() - begun}


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The report."""
    yield from (f"{key}: {value}" for key, value in found["made"].items())
    rows = found.get("defects", {})
    yield ""
    yield "CPU seconds. whole: audit without options; first: up to the first instance with the finding; samples: of a"
    yield f"plain chi-square at false alarm {FALSE_ALARM:g} and power {POWER}; ratio: its seconds over those of the"
    yield "whole audit; drawn: that many samples were drawn, and the test saw the defect or not; blank: too many"
    yield ""
    yield f"{'class':5} {'defect':44} {'whole':>8} {'first':>8} {'samples':>9} {'seconds':>9} {'ratio':>9} drawn"
    for name, row in rows.items():
        count, seconds, ratio = (
            "never" if row[key] is None else f"{row[key]:.3g}" for key in ("samples", "seconds", "ratio")
        )
        drawn = {True: "yes", False: "no", None: ""}[row["seen"]]
        yield (
            f"{row['class']:5} {name:44} {row['audit']:8.2f} {row['first']:8.2f} {count:>9} {seconds:>9} {ratio:>9} "
            f"{drawn}"
        ).rstrip()
    yield ""
    if rows:
        yield from summary(found)
    yield ""
    yield "functions that are right, on all standard instances: CPU seconds (a test by samples never ends)"
    for name, row in found.get("right", {}).items():
        yield f"      {name:44} {row['audit']:8.2f} {row['status']}"
    yield ""
    yield from (
        f"{name}: {row['seconds']:.2f} s, {row['status']}; {row['about']}"
        for name, row in found.get("goals", {}).items()
    )


def summary(found: dict[str, Any]) -> Iterator[str]:
    rows = list(found["defects"].values())
    never = sum(row["ratio"] is None for row in rows)
    ratios = [math.inf if row["ratio"] is None else row["ratio"] for row in rows]
    firsts = [math.inf if row["seconds"] is None else row["seconds"] / max(row["first"], 1e-3) for row in rows]
    yield (
        f"{len(rows)} defects: audit median {statistics.median(row['audit'] for row in rows):.2f} s, longest "
        f"{max(row['audit'] for row in rows):.2f} s"
    )
    yield (
        f"the test never sees {never}; is slower than the whole audit for {sum(r > 1 for r in ratios)}, than the audit "
        f"up to the first finding for {sum(r > 1 for r in firsts)}; more than 1000 times slower than the whole for "
        f"{sum(r > 1000 for r in ratios)}"
    )
    yield f"median ratio {statistics.median(ratios):.3g} (whole), {statistics.median(firsts):.3g} (first finding)"
    yield _drawn(found["defects"])


def markdown(found: dict[str, Any]) -> str:
    """The part of the page between its marks: sums by layout, the slowest tests, the goals."""
    rows = found["defects"]
    out = [
        BEGIN,
        "",
        "| layout | defects | audit, median (s) | longest | test, median (s) | slower than the audit | never sees it |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind in ("node", "chain", "tree", "batch", "generate"):
        some = [row for name, row in rows.items() if name.startswith(f"{kind}:")]
        if not some:
            continue
        audits = [row["audit"] for row in some]
        tests = [math.inf if row["seconds"] is None else row["seconds"] for row in some]
        middle = statistics.median_low(tests)
        slower = sum(test > one for test, one in zip(tests, audits, strict=True))
        out.append(
            f"| {kind} | {len(some)} | {statistics.median(audits):.2f} | {max(audits):.2f} | {middle:.3g} | {slower} "
            f"| {sum(math.isinf(test) for test in tests)} |"
        )
    seconds, made = [row["audit"] for row in found["right"].values()], found["made"]
    out += [
        "",
        f"CPU seconds of one thread. {_drawn(rows)}. {len(seconds)} functions that are right: audit median "
        f"{statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s.",
        "",
        *(
            f"- {name}: {row['seconds']:.2f} s, {row['status']} ({row['about']})"
            for name, row in found["goals"].items()
        ),
        "",
        f"Made {made['date']}, commit {made['commit']}; `benchmarks/results/oracle.txt` has every row.",
        "",
        END,
    ]
    return "\n".join(out)


def _drawn(rows: dict[str, Any]) -> str:
    drawn = [row["seen"] for row in rows.values() if row["seen"] is not None]
    return f"Of {len(drawn)} tests whose samples were drawn, {sum(drawn)} saw the defect"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="functions whose name contains this")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="default: all")
    parser.add_argument("--again", action="store_true", help="measure rows that are kept once more")
    parser.add_argument(
        "--write", type=Path, metavar="FOLDER", help="keep oracle.json, row by row, and oracle.txt there"
    )
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {"made": {**provenance(), "command": "python -m benchmarks.verdict_time"}}
    before: dict[str, Any] = {}
    if options.write is not None and (options.write / NAME).exists():
        before = json.loads((options.write / NAME).read_text(encoding="utf-8"))
    _warm()
    for section in SECTIONS:
        found[section] = before.get(section, {})
        if section not in options.sections:
            continue
        if section == "goals":
            found[section] = goals()
            continue
        for entry, measure in ((one, right if section == "right" else defect) for one in CHOSEN[section]):
            if options.only not in entry.name or (entry.name in found[section] and not options.again):
                continue
            found[section][entry.name] = measure(entry)
            print(entry.name, found[section][entry.name], file=sys.stderr, flush=True)
            if options.write is not None:
                options.write.mkdir(parents=True, exist_ok=True)
                _write(options.write / NAME, json.dumps({**before, **found}, indent=1, allow_nan=False) + "\n")
        found[section] = {one.name: found[section][one.name] for one in CHOSEN[section] if one.name in found[section]}
    text = "\n".join(lines(found)) + "\n"
    print(text)
    if options.write is not None:
        _write(options.write / NAME, json.dumps(found, indent=1, allow_nan=False) + "\n")
        _write((options.write / NAME).with_suffix(".txt"), text)
        if (options.write / NAME).resolve() == KEPT and not options.only:
            _write(PAGE, filled(PAGE.read_text(encoding="utf-8"), BEGIN, markdown(found), END))
    return 0


def _write(file: Path, content: str) -> None:
    part = file.with_suffix(".part")
    part.write_text(content, encoding="utf-8")
    part.replace(file)


def _warm() -> None:
    """Imports and first calls, which no audit is charged with."""
    for arrays in ("torch", "numpy", "jax"):
        audited(next(entry for entry in DEFECTS if entry.arrays == arrays))
    samples({0: 0.6, 1: 0.4}, {0: 0.5, 1: 0.5})


if __name__ == "__main__":
    sys.exit(main())
