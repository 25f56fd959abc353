"""Registry of the stopping policies, in the order of the documentation."""

from __future__ import annotations

from specmath.stopping.policies import (
    adaedl,
    bandit,
    draft,
    fixed,
    heuristic,
    hindsight,
    look_ahead,
    online,
    optimal,
    survival,
    table,
)
from specmath.stopping.policies.policy import PolicyKind

_KINDS = {
    kind.name: kind
    for kind in (
        fixed.KIND,
        survival.KIND,
        look_ahead.KIND,
        optimal.KIND,
        table.KIND,
        draft.KIND_CONFIDENCE,
        draft.KIND_ENTROPY,
        draft.KIND_SVIP,
        adaedl.KIND,
        heuristic.KIND,
        online.KIND,
        bandit.KIND,
        hindsight.KIND,
    )
}


def names() -> tuple[str, ...]:
    """Registered policies.

    >>> names()[:4]
    ('fixed', 'survival', 'look_ahead', 'optimal')
    """
    return tuple(_KINDS)


def get(name: str) -> PolicyKind:
    """The policy of that name; ValueError lists the names there are.

    >>> get("fixed").make(4)
    Fixed(draft_length=4)
    """
    if not isinstance(name, str) or name not in _KINDS:
        raise ValueError(f"policy is {name!r}; allowed are {', '.join(map(repr, _KINDS))}")
    return _KINDS[name]
