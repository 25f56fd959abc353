"""Verifiers with one natural mistake each."""
