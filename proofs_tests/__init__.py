"""Proofs and tests; a package so that its folders share the harness."""
