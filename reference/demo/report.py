"""The report of a run: text, figures and tables of one `Story` as a single HTML file."""

from __future__ import annotations

from html import escape

from reference.demo.audits_section import audits_section
from reference.demo.claims import Place
from reference.demo.decoders import AUTOREGRESSIVE
from reference.demo.equality_section import equality_section
from reference.demo.evidence import FALSE_ALARM, Estimate, Judgement
from reference.demo.figures import draw
from reference.demo.marks import spans
from reference.demo.page import figure, page, section, table, verdict
from reference.demo.settings import COMPARED, ROWS
from reference.demo.story import TESTED, Story
from reference.demo.table import notes
from reference.demo.words import between, chance
from specmath import rules
from specmath.comparison import OPTIMUM, Row

SAMPLES = 3
"""Texts that are shown in full."""


def html(story: Story) -> str:
    """The whole report."""
    figures = draw(story)
    parts = [
        _head(story),
        equality_section(story.equality, story.texts, story.settings),
        _decoders(story, figures["decoders"]),
        _samples(story),
        _chain(story, figures["chain"]) if story.places else "",
        _claims(story),
        _attained(story, figures["attained"]) if story.attained else "",
        _rules(story, figures["counts"], figures["gaps"]),
        _exact(story),
        audits_section(story.audits),
        _provenance(story),
    ]
    return page("specmath demo: speculative decoding, computed", "\n".join(parts))


def _head(story: Story) -> str:
    best = max(story.decoders, key=lambda one: one.block_efficiency.value)
    alone = [one for one in story.decoders if one.rows == 1]
    fastest = max(alone, key=lambda one: one.speed_ratio)
    batched = next(one for one in story.decoders if one.rows > 1)
    checked = [one for one in story.exact if not one.defect]
    if story.failures:
        lines = "".join(f"<li>{escape(line)}</li>" for line in story.failures)
        status = f'<p class="verdict bad">{len(story.failures)} check(s) failed</p><ul>{lines}</ul>'
    else:
        status = '<p class="verdict good">Every check of this run passed.</p>'
    own = story.equality.compared[0].arithmetic
    same, texts = story.equality.shares()[own]
    planted = [one.passed for one in (*story.exact, *story.equality.compared) if one.defect]
    planted += [one.passed for one in story.audits.audited if one.planted]
    facts = [
        (f"{same} of {texts}",
         f"texts identical with {AUTOREGRESSIVE}, {', '.join(one.decoder for one in alone[1:])} and batched decoding"),
        (f"{best.block_efficiency.value:.2f}", f"tokens per target call, {best.decoder}"),
        (f"× {batched.speed_ratio:.2f}",
         f"speed of {batched.rows} texts at once relative to one autoregressive text, same run; {fastest.decoder} "
         f"alone × {fastest.speed_ratio:.2f}"),
        (f"{len(checked)} of {len(checked)}" if all(one.passed for one in checked) else "not all",
         "pairs of rule and draft law with exactly the target’s law (total variation 0)"),
        (f"{sum(map(bool, planted))} of {len(planted)}", "planted defects seen by the same checks"),
    ]  # fmt: skip
    for one in story.attained[:1]:
        first = one.places[0]
        facts.insert(
            3,
            (
                f"{first.measured.value:.3f}",
                f"of the rounds of {one.decoder} emitted a candidate; the optimum there is {first.optimum:.3f}",
            ),
        )
    boxes = "".join(f'<div class="fact"><b>{value}</b><span>{escape(what)}</span></div>' for value, what in facts)
    return (
        "<h1>Speculative decoding, computed</h1>\n"
        '<p class="lead">A small target and a smaller draft continue prompts. A chain or a tree, '
        f"{story.settings.draft_length} tokens deep, is drafted a round, and the target judges it in one call, alone "
        "or for many texts at once. Texts of all decoders are compared bit for bit, what is measured is compared with "
        "what theory says, and every verification rule is enumerated exactly.</p>\n"
        f'{status}\n<div class="facts">{boxes}</div>'
    )


def _decoders(story: Story, svg: str) -> str:
    rows = [
        [
            f"<code>{one.decoder}</code>",
            one.randomness,
            str(one.rows),
            str(one.emitted_tokens),
            str(one.target_calls),
            str(one.passes),
            between(one.acceptance_rate) if one.acceptance_rate else "",
            between(one.block_efficiency),
            f"{one.tokens_per_second:.0f}",
            f"{one.speed_ratio:.2f}",
        ]
        for one in story.decoders
    ]
    head = ["decoder", "randomness", "texts at once", "tokens", "rounds", "target passes", "acceptance rate",
            "block efficiency", "tokens/s", "speed ratio"]  # fmt: skip
    chosen = story.settings
    return section(
        "decoders",
        "Decoders on the same prompts",
        figure(
            svg,
            "Left: tokens emitted per round, which is one call of the target for a text; the dashed mark is the most a "
            "decoder can reach, the depth of what it drafts and one more. Right: tokens per second of decoding; "
            f"×{ROWS} is a batch that has {ROWS} texts in work. {chosen.prompts} prompts, temperature 1, up to "
            f"{chosen.equality_tokens} tokens each with coupled randomness (the section above), and with a rule "
            f"{chosen.max_tokens} for chains and {chosen.path_tokens} for trees and paths. Lines across are 95 % "
            "intervals over texts (Student t of the ratio, texts taken as independent). Decoders with one text at once "
            "take turns on every prompt, so that the machine’s load falls on all of them. Speed belongs to this "
            "machine; block efficiency does not.",
        ),
        table(head, rows, range(2, 10)),
        '<p class="note">Tokens are bytes. With coupled randomness the drafts guess the one text that the random '
        "numbers determine; with a rule (rejection) the text follows the target’s law, but changes with the drafts. "
        "The acceptance rate divides the drafted tokens that ended in the text by all drafted ones, those behind a "
        "rejection and on other branches included. Brackets hold 95 % intervals over texts.</p>",
    )


def _samples(story: Story) -> str:
    ruled = [one.decoder for one in story.decoders if one.randomness == "rejection"]
    chosen = [story.texts[name][number % story.settings.prompts] for number, name in enumerate(ruled[:SAMPLES])]
    shown = []
    for text in chosen:
        body = "".join(f'<mark class="{mark}">{escape(part)}</mark>' for part, mark in spans(text))
        shown.append(
            f"<h3>{escape(text.prompt.id)}, <code>{text.decoder}</code></h3>\n"
            f'<pre><span class="prompt">{escape(text.prompt.prompt)}</span>{body}</pre>'
        )
    key = (
        '<p><span class="prompt">Prompt</span>; <mark class="accepted">drafted and accepted</mark>; '
        '<mark class="corrected">the target’s correction</mark> of a rejected draft; '
        '<mark class="bonus">bonus token</mark> behind a path that was kept in full. A last token '
        "without colour was decoded without drafts. In these texts a rule judges the drafts.</p>"
    )
    return section("samples", "What became of every token", key, *shown)


def _chain(story: Story, svg: str) -> str:
    tests = sum(one.tests for one in story.places)
    return section(
        "chain",
        "Inside a round",
        figure(
            svg,
            f"Left: of the drafted tokens that were tested at each place ({tests} in all), the share that was accepted "
            "with 95 % intervals over texts. The bars across are computed: the mean of Σ min(p, q) over the very "
            "contexts in which the tests took place, with p the target’s law and q the draft’s. Right: how many "
            "drafted tokens a full round kept. Token-wise verification stops at the first rejection; block "
            "verification judges the round as a whole and keeps at least as many on average.",
        ),
        table(
            ["place", "tests", "measured", "computed"],
            [_place(one) for one in story.places],
            range(4),
        ),
    )


def _place(one: Place) -> list[str]:
    return [str(one.place + 1), str(one.tests), between(one.measured, 3), f"{one.computed:.3f}"]


def _claims(story: Story) -> str:
    rows = [] if story.acceptance is None else [_claim("acceptance of a tested draft", TESTED, story.acceptance)]
    rows += [_claim("acceptance of candidates", one.decoder, one.judgement) for one in story.attained]
    rows += [_claim("surprise of a token (nats)", name, one) for name, one in story.surprise.items()]
    return section(
        "claims",
        "Measured against computed",
        "<p>Three quantities are known exactly before each token is drawn. A tested draft is accepted with probability "
        "Σ min(p, q). An optimal verifier emits one of several candidates with the optimal probability (next section). "
        "An emitted token has the target’s entropy as its expected surprise, −log p, whatever decoder emitted it, if "
        "that decoder is lossless.</p>",
        table(
            ["claim", "decoder", "observations", "observed", "expected", "standard error", "z", "p at most", ""],
            rows,
            range(2, 8),
        ),
        '<p class="note">z is the difference in units of its exact standard deviation. The last number is an upper '
        "bound of the p-value from a test martingale; it holds for any number of observations, without a normal "
        f"approximation. A claim fails below {FALSE_ALARM:g}, so a true one fails at most once in a million runs.</p>",
    )


def _attained(story: Story, svg: str) -> str:
    rows = [
        [
            f"<code>{one.decoder}</code>",
            str(one.draft_length),
            str(place.place + 1),
            f"{place.accepted} / {place.rounds}",
            between(place.measured, 3),
            f"{place.optimum:.4f}",
            *(f"{value:.4f}" for value in place.others.values()),
            verdict(one.judgement.passed),
        ]
        for one in story.attained
        for place in one.places
    ]
    return section(
        "attained",
        "The optimum, attained",
        "<p>These decoders draft n independent paths a round, and the target reads all of them in one call. The "
        "chance that an optimal verifier emits one of the candidates is known exactly in each round: it is the largest "
        "that any lossless rule can have there. So the share of accepted rounds has to match the mean of these "
        "optima.</p>",
        figure(
            svg,
            "First place of the paths. Dots with 95 % intervals over texts: rounds that emitted a candidate, over all "
            "rounds. Tall ticks: mean optimum on the contexts of these rounds, computed. Short ticks: what recursive "
            "rejection and K-SEQ would accept there, computed.",
        ),
        table(
            ["decoder", "path length", "place", "accepted / rounds", "measured", "optimum", *COMPARED, ""],
            rows,
            range(1, 6 + len(COMPARED)),
        ),
        '<p class="note">At a later place the paths that agree with the emitted tokens are the candidates, so their '
        "number falls. The verdict of a decoder covers all its places: a test martingale with a false-alarm rate of "
        f"{FALSE_ALARM:g}, which sees a share that is off by six to seven of the standard errors above. The tests of "
        "the package ask the same of two million rounds.</p>",
    )


def _claim(name: str, decoder: str, one: Judgement) -> list[str]:
    return [
        name,
        f"<code>{decoder}</code>",
        str(one.count),
        f"{one.observed:.4f}",
        f"{one.expected:.4f}",
        f"{one.error:.4f}",
        f"{one.z:+.2f}",
        chance(one.p_bound),
        verdict(one.passed),
    ]


def _rules(story: Story, counts: str, gaps: str) -> str:
    contexts = story.rows[0].contexts
    return section(
        "rules",
        "Every rule against the optimum",
        f"<p>Acceptance is the probability that the emitted token is one of the n drafted ones. It is computed for "
        f"{contexts} contexts of the autoregressive texts ({story.settings.contexts} evenly spaced ones a text at most)"
        ", for every rule and every way of drawing the drafts.</p>",
        figure(
            counts,
            "Mean acceptance over the number of drafts. The thick line is the optimum over all lossless rules for "
            "these drafts (optimal transport), the band its 95 % interval over texts. At n = 1 all rules but "
            "sampler_match are single-draft rejection, which is optimal.",
        ),
        figure(
            gaps,
            "How far each rule stays below the optimum for the same drafts, in percentage points; 0.0 means that the "
            "rule is optimal. Lines across are 95 % intervals over texts of the paired difference, which is much "
            "better known than the acceptance itself. SpecHub’s drafts (hub) exist for n = 2 only.",
        ),
        "<details><summary>What each rule does</summary>"
        + table(["rule", "drafts", "what it does", "source"], [_about(rules.get(name)) for name in rules.names()])
        + "</details>",
        "<details><summary>The numbers</summary>"
        + table(
            ["drafts", "n", "rule", "acceptance", "gap (points)", "method", "Monte Carlo error"],
            [_row(row) for row in story.rows],
            (1, 3, 4, 6),
        )
        + "".join(f'<p class="note">{escape(note)} (<code>specmath acceptance --rules</code>).</p>' for note in notes())
        + "</details>",
    )


def _about(rule: rules.Rule) -> list[str]:
    drafts = ", ".join(f"<code>{name}</code>" for name in rule.drafts)
    return [f"<code>{rule.name}</code>", drafts, escape(rule.purpose), f"<code>{escape(rule.source)}</code>"]


def _row(row: Row) -> list[str]:
    gap = Estimate(row.gap, row.gap_low, row.gap_high)
    return [
        f"<code>{row.drafts}</code>",
        str(row.n),
        f"<b>{row.rule}</b>" if row.rule == OPTIMUM else f"<code>{row.rule}</code>",
        between(Estimate(row.acceptance, row.low, row.high), 4),
        "" if row.rule == OPTIMUM else between(gap, 2, 100.0),
        row.method,
        f"{row.monte_carlo_error:.4f}" if row.monte_carlo_error else "",
    ]


def _exact(story: Story) -> str:
    rows = [
        [
            f"<code>{one.rule}</code>" + (f"<br>defect: {escape(one.defect)}" if one.defect else ""),
            f"<code>{one.drafts}</code>",
            str(one.instances),
            str(one.paths),
            str(one.total_variation),
            verdict(one.passed, "seen" if one.defect else "lossless", "MISSED" if one.defect else "NOT LOSSLESS"),
        ]
        for one in story.exact
    ]
    return section(
        "exact",
        "The exact law of every rule",
        "<p>Each rule was run on small instances (two or three tokens; laws that change with the context, with zeros "
        "and ties) through every choice it can make, in fractions. The law of its output, completed by the target, is "
        "compared with the target’s own text. Equal means equal: a total variation of 0 is no rounding. The last rows "
        "are broken on purpose; the check has to see them.</p>",
        table(["rule", "drafts", "instances", "paths", "largest TV", ""], rows, range(2, 5)),
    )


def _provenance(story: Story) -> str:
    about = story.provenance
    models = [
        [
            name,
            f"{one['parameters']:,}",
            str(one["layers"]),
            str(one["width"]),
            "" if one["held_out_nats_per_byte"] is None else f"{one['held_out_nats_per_byte']:.4f}",
            "" if one["training_tokens"] is None else f"{one['training_tokens']:,}",
        ]
        for name, one in about["models"].items()
    ]
    libraries = ", ".join(f"{name} {value}" for name, value in about["libraries"].items() if value)
    stages = ", ".join(f"{name} {value:.1f} s" for name, value in story.seconds.items())
    return section(
        "provenance",
        "Where this comes from",
        table(
            ["model", "parameters", "layers", "width", "held-out loss (nats per byte)", "training tokens"],
            models,
            range(1, 6),
        ),
        f"<p>Command <code>{escape(about['command'])}</code>, seed {story.settings.seed}, finished "
        f"{escape(about['finished'])}. specmath {escape(about['specmath'])}, Python {escape(about['python'])}, "
        f"{escape(libraries)}. {escape(about['machine'])}. Stages: {escape(stages)}.</p>",
        '<p class="note">The same seed gives the same texts on the same machine and versions; speeds vary.</p>',
    )
