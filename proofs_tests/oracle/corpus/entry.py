"""One row of the corpus's table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """A verifier, how it is called, and, if it is wrong, the class of its mistake and the check that must see it.

    ``kind`` is node, chain, tree, batch or generate, or log for a trace of rounds; ``drafts`` how its candidates are
    drawn; ``dtype`` of the laws it is handed. ``seen`` names public threads that state the same kind of mistake; "read"
    where it rests on reading the source. Neither was reproduced for this table.
    """

    module: str  # below this folder, as in "defects.tree"
    function: str
    kind: str
    arrays: str = "torch"
    drafts: str = "iid"
    defect: str = ""  # C1 to C12; "" if correct
    check: str = ""
    seen: str = ""
    dtype: str = ""
    stop: int | None = None

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.function}" + ("" if self.defect else f" ({self.module.split('.')[-1]})")

    @property
    def file(self) -> Path:
        return FOLDER / (self.module.replace(".", "/") + ".py")

    @property
    def path(self) -> str:
        """What an audit is given: file:function."""
        return f"{self.file}:{self.function}"

    def load(self) -> Callable[..., Any]:
        return getattr(import_module(f"{__package__}.{self.module}"), self.function)

    @property
    def purpose(self) -> str:
        """The function's own line: what it does, or what is wrong with it."""
        return " ".join((self.load().__doc__ or "").split())
