"""A draft that is itself accelerated by a smaller draft: three models and more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specmath.speed.chain import best_draft_length, expected_tokens
from specmath.speed.check import cost, positive, probabilities, whole


@dataclass(frozen=True)
class Cascade:
    """A stack of models, the smallest first, the target last.

    Attributes
    ----------
    draft_lengths : of each level but the smallest: tokens that the model below drafts for it in a round.
    step_costs : seconds per token that each model delivers with those below it; the last is the target's.
    speedup : cost of the target's step / the last of ``step_costs``.
    """

    draft_lengths: tuple[int, ...]
    step_costs: tuple[float, ...]
    speedup: float


def cascade(acceptances: Sequence[float], costs: Sequence[float], draft_lengths: Sequence[int]) -> Cascade:
    """The recursion e_0 = c_0, e_i = (L_i e_{i-1} + c_i) / expected_tokens(a_i, L_i).

    A model with those below it is taken for one that delivers a token every e_i seconds. That is a lower bound of its
    time: rounds deliver several tokens at once, and what is delivered beyond L_i is lost (`cascade_in_blocks`).

    Parameters
    ----------
    acceptances : a_i, that model i accepts a token of model i - 1; one fewer than models.
    costs : c_i, seconds of a step of each model, the smallest first.
    draft_lengths : L_i, as many as acceptances.

    Raises ValueError for bad numbers and lists that do not fit.

    Source: sun2024triforce; chen2024cascade; spector2023staged.

    >>> round(cascade([0.6, 0.95], [0.03, 0.4, 1.0], [3, 10]).speedup, 2)
    2.65
    """
    rates, prices, lengths = _checked(acceptances, costs, draft_lengths)
    found = [prices[0]]
    for rate, price, length in zip(rates, prices[1:], lengths, strict=True):
        found.append((length * found[-1] + price) / expected_tokens(rate, length))
    return Cascade(tuple(lengths), tuple(found), prices[-1] / found[-1])


def cascade_in_blocks(acceptances: Sequence[float], costs: Sequence[float], draft_lengths: Sequence[int]) -> Cascade:
    """The same stack when every model delivers exactly the block it is asked for, and stops there.

    The mean time of a block of g tokens from model i is B_i(g) = B_{i-1}(k) + c_i + sum_t P(t emitted) B_i(g - t),
    k = min(L_i, g - 1): the last round of a block drafts no more than is needed. B_i(1) = c_i. Exact for tokens
    accepted independently; never faster than `cascade` says. ``step_costs`` are B_i(L_{i+1}) / L_{i+1}.

    Raises as `cascade`.

    Source: proof in docs/theory/speed.md.

    >>> round(cascade_in_blocks([0.6, 0.95], [0.03, 0.4, 1.0], [3, 10]).speedup, 2)
    2.56
    """
    rates, prices, lengths = _checked(acceptances, costs, draft_lengths)
    blocks = [prices[0] * size for size in range((lengths[0] if lengths else 1) + 1)]
    found = [prices[0]]
    for level, (rate, price, length) in enumerate(zip(rates, prices[1:], lengths, strict=True)):
        if level + 1 == len(rates):
            found.append((blocks[length] + price) / expected_tokens(rate, length))
            break
        above: list[float] = [0.0]
        for size in range(1, lengths[level + 1] + 1):
            drafted = min(length, size - 1)
            chances = [rate ** (t - 1) * (1 - rate) for t in range(1, drafted + 1)] + [rate**drafted]
            rest = sum(chance * above[size - t] for t, chance in enumerate(chances, start=1))
            above.append(blocks[drafted] + price + rest)
        blocks = above
        found.append(blocks[-1] / max(lengths[level + 1], 1))
    return Cascade(tuple(lengths), tuple(found), prices[-1] / found[-1])


def best_cascade(acceptances: Sequence[float], costs: Sequence[float], *, longest: int | None = None) -> Cascade:
    """The draft lengths with the largest `cascade` speed-up.

    e_i rises with e_{i-1}, so the levels are optimised from below, each as a chain with cost ratio e_{i-1} / c_i
    (`best_draft_length`). A length of 0 says that the models below do not pay at that level.

    Raises as `cascade`, and as `best_draft_length` where a level's best length is unbounded and no ``longest`` given.

    >>> best = best_cascade([0.6, 0.95], [0.03, 0.4, 1.0])
    >>> best.draft_lengths, round(best.speedup, 3)
    ((3, 10), 2.652)
    """
    rates, prices, _ = _checked(acceptances, costs, [0] * len(acceptances))
    lengths, each = [], prices[0]
    for rate, price in zip(rates, prices[1:], strict=True):
        plan = best_draft_length(rate, each / price, longest=longest)
        lengths.append(plan.draft_length)
        each = price / plan.speedup
    return cascade(rates, prices, lengths)


def _checked(
    acceptances: Sequence[float], costs: Sequence[float], draft_lengths: Sequence[int]
) -> tuple[list[float], list[float], list[int]]:
    rates = probabilities("acceptances", acceptances)
    if not rates or len(costs) != len(rates) + 1 or len(draft_lengths) != len(rates):
        raise ValueError(
            f"{len(rates)} acceptances, {len(costs)} costs and {len(draft_lengths)} draft_lengths; allowed are k, "
            "k + 1 and k, k >= 1"
        )
    prices = [cost("costs[0]", costs[0])]
    prices += [positive(f"costs[{i}]", price) for i, price in enumerate(costs[1:], start=1)]
    return rates, prices, [whole(f"draft_lengths[{i}]", length) for i, length in enumerate(draft_lengths)]
