"""Audits of anybody's verifier: the exact law of unmodified code, and a verdict.

>>> from specmath import oracle
>>> def verify(target, draft, tokens, generator):
...     token = tokens[0]
...     return token if generator.random() < target[token] / draft[token] else generator.choice(len(target), p=target)
>>> oracle.audit(verify, kind="node", n=1, arrays="numpy").status
'biased'
"""

from specmath.oracle import golden
from specmath.oracle.audit import Lossy, audit
from specmath.oracle.checks import checks
from specmath.oracle.draws import UnsupportedRandomness
from specmath.oracle.generate.audit import audit_generate
from specmath.oracle.instance import Instance, standard
from specmath.oracle.logs.checks import check_counts, check_rounds
from specmath.oracle.logs.excess import above_optimum
from specmath.oracle.logs.replay import replay_greedy
from specmath.oracle.logs.reported import check_metrics
from specmath.oracle.run import law_of
from specmath.oracle.sampled.audit import audit_sampled
from specmath.oracle.sampled.fallback import audit_or_sample
from specmath.oracle.sampled.generate import audit_generate_sampled
from specmath.oracle.sampled.sequential import samples_needed, sequential_test
from specmath.oracle.verdict import CheckResult, Verdict

__all__ = [
    "CheckResult",
    "Instance",
    "Lossy",
    "UnsupportedRandomness",
    "Verdict",
    "above_optimum",
    "audit",
    "audit_generate",
    "audit_generate_sampled",
    "audit_or_sample",
    "audit_sampled",
    "check_counts",
    "check_metrics",
    "check_rounds",
    "checks",
    "golden",
    "law_of",
    "replay_greedy",
    "samples_needed",
    "sequential_test",
    "standard",
]
