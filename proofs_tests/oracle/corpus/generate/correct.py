"""Lossless generate calls."""

# ruff: noqa: NPY002 (the global generator is what such code uses)

import random

import numpy as np

from proofs_tests.oracle.corpus.generate.model import Cached
from proofs_tests.oracle.corpus.generate.parts import draw, left, ratio_test, rows


def assistant(target, draft, draft_length=2):
    """Sampled drafts and the ratio test."""

    def generate(prompt, n_tokens):
        text = list(prompt)
        end = len(text) + n_tokens
        while len(text) < end:
            drafted, laws = [], []
            for _ in range(min(draft_length, end - len(text) - 1)):
                laws.append(draft(tuple(text + drafted)))
                drafted.append(draw(laws[-1], np.random))
            text += ratio_test(rows(target, text, drafted), laws, drafted, np.random)
        return text[len(prompt) :]

    return generate


def prompt_lookup(target, draft, draft_length=2):
    """Drafts copied from the last place where the text's end occurred; the target is drawn and compared."""

    def lookup(text):
        for start in range(len(text) - 2, -1, -1):
            if text[start] == text[-1]:
                return text[start + 1 : start + 1 + draft_length]
        return []

    def generate(prompt, n_tokens):
        text = list(prompt)
        while len(text) < len(prompt) + n_tokens:
            for x in [*lookup(text), None]:
                law = target(tuple(text))
                text.append(random.choices(range(len(law)), weights=law)[0])
                if text[-1] != x or len(text) == len(prompt) + n_tokens:
                    break
        return text[len(prompt) :]

    return generate


def greedy_drafts(target, draft, draft_length=2):
    """Argmax drafts as point masses."""

    def generate(prompt, n_tokens):
        rng = np.random.default_rng()
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, points = [], []
            while len(drafted) < min(draft_length, end - len(text) - 1):
                law = draft(tuple(text + drafted))
                drafted.append(int(np.argmax(law)))
                points.append(np.eye(len(law))[drafted[-1]])
            text += ratio_test(rows(target, text, drafted), points, drafted, rng)
        return text[len(prompt) :]

    return generate


def stale_draft_cache(target, draft, draft_length=2):
    """The draft's cache is never rewound: poor drafts, but the reported laws are the ones they were drawn from."""

    def generate(prompt, n_tokens):
        rng = np.random.default_rng()
        model = Cached(draft)
        last = model.extend(list(prompt))[-1]
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, laws = [], []
            for _ in range(min(draft_length, end - len(text) - 1)):
                laws.append(last)
                drafted.append(draw(last, rng))
                last = model.extend(drafted[-1:])[-1]
            text += ratio_test(rows(target, text, drafted), laws, drafted, rng)
            last = model.extend(text[-1:])[-1]
        return text[len(prompt) :]

    return generate


def rewound_caches(target, draft, draft_length=2):
    """Both caches are rewound to the accepted text after every round."""

    def generate(prompt, n_tokens):
        rng = np.random.default_rng()
        big, small = Cached(target), Cached(draft)
        text, end = list(prompt), len(prompt) + n_tokens
        big.extend(text[:-1])
        small.extend(text[:-1])
        while len(text) < end:
            drafted, proposals = [], []
            for _ in range(min(draft_length, end - len(text) - 1)):
                unread = [*text, *drafted][len(small.read) :]
                proposals.append(small.extend(unread)[-1])
                drafted.append(draw(proposals[-1], rng))
            text += ratio_test(big.extend([text[-1], *drafted]), proposals, drafted, rng)
            big.rewind(len(text) - 1)
            small.rewind(len(text) - 1)
        return text[len(prompt) :]

    return generate


def ends_at_stop(target, draft, draft_length=2, stop=0):
    """Whatever a round emits after the stop token is cut."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, laws = [], []
            for _ in range(min(draft_length, end - len(text) - 1)):
                laws.append(draft(tuple(text + drafted)))
                drafted.append(draw(laws[-1], np.random))
            emitted = ratio_test(rows(target, text, drafted), laws, drafted, np.random)
            if stop in emitted:
                text += emitted[: emitted.index(stop) + 1]
                break
            text += emitted
        return text[len(prompt) :]

    return generate


def keeps_the_unsure_token(target, draft, draft_length=3):
    """Drafting stops after a token that the draft thinks unlikely, and that token is tested like the others."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, laws = [], []
            while len(drafted) < min(draft_length, end - len(text) - 1):
                laws.append(draft(tuple(text + drafted)))
                drafted.append(draw(laws[-1], np.random))
                if laws[-1][drafted[-1]] < 0.4:
                    break
            target_rows = rows(target, text, drafted)
            for i, x in enumerate(drafted):
                if np.random.random() < target_rows[i][x] / laws[i][x]:
                    text.append(x)
                    continue
                text.append(draw(left(target_rows[i], laws[i]), np.random))
                break
            else:
                text.append(draw(target_rows[-1], np.random))
        return text[len(prompt) :]

    return generate
