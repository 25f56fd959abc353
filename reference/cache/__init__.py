"""Keys and values of several texts, each in a row of its own: static slots, trees on trial, compaction in place.

Nothing here knows a network. `Rows` is a `reference.models.protocol.Cache` for any network given as a `Forward`.
"""

from reference.cache.layout import FREE, Layout, Piece, group, lay_out, tree_layout
from reference.cache.rows import Forward, Rows, RowState
from reference.cache.slots import Places, RowIndex, Slots

__all__ = [
    "FREE",
    "Forward",
    "Layout",
    "Piece",
    "Places",
    "RowIndex",
    "RowState",
    "Rows",
    "Slots",
    "group",
    "lay_out",
    "tree_layout",
]
