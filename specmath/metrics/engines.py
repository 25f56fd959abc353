"""What serving engines report of their speculation, read into one form; the versions are those named below."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"


@dataclass(frozen=True)
class Reported:
    """What an engine says; None where it does not.

    Attributes
    ----------
    accepted, drafted : tokens, bonus tokens in neither.
    rounds : rounds that drafted.
    tokens : emitted tokens per round, bonus included.
    rate : accepted / drafted.
    survival : P(drafts 1 .. k accepted) by position (K,), over all rounds that drafted.
    """

    accepted: int | None
    drafted: int | None
    rounds: int | None
    tokens: float | None
    rate: float | None
    survival: tuple[float, ...] | None


def vllm_record(record: Mapping[str, Any]) -> Reported:
    """vLLM's ``metrics.speculative_decoding`` of one response (pull request 48915 of July 2026; experimental there).

    accepted = sum_j j h_j, rounds = sum_j h_j, S_k = sum_(j >= k) h_j / rounds, h = ``acceptance_histogram``. Steps
    without drafts are not in it. Raises ValueError for missing fields, and counts that contradict the histogram.

    >>> vllm_record({
    ...     "acceptance_histogram": [2, 1, 1], "num_spec_steps": 4,
    ...     "num_accepted_draft_tokens": 3, "num_draft_tokens": 8,
    ... })
    Reported(accepted=3, drafted=8, rounds=4, tokens=1.75, rate=0.375, survival=(0.5, 0.25))
    """
    counts = {
        name: _count(record, name) for name in ("num_spec_steps", "num_accepted_draft_tokens", "num_draft_tokens")
    }
    rounds, accepted, drafted = counts.values()
    histogram = record.get("acceptance_histogram")
    if not isinstance(histogram, list | tuple) or not histogram or not all(_whole(one) for one in histogram):
        raise ValueError(f"acceptance_histogram is {histogram!r}; allowed are lists of whole numbers >= 0")
    if sum(histogram) != rounds:
        raise ValueError(f"num_spec_steps is {rounds}, and the histogram has {sum(histogram)} steps; allowed is that")
    kept = sum(place * count for place, count in enumerate(histogram))
    if kept != accepted:
        raise ValueError(f"num_accepted_draft_tokens is {accepted}, and the histogram has {kept}; allowed is that")
    if accepted > drafted:
        raise ValueError(f"num_draft_tokens is {drafted}, less than the {accepted} accepted; allowed are more")
    survival = tuple(sum(histogram[place:]) / rounds for place in range(1, len(histogram))) if rounds else None
    tokens = 1 + accepted / rounds if rounds else None
    return Reported(accepted, drafted, rounds, tokens, accepted / drafted if drafted else None, survival)


def vllm_line(line: str) -> Reported:
    """vLLM's log line "SpecDecoding metrics: ..." (V1 engine; pull requests 15902 and 24127, 2025).

    It holds sums over the interval since the line before it, so lines are added up and not averaged. The number of
    rounds is not printed; it is accepted / (tokens - 1), known only as well as two decimals tell, and left None.

    >>> found = vllm_line(
    ...     "[metrics.py:96] SpecDecoding metrics: Mean acceptance length: 2.77, Accepted throughput: 62.60 tokens/s, "
    ...     "Drafted throughput: 106.20 tokens/s, Accepted: 626 tokens, Drafted: 1062 tokens, "
    ...     "Per-position acceptance rate: 0.802, 0.551, 0.415, Avg Draft acceptance rate: 58.9%"
    ... )
    >>> found.accepted, found.drafted, found.tokens, found.survival
    (626, 1062, 2.77, (0.802, 0.551, 0.415))
    """
    text = _after(line, "SpecDecoding metrics: ", "vLLM")
    accepted, drafted = int(_found(text, r"Accepted: ([0-9]+) tokens")), int(_found(text, r"Drafted: ([0-9]+) tokens"))
    tokens = re.search(rf"Mean acceptance length: {_NUMBER}", text)
    places = re.search(rf"Per-position acceptance rate: {_NUMBER}((?:, {_NUMBER})*)(?:,|$)", text)
    survival = None if places is None else tuple(float(one) for one in (places[1] + places[2]).split(", "))
    return Reported(
        accepted,
        drafted,
        None,
        None if tokens is None else float(tokens[1]),
        accepted / drafted if drafted else None,
        survival,
    )


def sglang_line(line: str, *, draft_tokens: int) -> Reported:
    """SGLang's log line "Decode batch, ..., accept len: 2.20, accept rate: 0.73, ...".

    ``accept len`` has the bonus token in all versions. ``accept rate`` was (accepted + 1) / D per round until pull
    request 23530 of April 2026, D = ``--speculative-num-draft-tokens``, which counts the last token of the text; since
    then it is accepted / (D - 1). The printed rate is only checked to be one of the two; `Reported.rate` is the second,
    from ``accept len``. For trees it is the accepted share of all nodes.

    Raises ValueError for lines without ``accept len``, D below 2, and rates that are neither.

    >>> sglang_line("Decode batch, #running-req: 1, accept len: 2.20, accept rate: 0.55, ...", draft_tokens=4)
    Reported(accepted=None, drafted=None, rounds=None, tokens=2.2, rate=0.4, survival=None)
    """
    if not _whole(draft_tokens) or draft_tokens < 2:
        raise ValueError(
            f"draft_tokens is {draft_tokens!r}; allowed are whole numbers >= 2, the text's last one included"
        )
    tokens = float(_found(_after(line, "Decode batch", "SGLang"), rf"accept len: {_NUMBER}"))
    if not 1 <= tokens <= draft_tokens:
        raise ValueError(f"line: accept len is {tokens}; allowed are numbers from 1 to draft_tokens, {draft_tokens}")
    rate = (tokens - 1) / (draft_tokens - 1)
    printed = re.search(rf"accept rate: {_NUMBER}", line)
    if printed is not None:
        # Both numbers have two decimals.
        allowed = 0.0051 * (1 + 1 / (draft_tokens - 1))
        if min(abs(float(printed[1]) - one) for one in (rate, tokens / draft_tokens)) > allowed:
            raise ValueError(
                f"line: accept rate is {printed[1]} with accept len {tokens}; allowed are {rate:.2f}, or "
                f"{tokens / draft_tokens:.2f} of older versions, for draft_tokens {draft_tokens}"
            )
    return Reported(None, None, None, tokens, rate, None)


def llama_line(line: str) -> Reported:
    """llama.cpp's line "draft acceptance = 0.64 (167 accepted / 259 generated), ..." of a finished request.

    Since pull request 24536 of June 2026 with ``mean acceptance length``, bonus included, and ``acceptance rate per
    position``, unconditional. The older line "draft acceptance rate = ..." has the counts only. ``generated`` leaves
    out drafts that were too short to be verified.

    >>> found = llama_line(
    ...     "draft acceptance = 0.64479 (  167 accepted /   259 generated), mean acceptance length =  2.92, "
    ...     "acceptance rate per position = (0.805, 0.632, 0.483)"
    ... )
    >>> found.accepted, found.drafted, found.tokens, found.survival
    (167, 259, 2.92, (0.805, 0.632, 0.483))
    """
    text = _after(line, "draft acceptance", "llama.cpp")
    counts = re.search(r"\(\s*([0-9]+) accepted /\s*([0-9]+) generated\)", text)
    if counts is None:
        raise ValueError(
            f"line: no '(... accepted / ... generated)' in {line.strip()[:80]!r}; allowed are llama.cpp's lines"
        )
    accepted, drafted = int(counts[1]), int(counts[2])
    if accepted > drafted:
        raise ValueError(f"line: {accepted} accepted of {drafted} generated; allowed are at most {drafted}")
    tokens = re.search(rf"mean acceptance length =\s*{_NUMBER}", text)
    places = re.search(r"acceptance rate per position = \(([0-9., ]*)\)", text)
    survival = None if places is None or not places[1] else tuple(float(one) for one in places[1].split(", "))
    return Reported(
        accepted,
        drafted,
        None,
        None if tokens is None else float(tokens[1]),
        accepted / drafted if drafted else None,
        survival,
    )


def added(reports: list[Reported]) -> tuple[int, int]:
    """Accepted and drafted tokens of several reports together; the rate is their ratio, and no mean of rates.

    Raises ValueError for no reports, and those without counts (SGLang's lines).

    >>> one = Reported(3, 8, 4, 1.75, 0.375, None)
    >>> added([one, one])
    (6, 16)
    """
    counts = [(one.accepted, one.drafted) for one in reports if one.accepted is not None and one.drafted is not None]
    if not counts or len(counts) < len(reports):
        raise ValueError(
            f"reports: {len(counts)} of {len(reports)} have counts; allowed are one or more, all with counts"
        )
    return sum(kept for kept, _ in counts), sum(drafted for _, drafted in counts)


def _after(line: str, mark: str, engine: str) -> str:
    place = line.find(mark)
    if place < 0:
        raise ValueError(f"line: no {mark!r} in {line.strip()[:80]!r}; allowed are {engine}'s lines that hold it")
    return line[place:].strip()


def _found(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"line: nothing like {pattern.partition('(')[0]!r} in {text[:80]!r}; it is needed")
    return match[1]


def _count(record: Mapping[str, Any], name: str) -> int:
    value = record.get(name)
    if not _whole(value):
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers >= 0")
    return int(value)  # type: ignore[arg-type]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < math.inf
