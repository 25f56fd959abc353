"""Registry of the verification rules, in the order of the documentation."""

from __future__ import annotations

from typing import get_args

from specmath.rules import (
    block,
    conditional_transport,
    greedy,
    k_seq,
    multipath_block,
    naive_list,
    optimal,
    optimal_paths,
    recursive,
    recursive_without_replacement,
    sampler_match,
    single,
    spechub,
    spectr_paths,
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
    optimal,
    token_wise,
    block,
    traversal,
    spectr_paths,
    optimal_paths,
    multipath_block,
    conditional_transport,
)
_RULES = {module.RULE.name: module.RULE for module in _MODULES}


def names(layout: Layout | None = None) -> tuple[str, ...]:
    """Registered rules, all or those of one layout ("node", "chain", "tree").

    >>> names("tree")
    ('traversal', 'spectr', 'optimal_paths', 'multipath_block', 'conditional_transport')
    """
    if layout is not None and layout not in get_args(Layout):
        raise ValueError(f"layout is {layout!r}; allowed are {', '.join(map(repr, get_args(Layout)))}")
    return tuple(name for name, rule in _RULES.items() if layout in (None, rule.layout))


def get(name: str) -> Rule:
    """The rule of that name; ValueError lists the names there are."""
    if not isinstance(name, str) or name not in _RULES:
        raise ValueError(f"rule is {name!r}; allowed are {', '.join(map(repr, _RULES))}")
    return _RULES[name]
