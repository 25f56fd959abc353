"""Dumps of (target, draft) laws along decoded texts, as `specmath acceptance` reads them."""

from reference.record.laws import Along, laws_along, spaced
from reference.record.store import Recording, open_recording

__all__ = ["Along", "Recording", "laws_along", "open_recording", "spaced"]
