"""Whole generate calls whose randomness cannot be followed: they are really run, and their texts' law is tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from specmath.oracle.generate.law import read
from specmath.oracle.kinds import Raised, Tokens, reseed, takes_seed
from specmath.oracle.prompted import Model, Prompted, contexts, text_law
from specmath.oracle.run import entries
from specmath.oracle.sampled.audit import SAMPLES, TOLERANCE, check_sizes, concluded, judged, worst
from specmath.oracle.sampled.rounds import Drawn, Trial, sample
from specmath.oracle.verdict import Verdict


def audit_generate_sampled(
    generate: Callable[..., Any],
    target: Callable[[Tokens], Any],
    *,
    prompts: Sequence[Sequence[int]] = ((0,),),
    length: int = 4,
    stop: int | None = None,
    draft: Callable[[Tokens], Any] | None = None,
    dtype: str = "float32",
    samples: int = SAMPLES,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Whether samples of whole generate calls show a bias, for engines whose randomness cannot be followed.

    The law of the texts of each prompt is tested against ``prod_i target(prompt, y_<i)(y_i)``, as `audit_sampled` does
    with functions, with the same errors and the same words: without a finding the status is "undecided".

    Parameters
    ----------
    generate : ``generate(prompt, n_tokens) -> new tokens`` as for `audit_generate`; seeds of Python, numpy and torch
        change with every call, and an argument ``seed`` is given if the function takes one.
    target, prompts, length, stop, draft, dtype : as for `audit_generate`.
    samples : the most for one prompt.
    tolerance, seed, progress : as for `audit_sampled`.

    Raises ValueError for laws that are none and numbers out of range.

    Source: ramdas2023game, Sections 2 and 4.

    >>> import random
    >>> stream = random.SystemRandom()
    >>> def generate(prompt, n_tokens):
    ...     return [stream.choice((0, 0, 1)) for _ in range(n_tokens)]
    >>> audit_generate_sampled(generate, lambda text: [0.5, 0.5], length=3).status
    'biased'
    """
    check_sizes(samples, tolerance)
    model = Model("target", target, dtype)
    other = None if draft is None else Model("draft", draft, dtype)
    given = tuple(tuple(int(token) for token in prompt) for prompt in prompts)
    if not given or length < 1:
        raise ValueError(f"prompts has {len(given)} entries, length is {length}; allowed are at least one of each")
    trials = [_trial(generate, model, prompt, length, stop) for prompt in given]
    found, told = sample(trials, samples=samples, tolerance=tolerance, seed=seed, progress=progress)
    checks = judged(found, "generate")
    shown = worst(found)
    prompt = None if shown is None else given[found.index(shown)]
    instance = None
    if prompt is not None:
        laws = contexts(model, other, prompt, length, stop)
        instance = Prompted(trials[given.index(prompt)].name, (prompt,), length, stop, model.vocabulary, laws)
    return concluded(
        found,
        told,
        checks,
        cause="",
        function=getattr(generate, "__qualname__", type(generate).__name__),
        kind="generate",
        arrays="unknown",
        dtype=dtype,
        drafts="its own",
        instance=instance,
        replay=None
        if prompt is None
        else lambda: audit_generate_sampled(
            generate, target, prompts=(prompt,), length=length, stop=stop, draft=draft, dtype=dtype,
            samples=samples, tolerance=tolerance, seed=seed,
        ),
    )  # fmt: skip


def _trial(generate: Callable[..., Any], model: Model, prompt: Tokens, length: int, stop: int | None) -> Trial:
    """Calls with one prompt."""
    name = f"prompt {' '.join(map(str, prompt))}"
    reference = {(text,): probability for text, probability in text_law(model, prompt, length, stop).items()}
    instance = Prompted(name, (prompt,), length, stop, model.vocabulary)
    takes = takes_seed(generate)

    def draw(seed: int, uniform: Callable[[], float]) -> Drawn:
        reseed(seed)
        try:
            found = read(entries(generate(prompt, length, **({"seed": seed} if takes else {}))), instance, False)
        except (Exception, SystemExit) as error:
            return Drawn(Raised("returns", f"{type(error).__name__}: {error}".split("\n")[0]))
        if isinstance(found, Raised):
            return Drawn(found)
        (text,) = found
        ends = stop is not None and stop in text
        if ends and text.index(stop) + 1 < len(text):
            return Drawn(None, found, wrong="nothing_after_stop")
        if len(text) > length or (len(text) < length and not ends):
            return Drawn(Raised("count_range", f"returned {len(text)} new tokens; expected {length}"))
        if not all(0 <= token < model.vocabulary for token in text):
            return Drawn(None, found, wrong="support")
        return Drawn(found, found, impossible=found not in reference)

    return Trial(name, reference, draw)
