"""The ladder: what must be equal between a decoder and plain decoding, rung by rung.

bits      keys and values of every committed position, against a fresh run of the same text
logits    the logits that decided each emitted token, against a fresh run of the text before it
greedy    tokens at temperature 0, and why the text ended, against the judge
sampled   the same at other temperatures, with the noise of seed and position
logprobs  of emitted tokens: the bits of plain decoding, and the judge's numbers
rounds    what was drafted, kept and emitted: the same alone, in a batch, and after an interruption
draft     keys and values of the draft's own state, against a fresh run of the draft
error     the decoder raised, or did not end

The first two rungs look at the text that was emitted, right or wrong, so that a wrong token does not fail them as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from proofs_tests.equivalence.cases import Text
from proofs_tests.equivalence.judge import Fresh
from proofs_tests.equivalence.networks import FEWER
from proofs_tests.equivalence.runs import Run, World, alone, together
from proofs_tests.equivalence.watch import Seen
from proofs_tests.numerics.helpers import same, threads
from reference.decode import Round

RUNGS = ("bits", "logits", "greedy", "sampled", "logprobs", "rounds", "draft", "error")


@dataclass
class Report:
    """What failed, by rung, with the first detail; and how often what was looked at."""

    failed: dict[str, str] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    def expect(self, rung: str, right: bool, detail: str) -> None:
        self.seen[rung] += 1
        if not right:
            self.failed.setdefault(rung, detail)

    def count(self, rounds: Sequence[Round]) -> None:
        """Drafted nodes that were accepted and rejected, rounds that did either, and that did both."""
        for one in rounds:
            rejected = len(one.drafted) - one.accepted
            self.seen["accepted nodes"] += one.accepted
            self.seen["rejected nodes"] += rejected
            self.seen["drafting rounds"] += bool(one.drafted)
            self.seen["accepting rounds"] += one.accepted > 0
            self.seen["mixed rounds"] += one.accepted > 0 and rejected > 0


def climb(world: World) -> Report:
    """Decode the case alone, interrupted and in a batch, and compare on every rung."""
    report, case = Report(), world.case
    runs: dict[str, Run] = {}
    plain: list[tuple[float, ...]] = []

    def interrupted() -> Run:
        return alone(world, pauses=case.pauses)

    ways: dict[str, Callable[[], Run]] = {"alone": lambda: alone(world), "batched": lambda: together(world)}
    if case.pauses:
        ways["resumed"] = interrupted
    with threads(case.threads):
        for name, way in ways.items():
            try:
                runs[name] = way()
            except Exception as error:  # a planted defect may do anything
                report.expect("error", False, f"{name}: {type(error).__name__}: {error}")
        try:
            plain = world.plain
        except Exception as error:
            report.expect("error", False, f"plain: {type(error).__name__}: {error}")
    for name, run in runs.items():
        for index in range(len(case.texts)):
            where = f"{name}, text {index}"
            compare(report, world, index, run, where)
            if plain:
                own = tuple(value for one in run.rounds[index] for value in one.logprobs)
                report.expect("logprobs", own == plain[index], f"{where}: {own} and plain decoding {plain[index]}")
            if name != "alone" and "alone" in runs:
                one, other = (bare(rounds) for rounds in (run.rounds[index], runs["alone"].rounds[index]))
                report.expect("rounds", one == other, f"{where}: {one} and alone {other}")
            report.count(run.rounds[index])
    return report


def bare(rounds: Sequence[Round]) -> list[Round]:
    """Rounds without their time."""
    return [replace(one, seconds=0.0) for one in rounds]


def compare(report: Report, world: World, index: int, run: Run, where: str) -> None:
    """One text of one run against the judge and against fresh runs of its own tokens."""
    text, truth, rounds = world.case.texts[index], world.judged[index], run.rounds[index]
    emitted = tuple(token for one in rounds for token in one.emitted)
    own, fresh = [*text.prompt, *emitted], world.fresh["target"]

    # 1. keys and values; the last state holds all tokens but the last, one that was preempted as many as it had read
    for number, seen in enumerate(run.targets[index]):
        last = number + 1 == len(run.targets[index])
        stored(report, "bits", seen, fresh, own, len(own) - 1 if last else 0, where)
    for seen in run.drafts[index]:
        stored(report, "draft", seen, world.fresh[str(text.draft)], as_draft(world, text, own), 0, where)

    # 2. the logits that decided each token
    rows = truth.logits if emitted == truth.tokens else list(fresh.whole(own)[0][len(text.prompt) - 1 : -1])
    for one, found in zip(rounds, deciding(rounds, run.targets[index]), strict=False):
        for place, row in enumerate(found, one.position - len(text.prompt)):
            if 0 <= place < len(rows):
                report.expect("logits", same(row, rows[place]), f"{where}: logits of token {place} of {emitted}")
                report.seen["off by 1e-3"] += float((row - rows[place]).abs().max()) > 1e-3

    # 3. tokens, why the text ended, log-probabilities, numbers of the rounds
    rung = "greedy" if text.options.temperature == 0 else "sampled"
    reason = rounds[-1].stop_reason if rounds else None
    said = f"{where}: {emitted}, {reason}; the judge says {truth.tokens}, {truth.reason}"
    report.expect(rung, (emitted, reason) == (truth.tokens, truth.reason), said)
    logs = [value for one in rounds for value in one.logprobs]
    if emitted == truth.tokens:
        near = len(logs) == len(emitted) and all(abs(a - b) < 1e-9 for a, b in zip(logs, truth.logprobs, strict=True))
        report.expect("logprobs", near, f"{where}: {logs}; the judge says {truth.logprobs}")
    starts = [len(text.prompt) + sum(len(other.emitted) for other in rounds[:number]) for number in range(len(rounds))]
    numbers = [(one.round, one.position) for one in rounds]
    report.expect("rounds", numbers == list(enumerate(starts)), f"{where}: numbers and positions {numbers}")


def as_draft(world: World, text: Text, own: Sequence[int]) -> list[int]:
    """The text as the draft reads it."""
    known = world.target.vocabulary_size - (FEWER if text.draft == "small" else 0)
    return [token if token < known else 0 for token in own]


def stored(report: Report, rung: str, seen: Seen, fresh: Fresh, own: Sequence[int], least: int, where: str) -> None:
    """What a state held when it was closed: the text's keys and values, at least ``least`` of them."""
    if seen.stored is None:
        report.expect(rung, not least, f"{where}: nothing stored")
        return
    length = seen.stored[0].shape[2]
    used = min(length, len(own))  # a stop token may end the text inside the path that was kept
    _, keys, values = fresh.whole(own[:used])
    right = length >= least and all(
        same(mine[:, :, :used], true) for mine, true in zip(seen.stored, (keys, values), strict=True)
    )
    report.expect(rung, right, f"{where}: keys and values of {own[:used]}")


def deciding(rounds: Sequence[Round], states: Sequence[Seen]) -> Iterator[list[Tensor]]:
    """Of each round the target's logits after the text and after each accepted node, as far as tokens were emitted."""
    reads = [read for seen in states for read in seen.reads]
    for one, (read, logits) in zip(rounds, reads, strict=False):
        logits, node = logits[-len(read.tree) - 1 :], -1
        found = [logits[0]]
        for token in one.emitted[: one.accepted]:
            below = (child for child, parent in enumerate(read.parents) if parent == node)
            following = next((child for child in below if read.tree[child] == token), None)
            if following is None:
                break
            node = following
            found.append(logits[node + 1])
        yield found[: len(one.emitted)]
