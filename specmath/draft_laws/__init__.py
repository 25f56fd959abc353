"""How the candidates at one node are drawn, by name.

>>> from fractions import Fraction
>>> from specmath import draft_laws
>>> draft_laws.get("without_replacement").law([Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)], 2)[0, 1]
Fraction(1, 4)
"""

from specmath.draft_laws import greedy, hub, iid, top_k, without_replacement
from specmath.draft_laws.law import DraftLaw

_LAWS = {module.LAW.name: module.LAW for module in (iid, without_replacement, greedy, top_k, hub)}


def names() -> tuple[str, ...]:
    """Registered draft laws, in the order of the documentation."""
    return tuple(_LAWS)


def get(name: str) -> DraftLaw:
    """The draft law of that name; ValueError lists the names there are.

    >>> get("iid").uniforms(3)
    3
    """
    if not isinstance(name, str) or name not in _LAWS:
        raise ValueError(f"drafts is {name!r}; allowed are {', '.join(map(repr, _LAWS))}")
    return _LAWS[name]


__all__ = ["DraftLaw", "get", "names"]
