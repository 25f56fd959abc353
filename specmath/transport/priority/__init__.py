"""Graded priority: optimal selection for every draft law whose selection marginals can be computed."""

from specmath.transport.priority.build import Built, Priority, build

__all__ = ["Built", "Priority", "build"]
