"""Traces that tell what happened: ``f(target, draft, rng, count) -> rounds``, laws as functions of the text."""

from proofs_tests.oracle.corpus.generate.parts import traced


def as_it_was(target, draft, rng, count):
    """Log-probabilities of emitted tokens under the target."""
    return traced(target, draft, rng, count, lambda token, place, target_rows, draft_rows: target_rows[place][token])
