"""Metrics: definitions, conversions, intervals, and what engines report."""
