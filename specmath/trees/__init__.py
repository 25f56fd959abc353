"""Which draft tree to build: the heaviest paths, the best tree by rank, and the size that pays.

>>> from specmath import trees
>>> table = trees.by_rank([0.63, 0.11, 0.06], 8, depth=5)
>>> best = trees.choose_size(table.values, verify=lambda tokens: 10 + 0.6 * tokens, draft=lambda depth: 0.3 * depth)
>>> best.nodes, best.depth, table.tree(best.nodes, best.depth).parents
(5, 4, (-1, -1, 0, 2, 3))
"""

from specmath.trees.brute import brute_force, every_tree
from specmath.trees.choose import TreeChoice, choose_size, weight_table
from specmath.trees.curve import AcceptanceCurve, acceptance_curve
from specmath.trees.heaviest import Grown, by_depth, grow, heaviest
from specmath.trees.ranked import TreeTable, by_rank, by_shares, expected_tokens
from specmath.trees.tree import DraftTree

__all__ = [
    "AcceptanceCurve",
    "DraftTree",
    "Grown",
    "TreeChoice",
    "TreeTable",
    "acceptance_curve",
    "brute_force",
    "by_depth",
    "by_rank",
    "by_shares",
    "choose_size",
    "every_tree",
    "expected_tokens",
    "grow",
    "heaviest",
    "weight_table",
]
