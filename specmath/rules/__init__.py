"""Verification rules, by name: what is kept of the drafted tokens.

>>> from specmath import rules
>>> rules.get("single").acceptance([0.5, 0.5], [0.25, 0.75], n=1)
np.float64(0.75)
"""

from specmath.rules import (
    block,
    greedy,
    k_seq,
    naive_list,
    recursive,
    recursive_without_replacement,
    sampler_match,
    single,
    spechub,
    token_wise,
    traversal,
)
from specmath.rules.laws import completed, round_law, round_program, text_law
from specmath.rules.rule import Layout, Rule, Verdict

_MODULES = (
    single,
    sampler_match,
    naive_list,
    recursive,
    recursive_without_replacement,
    k_seq,
    greedy,
    spechub,
    token_wise,
    block,
    traversal,
)
_RULES = {module.RULE.name: module.RULE for module in _MODULES}


def names(layout: Layout | None = None) -> tuple[str, ...]:
    """Registered rules, all or those of one layout ("node", "chain", "tree").

    >>> names("tree")
    ('traversal',)
    """
    return tuple(name for name, rule in _RULES.items() if layout in (None, rule.layout))


def get(name: str) -> Rule:
    """The rule of that name; ValueError lists the names there are."""
    if name not in _RULES:
        raise ValueError(f"rule is {name!r}; allowed are {', '.join(map(repr, _RULES))}")
    return _RULES[name]


__all__ = ["Layout", "Rule", "Verdict", "completed", "get", "names", "round_law", "round_program", "text_law"]
