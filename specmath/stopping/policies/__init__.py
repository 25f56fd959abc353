"""Stopping policies, one idea per file; by name: `specmath.stopping.names`, `specmath.stopping.get`."""

from specmath.stopping.policies.adaedl import AdaEdl
from specmath.stopping.policies.bandit import Bandit
from specmath.stopping.policies.draft import Confidence, Entropy, Svip
from specmath.stopping.policies.fixed import Fixed
from specmath.stopping.policies.heuristic import Heuristic
from specmath.stopping.policies.hindsight import Hindsight
from specmath.stopping.policies.look_ahead import LookAhead
from specmath.stopping.policies.online import OnlineConfidence
from specmath.stopping.policies.optimal import Optimal
from specmath.stopping.policies.policy import PolicyKind
from specmath.stopping.policies.registry import get, names
from specmath.stopping.policies.survival import Survival
from specmath.stopping.policies.table import Table

__all__ = [
    "AdaEdl",
    "Bandit",
    "Confidence",
    "Entropy",
    "Fixed",
    "Heuristic",
    "Hindsight",
    "LookAhead",
    "OnlineConfidence",
    "Optimal",
    "PolicyKind",
    "Survival",
    "Svip",
    "Table",
    "get",
    "names",
]
