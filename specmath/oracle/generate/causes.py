"""Where the law of a text departs from the target's, and which mistake of a caller has the same law."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from specmath import exact
from specmath.exact import BudgetError, Chance, Number
from specmath.oracle.causes import CLOSE, DEFECTS, Defect, ratio
from specmath.oracle.generate.law import Found
from specmath.oracle.prompted import Row, Text, text_law

MOST_PATHS = 2000
"""Paths of one candidate; longer ones are left out."""
ALL_PATHS = 15_000
"""Paths of all candidates together: a second or two."""
LONGEST = 3
"""Drafted tokens of a round that are tried: 1 to this."""

WAYS = ("fits", "overshoots", "no bonus")
"""The last round drafts one token less than is left; or as many as always; or no round emits a bonus token."""

Model = Callable[[Text], Row]
Verify = Callable[[Chance, list[Any], list[Any], Text], Sequence[int]]


@dataclass(frozen=True)
class Caller:
    """A decoder by rounds of drafted tokens: what it samples, what it says it sampled, how it verifies.

    Attributes
    ----------
    name : the mistake.
    verify : ``verify(chance, target rows, draft rows, tokens) -> emitted``, as `specmath.oracle.causes.Defect`.
    sampled : the law that drafts are drawn from, given the one that is declared.
    shared : whether the uniform that draws a draft also tests it.
    behind : tokens at the end of a round that the next round's laws have not read.
    """

    name: str
    verify: Verify
    sampled: Callable[[Row], Sequence[Number]] = lambda row: row
    shared: bool = False
    behind: int = 0


RIGHT = Defect("right")


def _largest(row: Row) -> list[Number]:
    best = max(range(len(row)), key=lambda i: row[i])
    return [int(i == best) for i in range(len(row))]


def _power(power: float) -> Callable[[Row], Sequence[Number]]:
    def law(row: Row) -> Sequence[Number]:
        weights = [p**power if p else 0.0 for p in row]
        return [weight / sum(weights) for weight in weights]

    return law


CALLERS = (
    Caller("drafts are the draft's argmax, and the test divides by its soft law", RIGHT, sampled=_largest),
    Caller("drafts were drawn at temperature 1/2 of the declared draft law", RIGHT, sampled=_power(2.0)),
    Caller("drafts were drawn at temperature 2 of the declared draft law", RIGHT, sampled=_power(0.5)),
    Caller("drafts were drawn uniformly, not from the declared law", RIGHT, sampled=lambda row: [1] * len(row)),
    Caller("the uniform that draws a draft also tests it", RIGHT, shared=True),
    Caller("the last token of a round is not read before the next one", RIGHT, behind=1),
    *(Caller(defect.name, defect) for defect in DEFECTS[1:]),
)


@dataclass(frozen=True)
class Match:
    """A known mistake that has the law which was found."""

    caller: Caller
    draft_length: int
    way: str

    def __str__(self) -> str:
        return f"{self.caller.name}, {self.draft_length} drafted per round"


def matches(found: Found, target: Model, draft: Model, among: Sequence[Match] | None = None) -> list[Match]:
    """The known mistakes with this law on the instance; ``among`` those that had it on another."""
    if found.raised or len(found.instance.prompts) != 1:
        return []
    texts = {rows[0]: p for rows, p in found.texts.items()}
    if among is None:
        sizes = list(product(range(1, min(LONGEST, found.instance.length) + 1), WAYS))
        among = [Match(caller, *size) for caller in CALLERS for size in sizes]
    same, left = [], ALL_PATHS
    for match in among:
        law = _law(match.caller, found, target, draft, match.draft_length, match.way, min(MOST_PATHS, left))
        left -= MOST_PATHS if law is None else law.paths
        if law is not None and float(law.total_variation(texts)) < CLOSE:
            same.append(match)
        if left <= 0:
            break
    return same


def relaxed(found: Found, target: Model, draft: Model, law: Callable[[Any, Any], Sequence[Any]]) -> Iterator[Any]:
    """(how, law) of texts that a declared lossy mode may write: relaxed everywhere, or where a round has drafted."""
    prompt, length, stop = found.instance.prompts[0], found.instance.length, found.instance.stop

    def model(text: Text) -> Row:
        return tuple(float(p) for p in law(target(text), draft(text)))

    yield "at every token", text_law(model, prompt, length, stop)

    def verify(chance: Chance, rows: list[Any], draft_rows: list[Any], tokens: Text) -> Sequence[int]:
        loose = [tuple(float(p) for p in law(t, d)) for t, d in zip(rows, draft_rows, strict=False)]
        return RIGHT(chance, [*loose, rows[-1]], draft_rows, tokens)

    for draft_length, way in product(range(1, length + 1), WAYS):
        made = _law(Caller("", verify), found, target, draft, draft_length, way, 25 * MOST_PATHS)
        if made is not None:
            yield f"in rounds of {draft_length} drafted tokens", made


def _law(
    caller: Caller, found: Found, target: Model, draft: Model, draft_length: int, way: str, budget: int = MOST_PATHS
) -> exact.Law | None:
    """Law of a caller's texts; None where it has none, or more than ``budget`` paths."""
    prompt, length, stop = found.instance.prompts[0], found.instance.length, found.instance.stop

    def play(chance: Chance) -> Text:
        text: Text = ()
        read = prompt  # what laws are taken after
        while len(text) < length:
            count = min(draft_length, length - len(text) - 1) if way == "fits" else draft_length
            tokens, rows, lows, above = (), [], [], read
            for _ in range(count):
                row = draft(above)
                token = chance.draw(caller.sampled(row))
                rows.append(row)
                lows.append(sum(row[:token]))
                tokens, above = (*tokens, token), (*above, token)
            laws = [target((*read, *tokens[:i])) for i in range(count + 1)]
            if not count:
                seen = caller.verify.law(laws[0]) if isinstance(caller.verify, Defect) else laws[0]
                emitted: Sequence[int] = (chance.draw(seen),)
            elif caller.shared:
                emitted = _tested_by_its_draw(chance, laws, rows, tokens, lows)
            else:
                emitted = caller.verify(chance, laws, rows, tokens)
            for token in emitted[:count] if way == "no bonus" else emitted:
                text = (*text, token)
                if token == stop or len(text) == length:
                    return text
            read = (*prompt, *text[: len(text) - caller.behind])
        return text

    try:
        return exact.law(play, budget=budget)
    except (ValueError, IndexError, BudgetError):  # a caller that has no law here, or too long a one
        return None


def _tested_by_its_draw(
    chance: Chance, laws: list[Row], rows: list[Row], tokens: Text, lows: list[float]
) -> Sequence[int]:
    """The uniform lies in [low, low + q): accepted where it is below the ratio."""
    for i, token in enumerate(tokens):
        probability = rows[i][token]
        level = float(ratio(laws[i][token], probability))
        if not chance.flip(min(max((level - lows[i]) / probability, 0.0), 1.0)):
            weights = [max(p - q, 0.0) for p, q in zip(laws[i], rows[i], strict=True)]
            return (*tokens[:i], chance.draw(weights if sum(weights) > 0 else laws[i]))
    return (*tokens, chance.draw(laws[-1]))


def departure(found: Found, target: Model, allowed: float) -> str:
    """The first new token whose law is not the target's, and after which text."""
    if len(found.instance.prompts) != 1:
        return ""
    prompt = found.instance.prompts[0]
    mass: dict[Text, float] = {(): 0.0}
    for (text,), probability in found.texts.items():
        for end in range(len(text) + 1):
            mass[text[:end]] = mass.get(text[:end], 0.0) + probability
    for above in sorted(mass, key=len):
        if len(above) == found.instance.length or (above and above[-1] == found.instance.stop):
            continue
        if not all(0 <= x < found.instance.vocabulary for x in above) or mass[above] <= allowed:
            continue
        row = target((*prompt, *above))
        shares = [mass.get((*above, token), 0.0) / mass[above] for token in range(len(row))]
        off = max(range(len(row)), key=lambda token: abs(row[token] - shares[token]))
        if abs(row[off] - shares[off]) * mass[above] > allowed / len(row):
            after = f"after {' '.join(map(str, above))}" if above else "right after the prompt"
            return (
                f"the law first departs at new token {len(above) + 1}, {after}: "
                f"token {off} has {shares[off]:.6g}, the target {row[off]:.6g}"
            )
    return ""
