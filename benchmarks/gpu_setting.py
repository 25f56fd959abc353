"""What every section of ``make gpu`` is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """Where a section runs, at which sizes, and until when (`time.monotonic`) it should come to an end by itself."""

    device: str
    tiny: bool
    until: float

    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()


Section = Callable[[Setting], Iterator[tuple[str, Any]]]
"""Yields names and values (JSON) as they are measured."""
