"""Optimal transport behind multi-draft verification: the optimum, its cut, and ground truth for small problems."""

from specmath.transport.bounds import Bound, upper_bound
from specmath.transport.certificate import lower_bound
from specmath.transport.coupling import Coupling, coupling
from specmath.transport.flow import max_flow
from specmath.transport.gradient import acceptance_loss, differentiable_optimum
from specmath.transport.independent import independent_law
from specmath.transport.joint import JointOptimum, joint_optimum
from specmath.transport.plan import Plan, drafted_sets
from specmath.transport.program import cvxpy_dual, cvxpy_model, linear_program
from specmath.transport.value import Optimum, optimum

__all__ = [
    "Bound",
    "Coupling",
    "JointOptimum",
    "Optimum",
    "Plan",
    "acceptance_loss",
    "coupling",
    "cvxpy_dual",
    "cvxpy_model",
    "differentiable_optimum",
    "drafted_sets",
    "independent_law",
    "joint_optimum",
    "linear_program",
    "lower_bound",
    "max_flow",
    "optimum",
    "upper_bound",
]
