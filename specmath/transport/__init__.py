"""Optimal transport behind multi-draft verification: the optimum, its cut, and ground truth for small problems."""

from specmath.transport.flow import max_flow
from specmath.transport.plan import Plan, drafted_sets
from specmath.transport.program import cvxpy_model, linear_program
from specmath.transport.value import Optimum, optimum

__all__ = ["Optimum", "Plan", "cvxpy_model", "drafted_sets", "linear_program", "max_flow", "optimum"]
