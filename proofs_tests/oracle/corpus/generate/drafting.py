"""Generate calls whose drafting has one mistake each: laws, random streams, truncation."""

# ruff: noqa: NPY002 (the global generator is what such code uses)

import numpy as np

from proofs_tests.oracle.corpus.generate.parts import draw, inverted, left, ratio_test, rows, sharpen


def _generate(target, propose, prompt, n_tokens):
    """Rounds of the ratio test; ``propose(text, room, rng)`` gives drafts and the laws reported for them."""
    text, end = list(prompt), len(prompt) + n_tokens
    while len(text) < end:
        drafted, laws = propose(text, end - len(text) - 1, np.random)
        text += ratio_test(rows(target, text, drafted), laws, drafted, np.random)
    return text[len(prompt) :]


def _loop(target, pick, draft, draft_length):
    """A generate call whose drafts ``pick(law, rng)`` gives as (token, reported law)."""

    def propose(text, room, rng):
        drafted, laws = [], []
        while len(drafted) < min(draft_length, room):
            token, law = pick(draft(tuple(text + drafted)), rng)
            drafted.append(token)
            laws.append(law)
        return drafted, laws

    return lambda prompt, n_tokens: _generate(target, propose, prompt, n_tokens)


def greedy_drafts_soft_law(target, draft, draft_length=2):
    """Argmax drafts are reported with the soft law."""
    return _loop(target, lambda law, rng: (int(np.argmax(law)), law), draft, draft_length)


def draft_temperature_not_reported(target, draft, draft_length=2):
    """Drafts are drawn at temperature 0.7, and the law at temperature 1 is reported."""
    return _loop(target, lambda law, rng: (draw(sharpen(law, 0.7), rng), law), draft, draft_length)


def top_k_not_reported(target, draft, draft_length=2):
    """Drafts are drawn from the two largest entries, and the uncut law is reported."""

    def pick(law, rng):
        cut = np.where(law >= np.sort(law)[-2], law, 0)
        return draw(cut, rng), law

    return _loop(target, pick, draft, draft_length)


def law_one_position_late(target, draft, draft_length=2):
    """The law that is reported for a draft is the one after it."""

    def generate(prompt, n_tokens):
        def propose(text, room, rng):
            drafted = []
            while len(drafted) < min(draft_length, room):
                drafted.append(draw(draft(tuple(text + drafted)), rng))
            return drafted, [draft(tuple(text + drafted[: i + 1])) for i in range(len(drafted))]

        return _generate(target, propose, prompt, n_tokens)

    return generate


def one_noise_for_draft_and_coin(target, draft, draft_length=2):
    """A round's noise is one buffer, indexed by position: drafting inverts the entry that the test then compares."""

    def generate(prompt, n_tokens):
        rng = np.random.default_rng()
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            room = min(draft_length, end - len(text) - 1)
            noise, drafted, laws = rng.random(room + 1), [], []
            for u in noise[:-1]:
                laws.append(draft(tuple(text + drafted)))
                drafted.append(inverted(laws[-1], u))
            seen = rows(target, text, drafted)
            for i, x in enumerate(drafted):
                if noise[i] * laws[i][x] < seen[i][x]:
                    text.append(x)
                    continue
                text.append(draw(left(seen[i], laws[i]), rng))
                break
            else:
                text.append(draw(seen[-1], rng))
        return text[len(prompt) :]

    return generate


def seed_set_every_round(target, draft, draft_length=2, seed=7):
    """The global seed is set at the start of every round, for equal runs."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            np.random.seed(seed)
            drafted, laws = [], []
            while len(drafted) < min(draft_length, end - len(text) - 1):
                laws.append(draft(tuple(text + drafted)))
                drafted.append(inverted(laws[-1], np.random.random()))
            seen = rows(target, text, drafted)
            for i, x in enumerate(drafted):
                if np.random.random() * laws[i][x] < seen[i][x]:
                    text.append(x)
                    continue
                text.append(inverted(left(seen[i], laws[i]), np.random.random()))
                break
            else:
                text.append(inverted(seen[-1], np.random.random()))
        return text[len(prompt) :]

    return generate


def drops_the_unsure_token(target, draft, draft_length=2):
    """A drafted token that the draft thinks unlikely is thrown away, and drafting stops."""

    def generate(prompt, n_tokens):
        def propose(text, room, rng):
            drafted, laws = [], []
            while len(drafted) < min(draft_length, room):
                law = draft(tuple(text + drafted))
                token = draw(law, rng)
                if law[token] < 0.4:
                    break
                drafted.append(token)
                laws.append(law)
            return drafted, laws

        return _generate(target, propose, prompt, n_tokens)

    return generate


def drafts_again_on_repeats(target, draft, draft_length=2):
    """A draft that repeats the token before it is drawn once more; the law is reported as it was."""

    def pick_for(text, law, rng):
        token = draw(law, rng)
        return draw(law, rng) if text and token == text[-1] else token

    def generate(prompt, n_tokens):
        def propose(text, room, rng):
            drafted, laws = [], []
            while len(drafted) < min(draft_length, room):
                laws.append(draft(tuple(text + drafted)))
                drafted.append(pick_for(text + drafted, laws[-1], rng))
            return drafted, laws

        return _generate(target, propose, prompt, n_tokens)

    return generate


def smaller_draft_vocabulary(target, draft, draft_length=2):
    """The draft lacks the last token, and corrections are drawn from the shorter vocabulary."""

    def generate(prompt, n_tokens):
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            drafted, laws = [], []
            while len(drafted) < min(draft_length, end - len(text) - 1):
                law = draft(tuple(text + drafted))[:-1]
                law = law / law.sum() if law.sum() > 0 else np.ones(len(law)) / len(law)
                laws.append(law)
                drafted.append(draw(law, np.random))
            wide = rows(target, text, drafted)
            for i, x in enumerate(drafted):
                if np.random.random() * laws[i][x] < wide[i][x]:
                    text.append(x)
                    continue
                text.append(draw(left(wide[i][:-1] + 1e-300, laws[i]), np.random))
                break
            else:
                text.append(draw(wide[-1], np.random))
        return text[len(prompt) :]

    return generate
