"""Exact laws: programs that ask a ``chance`` for flips and draws are sampled or enumerated, without being rewritten.

>>> from fractions import Fraction
>>> from specmath import exact
>>> exact.law(lambda chance: chance.flip(Fraction(1, 3)))
Law({True: Fraction(1, 3), False: Fraction(2, 3)}, paths=2)
"""

from specmath.exact.chance import Chance, Enumerated, Sampled
from specmath.exact.explorer import BudgetError, Explorer, Number, normalised
from specmath.exact.law import DEFAULT_BUDGET, Law, Program, law, sample
from specmath.exact.uniforms import UnresolvedError, law_of_uniforms

__all__ = [
    "DEFAULT_BUDGET",
    "BudgetError",
    "Chance",
    "Enumerated",
    "Explorer",
    "Law",
    "Number",
    "Program",
    "Sampled",
    "UnresolvedError",
    "law",
    "law_of_uniforms",
    "normalised",
    "sample",
]
