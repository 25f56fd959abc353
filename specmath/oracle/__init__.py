"""Audits of anybody's verifier: the exact law of unmodified code, and a verdict.

>>> from specmath import oracle
>>> def verify(target, draft, tokens, generator):
...     token = tokens[0]
...     return token if generator.random() < target[token] / draft[token] else generator.choice(len(target), p=target)
>>> oracle.audit(verify, kind="node", n=1, arrays="numpy").status
'biased'
"""

from specmath.oracle.audit import Lossy, audit
from specmath.oracle.checks import checks
from specmath.oracle.draws import UnsupportedRandomness
from specmath.oracle.instance import Instance, standard
from specmath.oracle.run import law_of
from specmath.oracle.verdict import CheckResult, Verdict

__all__ = [
    "CheckResult",
    "Instance",
    "Lossy",
    "UnsupportedRandomness",
    "Verdict",
    "audit",
    "checks",
    "law_of",
    "standard",
]
