"""Relaxed rules: maps from the target to another law, with the exact price of the change.

Run any lossless rule with the relaxed law in the target's place: it emits that law, and accepts more often.

>>> import numpy as np, specmath
>>> from specmath import relax
>>> target, draft = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
>>> relaxed = relax.get("total_variation").relax(target, draft, budget=0.1)
>>> for law in (target, relaxed.law):
...     print(round(float(specmath.acceptance("single", law, draft, 1).values), 9))
0.7
0.8
"""

from specmath.relax import cascade_opt, cascade_token, lenience, mentored, total_variation, typical
from specmath.relax.bounds import SequenceBound, sequence_bound
from specmath.relax.relaxed import Relaxation, Relaxed

_RELAXATIONS = {
    module.RELAXATION.name: module.RELAXATION
    for module in (total_variation, mentored, lenience, typical, cascade_opt, cascade_token)
}


def names() -> tuple[str, ...]:
    """Registered relaxations, in the order of the documentation.

    >>> names()
    ('total_variation', 'mentored', 'lenience', 'typical', 'cascade_opt', 'cascade_token')
    """
    return tuple(_RELAXATIONS)


def get(name: str) -> Relaxation:
    """The relaxation of that name; ValueError lists the names there are.

    >>> get("mentored").parameters
    {'budget': None}
    """
    if not isinstance(name, str) or name not in _RELAXATIONS:
        raise ValueError(f"relaxation is {name!r}; allowed are {', '.join(map(repr, _RELAXATIONS))}")
    return _RELAXATIONS[name]


__all__ = ["Relaxation", "Relaxed", "SequenceBound", "get", "names", "sequence_bound"]
