"""Generate calls that verify well and keep their books badly: caches, ends, sampling parameters."""

# ruff: noqa: NPY002 (the global generator is what such code uses)

import numpy as np

from proofs_tests.oracle.corpus.generate.model import Cached
from proofs_tests.oracle.corpus.generate.parts import draw, left, ratio_test, rows, sharpen


def _propose(draft, text, room, rng):
    drafted, laws = [], []
    while len(drafted) < room:
        laws.append(draft(tuple(text + drafted)))
        drafted.append(draw(laws[-1], rng))
    return drafted, laws


def cache_not_rewound(target, draft, draft_length=2):
    """Rejected drafts stay in the target's cache."""

    def generate(prompt, n_tokens):
        rng, model = np.random.default_rng(), Cached(target)
        text, end = list(prompt), len(prompt) + n_tokens
        model.extend(text[:-1])
        while len(text) < end:
            drafted, laws = _propose(draft, text, min(draft_length, end - len(text) - 1), rng)
            text += ratio_test(model.extend([text[-1], *drafted]), laws, drafted, rng)
        return text[len(prompt) :]

    return generate


def cache_rewound_too_far(target, draft, draft_length=2):
    """After a rejection the cache loses one accepted token more than it should."""

    def generate(prompt, n_tokens):
        rng, model = np.random.default_rng(), Cached(target)
        text, end = list(prompt), len(prompt) + n_tokens
        model.extend(text[:-1])
        while len(text) < end:
            drafted, laws = _propose(draft, text, min(draft_length, end - len(text) - 1), rng)
            emitted = ratio_test(model.extend([text[-1], *drafted]), laws, drafted, rng)
            rejected = len(emitted) <= len(drafted)
            text += emitted
            model.rewind(len(text) - (2 if rejected else 1))
        return text[len(prompt) :]

    return generate


def position_after_bonus(target, draft, draft_length=2):
    """After full acceptance the next token is written one position too far; the slot between holds padding."""

    def generate(prompt, n_tokens):
        rng, model = np.random.default_rng(), Cached(target)
        text, end, shift = list(prompt), len(prompt) + n_tokens, 0
        model.extend(text[:-1])
        while len(text) < end:
            drafted, laws = _propose(draft, text, min(draft_length, end - len(text) - 1), rng)
            start = len(text) - 1 + shift
            model.rewind(start)
            emitted = ratio_test(model.extend([text[-1], *drafted], start), laws, drafted, rng)
            shift += len(emitted) > len(drafted) > 0
            text += emitted
        return text[len(prompt) :]

    return generate


def runs_past_stop(target, draft, draft_length=2, stop=0):
    """Only the last token of a round is compared with the stop token, so one accepted in its middle is passed."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, laws = _propose(draft, text, min(draft_length, end - len(text) - 1), np.random)
            text += ratio_test(rows(target, text, drafted), laws, drafted, np.random)
            if text[-1] == stop:
                break
        return text[len(prompt) :]

    return generate


def more_than_asked_for(target, draft, draft_length=2):
    """The last round is not shortened: up to draft_length tokens too many."""

    def generate(prompt, n_tokens):
        text = list(prompt)
        while len(text) < len(prompt) + n_tokens:
            drafted, laws = _propose(draft, text, draft_length, np.random)
            text += ratio_test(rows(target, text, drafted), laws, drafted, np.random)
        return text[len(prompt) :]

    return generate


def bonus_without_last_draft(target, draft, draft_length=2):
    """The bonus is drawn from the law before the last draft."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, laws = _propose(draft, text, min(draft_length, end - len(text) - 1), np.random)
            seen = rows(target, text, drafted)
            text += ratio_test([*seen[:-1], seen[max(len(drafted) - 1, 0)]], laws, drafted, np.random)
        return text[len(prompt) :]

    return generate


def temperature_missing_in_bonus(target, draft, draft_length=2):
    """Verified positions use the request's temperature (the target is given at it), the bonus undoes it."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, laws = _propose(draft, text, min(draft_length, end - len(text) - 1), np.random)
            seen = rows(target, text, drafted)
            text += ratio_test([*seen[:-1], sharpen(seen[-1], 1.25)], laws, drafted, np.random)
        return text[len(prompt) :]

    return generate


def first_token_stripped(target, draft, draft_length=2):
    """The verify pass drops the text's first token, taken for a start token that the model adds itself."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, laws = _propose(draft, text, min(draft_length, end - len(text) - 1), np.random)
            text += ratio_test(rows(target, text[1:], drafted), laws, drafted, np.random)
        return text[len(prompt) :]

    return generate


def accepts_on_equality(target, draft, draft_length=2):
    """u <= ratio: at u = 0 a token of target probability zero is accepted."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, laws = _propose(draft, text, min(draft_length, end - len(text) - 1), np.random)
            seen = rows(target, text, drafted)
            for i, x in enumerate(drafted):
                if np.random.random() <= seen[i][x] / laws[i][x]:
                    text.append(x)
                    continue
                text.append(draw(left(seen[i], laws[i]), np.random))
                break
            else:
                text.append(draw(seen[-1], np.random))
        return text[len(prompt) :]

    return generate


def first_token_outside(target, draft, draft_length=2):
    """The first token comes from prefill by argmax; sampling starts with the second."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        text.append(int(np.argmax(target(tuple(text)))))
        while len(text) < end:
            drafted, laws = _propose(draft, text, min(draft_length, end - len(text) - 1), np.random)
            text += ratio_test(rows(target, text, drafted), laws, drafted, np.random)
        return text[len(prompt) :]

    return generate
