"""Packaging, imports, and the house rules that are forgotten silently."""
