"""Lossless verifiers that differ in source."""
