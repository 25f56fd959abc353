"""Acceptance processes, one idea per file."""

from specmath.stopping.processes.effect import RandomEffect
from specmath.stopping.processes.iid import Constant, Observable
from specmath.stopping.processes.markov import Markov
from specmath.stopping.processes.position import Position, TwoRegime, blind
from specmath.stopping.processes.replay import Replay
from specmath.stopping.processes.rounded import Rounded
from specmath.stopping.processes.tables import Tables

__all__ = [
    "Constant",
    "Markov",
    "Observable",
    "Position",
    "RandomEffect",
    "Replay",
    "Rounded",
    "Tables",
    "TwoRegime",
    "blind",
]
