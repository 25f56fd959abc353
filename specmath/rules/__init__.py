"""Verification rules, by name: what is kept of the drafted tokens.

>>> from specmath import rules
>>> rules.get("single").acceptance([0.5, 0.5], [0.25, 0.75], n=1)
np.float64(0.75)
"""

from specmath.rules.laws import completed, round_law, round_program, text_law
from specmath.rules.measure import Acceptance, acceptance
from specmath.rules.registry import get, names
from specmath.rules.rule import Layout, Rule, Verdict

__all__ = [
    "Acceptance",
    "Layout",
    "Rule",
    "Verdict",
    "acceptance",
    "completed",
    "get",
    "names",
    "round_law",
    "round_program",
    "text_law",
]
