"""specmath: speculative decoding, computed.

>>> import numpy as np, specmath
>>> target, draft = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
>>> specmath.optimum(target, draft, n=2).cut
array([False,  True,  True])
"""

from specmath import arrays, draft_laws, exact, relax, rules, transport
from specmath.arrays import check_law
from specmath.logits import law_from_logits
from specmath.rules import Acceptance, acceptance
from specmath.transport import Coupling, Optimum, coupling, optimum

__version__ = "0.1.0"

__all__ = [
    "Acceptance",
    "Coupling",
    "Optimum",
    "__version__",
    "acceptance",
    "arrays",
    "check_law",
    "coupling",
    "draft_laws",
    "exact",
    "law_from_logits",
    "optimum",
    "relax",
    "rules",
    "transport",
]
