"""Whole generate calls, judged by the exact law of their text."""
