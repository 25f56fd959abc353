"""What a stopping policy is shown, and what it must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from specmath.exact.explorer import Number
from specmath.stopping.process import State


@dataclass(frozen=True)
class View:
    """A round while it is drafted.

    Attributes
    ----------
    drafted : how many tokens are drafted in this round; 0 before the first.
    survival : P(all tokens whose acceptance is known are kept), in [0, 1]; a product of acceptances. None if no one
        knows acceptances, as in a decoder without an estimate of them.
    unseen : how many of the last drafted tokens are not in ``survival`` yet (the observation lag); 0 without lag.
    latent : the process's state behind the last token whose acceptance is known; None if it cannot be seen.
    confidence : the draft's probability of the last drafted token; None before the first, or if not known.
    entropy : entropy in nats of the law that token was drawn from; None likewise.
    """

    drafted: int
    survival: Number | None = 1
    unseen: int = 0
    latent: State = None
    confidence: Number | None = None
    entropy: float | None = None


class Policy(Protocol):
    """Decides before each drafted token whether to draft it.

    Decisions look at what lies above the next token, never at the token itself, so every rule for chains stays
    lossless. A policy without memory is frozen. One with memory changes in `observe` only, unless `sequential` is
    True: then `decide` takes notes too and must be asked in the order of one round; such a policy can be simulated,
    not enumerated.
    """

    @property
    def sequential(self) -> bool: ...

    def decide(self, state: View) -> bool:
        """True: draft one more token."""
        ...

    def observe(self, drafted: int, accepted: int) -> None:
        """What became of a round."""
        ...

    def memory(self) -> Any:
        """JSON values from which `restore` continues; None for a policy that remembers nothing."""
        ...

    def restore(self, memory: Any) -> Policy:
        """A policy as at the beginning of a text (memory None), or as where `memory` was taken."""
        ...


def check_policy(policy: Any) -> Policy:
    """The policy itself; ValueError unless it has what `Policy` asks for."""
    missing = [name for name in ("decide", "observe", "memory", "restore", "sequential") if not hasattr(policy, name)]
    if missing or isinstance(policy, type):
        raise ValueError(f"policy is {policy!r}; allowed are policies, such as Fixed(4): an object with decide(view)")
    return policy


def needed(policy: str, value: Any, name: str) -> Any:
    """The value; ValueError that says that this policy needs what the view does not have."""
    if value is None:
        raise ValueError(
            f"state has no {name}, which policy {policy!r} needs; allowed are processes, and decoders, that know it"
        )
    if value != value:
        raise ValueError(f"state: {name} is nan, which policy {policy!r} cannot judge; allowed are numbers")
    return value
