"""When to stop drafting: acceptance processes, the decision process of a round, its exact solution, policies.

>>> from specmath.stopping import Constant, Costs, Fixed, evaluate, solve
>>> costs = Costs(draft=0.05)
>>> round(solve(Constant(0.8), costs).speedup, 4), round(evaluate(Fixed(8), Constant(0.8), costs).speedup, 4)
(3.092, 3.092)
"""

from specmath.stopping.costs import Costs
from specmath.stopping.estimate import estimate
from specmath.stopping.evaluate import Evaluation, evaluate
from specmath.stopping.policies import (
    AdaEdl,
    Bandit,
    Confidence,
    Entropy,
    Fixed,
    Heuristic,
    Hindsight,
    LookAhead,
    OnlineConfidence,
    Optimal,
    PolicyKind,
    Survival,
    Svip,
    Table,
    get,
    names,
)
from specmath.stopping.process import Process, Token
from specmath.stopping.processes import (
    Constant,
    Markov,
    Observable,
    Position,
    RandomEffect,
    Replay,
    Rounded,
    Tables,
    TwoRegime,
    blind,
)
from specmath.stopping.search import best_fixed, best_look_ahead, best_survival
from specmath.stopping.solve import Solution, solve
from specmath.stopping.thresholds import SufficientCondition, renewal_threshold, sufficient_condition
from specmath.stopping.view import Policy, View

__all__ = [
    "AdaEdl",
    "Bandit",
    "Confidence",
    "Constant",
    "Costs",
    "Entropy",
    "Evaluation",
    "Fixed",
    "Heuristic",
    "Hindsight",
    "LookAhead",
    "Markov",
    "Observable",
    "OnlineConfidence",
    "Optimal",
    "Policy",
    "PolicyKind",
    "Position",
    "Process",
    "RandomEffect",
    "Replay",
    "Rounded",
    "Solution",
    "SufficientCondition",
    "Survival",
    "Svip",
    "Table",
    "Tables",
    "Token",
    "TwoRegime",
    "View",
    "best_fixed",
    "best_look_ahead",
    "best_survival",
    "blind",
    "estimate",
    "evaluate",
    "get",
    "names",
    "renewal_threshold",
    "solve",
    "sufficient_condition",
]
