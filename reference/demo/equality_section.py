"""The report's section about the equality check: verdict, texts line below line, picture and table."""

from __future__ import annotations

from html import escape

from reference.demo.decoders import AUTOREGRESSIVE
from reference.demo.decoding import Text
from reference.demo.equality import Compared, Equality
from reference.demo.grid import KEY, drawing
from reference.demo.marks import accepted, characters
from reference.demo.page import figure, section, table, verdict
from reference.demo.settings import Settings

SHOWN = 3
"""Prompts whose texts stand line below line."""


def equality_section(equality: Equality, texts: dict[str, list[Text]], settings: Settings) -> str:
    """HTML of the section."""
    names = [AUTOREGRESSIVE, *dict.fromkeys(one.decoder for one in equality.compared if not one.defect)]
    keys = "".join(f'<span class="key"><i class="{kind}"></i>{said}</span>' for kind, said in KEY.items())
    return section(
        "equality",
        "The same text, whatever the decoder",
        "<p>With coupled randomness the noise of a token belongs to its place in the text. Arithmetic without rounding "
        "in its sums gives the same logits however tokens are read. So the text cannot depend on drafts, trees or "
        "batches; they only decide how many tokens one call of the target yields.</p>",
        _verdicts(equality),
        *(_lines([texts[name][number] for name in names]) for number in range(min(SHOWN, settings.prompts))),
        '<p class="note">Each line is one decoder. <mark class="accepted">Coloured</mark> characters were drafted and '
        "kept; the others cost a call of the target. A dot is a byte that cannot be shown.</p>",
        figure(
            f'<div class="keys">{keys}</div>{drawing(equality)}',
            f"Every token of {settings.prompts} texts (lines) of up to {settings.equality_tokens} tokens (columns), "
            "beside autoregressive decoding in the same arithmetic. First: the arithmetic whose bits are promised. "
            "Then the library’s own kernels, where nothing is promised. Last: defects planted in the target, which "
            "the check has to see.",
        ),
        table(
            ["decoder", "arithmetic", "texts equal", "log-probabilities equal", "logit rows equal", ""],
            [_row(one) for one in equality.compared],
            range(2, 5),
        ),
        '<p class="note">Equal texts: the same tokens and the same reason to end. Equal log-probabilities and logits: '
        "the same bits. Logits are those that decided a token, compared up to the first token that differs.</p>",
    )


def _verdicts(equality: Equality) -> str:
    promised = {one.arithmetic: one.promised for one in equality.compared}
    found = []
    for name, (same, texts) in equality.shares().items():
        said = f"{same} of {texts} texts are identical with all decoders ({same / texts:.0%})"
        if promised[name]:
            found.append(f"<p><code>{name}</code>: {verdict(same == texts, said, said)}</p>")
        else:
            rows = sum(one.logit_rows for one in equality.compared if one.arithmetic == name)
            equal = sum(one.equal_logit_rows for one in equality.compared if one.arithmetic == name)
            share = f"{rows - equal} of {rows} logit rows ({(rows - equal) / rows:.0%}) differ"
            found.append(f"<p><code>{name}</code>, where nothing is promised: {said}; {share}.</p>")
    return "\n".join(found)


def _lines(texts: list[Text]) -> str:
    """One prompt: the end of it, and below it one line for each decoder."""
    wide = max(len(text.decoder) for text in texts)
    prompt = escape(characters(texts[0].start[-40:]))
    lines = []
    for text in texts:
        flags = accepted(text)
        shown = "".join(
            f'<mark class="accepted">{escape(mark)}</mark>' if flag else escape(mark)
            for mark, flag in zip(characters(text.decoded.tokens), flags, strict=True)
        )
        label = f'<span class="prompt">{text.decoder.ljust(wide)}  {prompt}</span>'
        rounds = len(text.decoded.rounds)
        lines.append(f'{label}{shown}  <span class="prompt">{rounds} calls</span>')
    return f'<pre class="lines">{chr(10).join(lines)}</pre>'


def _row(one: Compared) -> list[str]:
    name = f"<code>{one.decoder}</code>" + (f", planted: {escape(one.defect)}" if one.defect else "")
    if one.passed is None:
        last = '<span class="muted">no promise</span>'
    elif one.defect:
        last = verdict(one.passed, "seen", "MISSED")
    else:
        last = verdict(one.passed, "identical", "DIFFERS")
    return [
        name,
        f"<code>{one.arithmetic}</code>",
        f"{one.equal_texts} / {one.texts}",
        f"{one.equal_logprobs} / {one.texts}",
        f"{one.equal_logit_rows} / {one.logit_rows}",
        last,
    ]
