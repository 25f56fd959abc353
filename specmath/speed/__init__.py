"""What a round costs and what speed-up follows: chains, measured costs, rooflines, batches, stacks, overlap, memory.

>>> from specmath import speed
>>> plan = speed.best_draft_length(0.8, 0.05)
>>> plan.draft_length, round(plan.speedup, 2)
(8, 3.09)
>>> curve = speed.survival.by_position([0.75, 0.68, 0.66, 0.65])
>>> speed.plan_chain(curve, draft_step=0.1, verify=speed.Line(0.9, 0.1)).draft_length
3
"""

from specmath.speed import survival
from specmath.speed.chain import (
    ChainPlan,
    best_draft_length,
    expected_tokens,
    limit_length,
    operations,
    plan_chain,
    speedup,
)
from specmath.speed.costs import Curve, Device, Experts, Forward, Line, Model, line_through, roofline, verify_law
from specmath.speed.hierarchy import Cascade, best_cascade, cascade, cascade_in_blocks
from specmath.speed.measure import Measured, from_samples, measure
from specmath.speed.memory import Memory, Setting, largest_tree, memory
from specmath.speed.parallel import Parallel, ahead, dsi, fan_out, overlapped, pearl
from specmath.speed.serving import Allocation, allocate, goodput

__all__ = [
    "Allocation",
    "Cascade",
    "ChainPlan",
    "Curve",
    "Device",
    "Experts",
    "Forward",
    "Line",
    "Measured",
    "Memory",
    "Model",
    "Parallel",
    "Setting",
    "ahead",
    "allocate",
    "best_cascade",
    "best_draft_length",
    "cascade",
    "cascade_in_blocks",
    "dsi",
    "expected_tokens",
    "fan_out",
    "from_samples",
    "goodput",
    "largest_tree",
    "limit_length",
    "line_through",
    "measure",
    "memory",
    "operations",
    "overlapped",
    "pearl",
    "plan_chain",
    "roofline",
    "speedup",
    "survival",
    "verify_law",
]
