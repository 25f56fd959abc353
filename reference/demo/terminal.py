"""What a run found, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reference.demo.evidence import FALSE_ALARM, Estimate
from reference.demo.marks import SIGNS, accepted, characters, ruled
from reference.demo.settings import COMPARED
from reference.demo.story import TESTED, Story
from reference.demo.table import notes
from reference.demo.words import between, chance


def lines(story: Story) -> Iterator[str]:
    """The whole summary, section by section."""
    yield from _equality(story)
    yield from _decoders(story)
    yield from _sample(story)
    yield from _claims(story)
    yield from _attained(story)
    yield from _rules(story)
    yield from _exact(story)
    yield from _audits(story)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Columns of equal width, the first ``left`` of them flush left.

    >>> aligned(["name", "n"], [["a", "12"]])
    ['  name   n', '  a     12']
    """
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  " + "  ".join(cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in enumerate(pairs))
        for row in [head, *rows]
        for pairs in [list(zip(row, widths, strict=True))]
    ]


def _equality(story: Story) -> Iterator[str]:
    chosen, equality = story.settings, story.equality
    yield ""
    yield (
        f"Equality: {chosen.prompts} prompts, up to {chosen.equality_tokens} tokens each, coupled randomness; every "
        "decoder beside autoregressive, bit for bit"
    )
    rows = [
        [
            one.arithmetic,
            one.decoder,
            f"{one.equal_texts} / {one.texts}",
            f"{one.equal_logprobs} / {one.texts}",
            f"{one.equal_logit_rows} / {one.logit_rows}",
            "no promise" if one.passed is None else _word(one.defect, one.passed),
        ]
        for one in equality.compared
    ]
    table = aligned(["arithmetic", "decoder", "texts", "log-probabilities", "logit rows", ""], rows, left=2)
    for line, one in zip(table, [None, *equality.compared], strict=True):
        yield line if one is None or not one.defect else f"{line}  planted: {one.defect}"
    for name, (same, texts) in equality.shares().items():
        yield f"  {name}: {same} of {texts} texts identical with all decoders ({same / texts:.1%})"
    texts = [story.texts[one.decoder][0] for one in story.decoders if one.randomness == "coupled"]
    wide = max(len(text.decoder) for text in texts)
    yield ""
    yield f"One text ({texts[0].prompt.id}) by every decoder; {SIGNS['accepted']} was drafted and kept"
    yield f"    {'':{wide}}  {characters(texts[0].decoded.tokens)}"
    for text in texts:
        signs = "".join(SIGNS["accepted"] if kept else SIGNS["target"] for kept in accepted(text))
        same = "" if text.decoded.tokens == texts[0].decoded.tokens else "  ANOTHER TEXT"
        yield f"    {text.decoder:{wide}}  {signs}  {len(text.decoded.rounds)} rounds{same}"


def _word(defect: str, passed: bool) -> str:
    if defect:
        return "seen" if passed else "MISSED"
    return "identical" if passed else "DIFFERS"


def _decoders(story: Story) -> Iterator[str]:
    chosen = story.settings
    yield ""
    yield (
        f"Decoders: {chosen.prompts} prompts, temperature 1, drafts {chosen.draft_length} deep; with a rule up to "
        f"{chosen.max_tokens} tokens each for chains, {chosen.path_tokens} for trees; 95 % intervals over texts"
    )
    rows = [
        [
            one.decoder,
            str(one.rows),
            str(one.emitted_tokens),
            str(one.target_calls),
            str(one.passes),
            between(one.acceptance_rate) if one.acceptance_rate else "-",
            between(one.block_efficiency),
            f"{one.tokens_per_second:.0f}",
            f"{one.speed_ratio:.2f}",
        ]
        for one in story.decoders
    ]
    yield from aligned(
        [
            "decoder",
            "at once",
            "tokens",
            "rounds",
            "passes",
            "acceptance rate",
            "block efficiency",
            "tokens/s",
            "ratio",
        ],
        rows,
    )
    yield "  at once: texts in work; acceptance rate: kept drafts over all drafts; speed is that of this run"


def _sample(story: Story) -> Iterator[str]:
    text = story.texts[TESTED][0]
    yield ""
    yield (
        f"Sample ({text.prompt.id}, {text.decoder}): {SIGNS['accepted']} accepted draft, {SIGNS['corrected']} "
        f"correction, {SIGNS['bonus']} bonus, no sign: prompt"
    )
    yield from ruled(text)


def _claims(story: Story) -> Iterator[str]:
    yield ""
    yield f"Measured against computed (a true claim fails with probability below {FALSE_ALARM:g})"
    rows = []
    if story.acceptance is not None:
        rows.append(("acceptance of tested drafts", TESTED, story.acceptance))
    rows += [("acceptance of candidates", one.decoder, one.judgement) for one in story.attained]
    rows += [("surprise of tokens, nats", name, one) for name, one in story.surprise.items()]
    table = [
        [
            name,
            decoder,
            str(one.count),
            f"{one.observed:.4f}",
            f"{one.expected:.4f} ± {1.96 * one.error:.4f}",
            f"{one.z:+.2f}",
            chance(one.p_bound),
            "holds" if one.passed else "FAILS",
        ]
        for name, decoder, one in rows
    ]
    yield from aligned(["claim", "decoder", "count", "observed", "expected", "z", "p at most", ""], table, left=2)
    yield ""
    yield f"Acceptance by place in the chain ({TESTED}); computed: mean of sum min(p, q) over the tested contexts"
    places = [
        [str(one.place + 1), str(one.tests), between(one.measured, 3), f"{one.computed:.3f}"] for one in story.places
    ]
    yield from aligned(["place", "tests", "measured", "computed"], places)


def _attained(story: Story) -> Iterator[str]:
    yield ""
    yield (
        "The optimum, attained: rounds that emitted a drafted token; optimum and other rules computed on the same "
        "contexts"
    )
    rows = [
        [
            one.decoder,
            str(place.place + 1),
            f"{place.accepted} / {place.rounds}",
            between(place.measured, 3),
            f"{place.optimum:.4f}",
            *(f"{value:.4f}" for value in place.others.values()),
            "holds" if one.judgement.passed else "FAILS",
        ]
        for one in story.attained
        for place in one.places
    ]
    yield from aligned(["decoder", "place", "accepted / rounds", "measured", "optimum", *COMPARED, ""], rows)


def _rules(story: Story) -> Iterator[str]:
    yield ""
    yield (
        f"Every rule against the optimum: acceptance over {story.rows[0].contexts} contexts of the decoded texts, gap "
        "in percentage points"
    )
    rows = [
        [
            row.drafts,
            str(row.n),
            row.rule,
            between(Estimate(row.acceptance, row.low, row.high), 4),
            "" if row.rule == "optimum" else between(Estimate(row.gap, row.gap_low, row.gap_high), 2, 100.0),
        ]
        for row in story.rows
    ]
    yield from aligned(["drafts", "n", "rule", "acceptance", "gap"], rows, left=3)
    yield from (f"  {note} (specmath acceptance --rules)" for note in notes())


def _exact(story: Story) -> Iterator[str]:
    yield ""
    yield "Exact law of every rule over fractions (largest total variation from the target's text)"
    rows = [
        [
            one.rule,
            one.drafts,
            str(one.instances),
            str(one.paths),
            str(one.total_variation),
            ("seen" if one.passed else "MISSED") if one.defect else ("lossless" if one.passed else "NOT LOSSLESS"),
        ]
        for one in story.exact
    ]
    table = aligned(["rule", "drafts", "instances", "paths", "TV", ""], rows, left=2)
    for line, one in zip(table, [None, *story.exact], strict=True):
        yield line if one is None or not one.defect else f"{line}  planted: {one.defect}"


def _audits(story: Story) -> Iterator[str]:
    yield ""
    yield "The oracle: somebody else's verifiers, run as they are, judged by their exact law"
    rows = []
    for one in story.audits.audited:
        found = one.verdict
        if found is None:
            rows.append([one.name, "left out", "", "", "", one.missing])
            continue
        word = "no promise" if one.passed is None else ("as due" if one.passed else "NOT AS DUE")
        word = ("seen" if one.passed else "MISSED") if one.planted else word
        numbers = [f"{found.total_variation:.3g}", str(found.runs), f"{one.seconds:.1f}"]
        rows.append([one.name, found.status, *numbers, f"{word}; {one.about}" + f"; {found.cause}" * bool(found.cause)])
    head = ["verifier", "verdict", "total variation", "runs", "seconds"]
    table = aligned(head, [row[:5] for row in rows], left=2)
    yield table[0]
    yield from (f"{line}  {row[5]}" for line, row in zip(table[1:], rows, strict=True))
    for one in story.audits.audited:
        if one.planted and one.verdict is not None:
            yield f"  {one.name}, smallest instance on which it shows:"
            yield from (f"    {line}".rstrip() for line in str(one.verdict).partition("\n\n")[2].splitlines())
    for log in story.audits.logs:
        word = ("seen" if log.due else "as due") if log.passed else ("MISSED" if log.due else "FALSE ALARM")
        counts = f"{log.accepted} of {log.rounds} first drafts accepted, optimum {log.bound:.3f}"
        yield f"  log {log.name}: {counts}: {word}; {log.finding or 'no finding'}"
