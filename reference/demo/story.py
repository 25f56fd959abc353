"""The whole demo as data: every stage in order, its seconds, and the object that `--json` prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from reference.demo import audits, claims, exact_laws, table
from reference.demo.attained import Attained, attained
from reference.demo.audits import Audits
from reference.demo.claims import Place
from reference.demo.contexts import Contexts, Laws
from reference.demo.decoders import AUTOREGRESSIVE, Decoder, coupled, paths_decoders, rejecting
from reference.demo.decoding import Summary, Text, run, summaries
from reference.demo.equality import Equality, check
from reference.demo.evidence import Judgement
from reference.demo.exact_laws import Checked
from reference.demo.provenance import provenance
from reference.demo.settings import Settings
from reference.pair import Pair
from reference.pair.prompts import spread
from specmath.cli.progress import progress
from specmath.comparison import Row
from specmath.rules.laws import Program

SCHEMA_VERSION = 4
"""Of ``specmath/schemas/demo.schema.json``."""

TESTED = "chain/token_wise"
"""The decoder whose acceptance tests have known probabilities one by one."""


@dataclass(frozen=True)
class Story:
    """Everything a run found; the report and the JSON object show the same numbers."""

    settings: Settings
    texts: dict[str, list[Text]]
    decoders: list[Summary]
    equality: Equality
    acceptance: Judgement | None
    surprise: dict[str, Judgement]
    places: list[Place]
    attained: list[Attained]
    rows: tuple[Row, ...]
    exact: list[Checked]
    audits: Audits
    provenance: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failures(self) -> list[str]:
        """What did not hold, one line each; empty when every claim was borne out and every defect seen."""
        found = self.equality.failures
        if self.acceptance is not None and not self.acceptance.passed:
            found.append(f"{TESTED}: accepted share {self.acceptance.observed:.4f}, {self.acceptance.expected:.4f} due")
        for name, one in self.surprise.items():
            if not one.passed:
                found.append(f"{name}: surprise {one.observed:.4f} nats per token, {one.expected:.4f} due")
        for one in self.attained:
            if not one.judgement.passed:
                share, best = one.judgement.observed, one.judgement.expected
                found.append(f"{one.decoder}: accepted share {share:.4f}, the optimum is {best:.4f}")
        for checked in self.exact:
            if not checked.passed and checked.defect:
                found.append(f"defect not seen: {checked.rule} {checked.defect}")
            elif not checked.passed:
                found.append(f"{checked.rule} on {checked.drafts} drafts: TV = {checked.total_variation}")
        return found + self.audits.failures

    def as_json(self, report: str) -> dict[str, Any]:
        """The object of ``demo.schema.json``; ``report`` is the path of the HTML file."""
        folder = self.settings.pair
        return {
            "schema_version": SCHEMA_VERSION,
            "passed": not self.failures,
            "failures": self.failures,
            "report": report,
            "settings": asdict(self.settings) | {"pair": None if folder is None else str(folder)},
            "prompts": [text.prompt.id for text in self.texts[AUTOREGRESSIVE]],
            "decoders": [asdict(one) for one in self.decoders],
            "equality": self.equality.as_json(),
            "claims": [
                *([{"claim": "acceptance", "decoder": TESTED, **_judged(self.acceptance)}] if self.acceptance else []),
                *({"claim": "attained", "decoder": one.decoder, **_judged(one.judgement)} for one in self.attained),
                *({"claim": "surprise", "decoder": name, **_judged(one)} for name, one in self.surprise.items()),
            ],
            "places": [asdict(one) for one in self.places],
            "attained": [
                {name: value for name, value in asdict(one).items() if name != "judgement"} for one in self.attained
            ],
            "rows": [asdict(row) for row in self.rows],
            "exact": [
                {
                    **asdict(one),
                    "total_variation": str(one.total_variation),
                    "defect": one.defect or None,
                    "passed": one.passed,
                }
                for one in self.exact
            ],
            "oracle": self.audits.as_json(),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "provenance": self.provenance,
        }


def _judged(one: Judgement) -> dict[str, Any]:
    record = asdict(one)
    for name in ("observed", "z"):  # infinite if a token of probability zero was emitted
        record[name] = record[name] if abs(record[name]) != float("inf") else None
    return record


def tell(
    pair: Pair,
    settings: Settings,
    *,
    changed: dict[str, Program] | None = None,
    decoders: Mapping[str, Decoder] | None = None,
    subjects: tuple[audits.Subject, ...] = audits.SUBJECTS,
    note: Callable[[str, float], None] | None = None,
) -> Story:
    """Decode, compare, judge, tabulate, enumerate and audit.

    ``changed`` (rule programs), ``decoders`` (by name) and ``subjects`` (verifiers) take planted defects;
    ``note(stage, seconds)`` is called after every stage.
    """
    chosen = spread(settings.prompts)
    own = [(decoders or {}).get(one.name, one) for one in (*coupled(pair, settings), *rejecting(pair, settings))]
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        seconds[stage] = time.perf_counter() - begun
        if note is not None:
            note(stage, seconds[stage])

    with timed("decode"):
        made = run(pair.target, own, chosen, settings, watch=partial(progress, label="decode"))
        by_name = {one.decoder.name: one.texts for one in made}
    with timed("equality"):
        unruled = [one for one in made if one.decoder.rule is None]
        equality = check(unruled, pair, chosen, settings, watch=progress)
    with timed("laws"):
        # Texts are the same with all coupled decoders: one of them says it all.
        told = {name: texts for name, texts in by_name.items() if name not in {o.decoder.name for o in unruled[1:]}}
        known: dict[str, list[Laws]] = {name: [] for name in told}
        contexts = Contexts(pair.target, pair.draft)
        for number in progress(range(len(chosen)), label="laws of the contexts"):
            for name, texts in told.items():
                text = texts[number]
                known[name].append(contexts.laws(text.start, text.decoded.tokens, text.options))
    with timed("claims"):
        trials = list(claims.trials(told[TESTED], known[TESTED]))
        surprise = {name: claims.surprise(texts, known[name]) for name, texts in told.items()}
        reached = [attained(one, told[one.name], known[one.name]) for one in paths_decoders(settings.draft_length)]
    with timed("table"):
        rows = table.rows(
            known[AUTOREGRESSIVE],
            settings,
            watch=lambda steps, total: progress(steps, total=total, label="acceptance table"),
        )
    with timed("exact laws"):
        checked = exact_laws.check_all(watch=partial(progress, label="exact laws"), changed=changed)
    with timed("oracle"):
        audited = audits.check(watch=partial(progress, label="oracle"), subjects=subjects)
    return Story(
        settings,
        by_name,
        summaries(made),
        equality,
        claims.acceptance(trials) if trials else None,
        surprise,
        claims.by_place(trials) if trials else [],
        [one for one in reached if one is not None],
        rows,
        checked,
        audited,
        provenance(pair, settings.pair),
        seconds,
    )
