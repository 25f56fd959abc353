"""Verifiers as other people write them: correct ones in many styles, and natural mistakes, each in one table."""
