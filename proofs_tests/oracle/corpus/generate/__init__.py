"""Whole generate calls over small models: factories of ``f(prompt, n_tokens) -> new tokens``.

A factory takes two callables, ``target(text)`` and ``draft(text)``, each a law (V,) of the token after ``text``.
"""
