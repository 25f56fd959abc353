"""The numbers of the approximation in `reference.numerics.exponential`, which the kernel takes as well."""

FARTHEST = 40.0
"""Larger and smaller numbers are cut: exp(-40) < 2^-57 is far less than any step that is rounded to."""

SQUARINGS = 5
SQUARE = 1.0 / (12 * 2**SQUARINGS)
LINEAR = 5.0 * 2**SQUARINGS
CONSTANT = 10.0 * 4**SQUARINGS
