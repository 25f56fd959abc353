"""Adapters: implementations that others have published, made ready for the audit.

Nothing foreign is shipped: an adapter imports what the user has installed, or what a path points to.
"""

from specmath.oracle.adapters.registry import Adapter, Missing, Whole, adapters, audit_adapter

__all__ = ["Adapter", "Missing", "Whole", "adapters", "audit_adapter"]
