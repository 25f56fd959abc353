"""Traces whose texts are right and whose log-probabilities of emitted tokens are not."""

from proofs_tests.oracle.corpus.generate.parts import traced


def logprobs_of_the_draft(target, draft, rng, count):
    """The drafted tokens keep the log-probabilities that the draft gave them."""

    def said(token, place, target_rows, draft_rows):
        rows = draft_rows if place < len(draft_rows) else target_rows
        return rows[place][token]

    return traced(target, draft, rng, count, said)


def logprobs_one_row_late(target, draft, rng, count):
    """A token's log-probability is read from the row after it, the law of its successor."""
    return traced(target, draft, rng, count, lambda token, place, rows, _: rows[min(place + 1, len(rows) - 1)][token])


def logprobs_all_zero(target, draft, rng, count):
    """Every token is reported as certain."""
    return traced(target, draft, rng, count, lambda *_: 1.0)
