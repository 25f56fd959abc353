"""Registry of the verification rules, in the order of the documentation."""

from __future__ import annotations

from typing import get_args

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
from specmath.rules.rule import Layout, Rule

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
    if layout is not None and layout not in get_args(Layout):
        raise ValueError(f"layout is {layout!r}; allowed are {', '.join(map(repr, get_args(Layout)))}")
    return tuple(name for name, rule in _RULES.items() if layout in (None, rule.layout))


def get(name: str) -> Rule:
    """The rule of that name; ValueError lists the names there are."""
    if name not in _RULES:
        raise ValueError(f"rule is {name!r}; allowed are {', '.join(map(repr, _RULES))}")
    return _RULES[name]
