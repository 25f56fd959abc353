"""What speculative decoding keeps in memory, and the largest tree that fits."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from specmath.arrays import check_count
from specmath.speed.check import cost, whole


@dataclass(frozen=True)
class Memory:
    """Bytes, part by part.

    Attributes
    ----------
    target_weights, draft_weights : of the two models.
    target_cache, draft_cache : keys and values of the texts, and of the tree or chain on trial.
    logits : the target's rows for the nodes of the tree and the text's last token.
    draft_laws : the draft's rows that rejection needs, one for each node drafted from.
    mask : the tree's attention mask.
    workspace : what the caller adds.
    """

    target_weights: float
    draft_weights: float
    target_cache: float
    draft_cache: float
    logits: float
    draft_laws: float
    mask: float
    workspace: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return sum(asdict(self).values())


@dataclass(frozen=True)
class Setting:
    """What memory depends on beside the tree.

    Attributes
    ----------
    target_weights, draft_weights : bytes of the models.
    target_cache, draft_cache : bytes of keys and values per token: 2 * layers * kv_heads * head_dim * bytes.
    vocabulary : tokens.
    requests, context : texts decoded together, and tokens in each.
    logit_bytes, law_bytes, mask_bytes : of one entry of the target's rows, of the draft's rows and of the mask.
    workspace : bytes for activations and everything else.
    """

    target_weights: float
    draft_weights: float
    target_cache: float
    draft_cache: float
    vocabulary: int
    requests: int = 1
    context: int = 0
    logit_bytes: float = 4
    law_bytes: float = 4
    mask_bytes: float = 1
    workspace: float = 0

    def __post_init__(self) -> None:
        for name in asdict(self):
            cost(name, getattr(self, name))
        for name in ("vocabulary", "context"):
            whole(name, getattr(self, name))
        check_count("requests", self.requests)


def memory(setting: Setting, nodes: int, *, draft_rows: int | None = None) -> Memory:
    """Bytes needed to verify ``nodes`` drafted tokens per text at once.

    weights + B (S + N + 1) target_cache + B (S + N) draft_cache + B (N + 1) V logit_bytes + B rows V law_bytes
    + B (N + 1) (S + N + 1) mask_bytes, for B texts of S tokens.

    ``draft_rows``: rows of the draft that are kept (default ``nodes``; 0 for greedy or coupled drafts). A lower bound:
    what allocators lose is not in it.

    Source: docs/theory/speed.md; yildirim2025specmemo asks the same question.

    >>> small = Setting(16e9, 1e9, 131_072, 32_768, vocabulary=128_256, context=4_096)
    >>> memory(small, 64).logits / 2**20, memory(small, 64).draft_laws / 2**20
    (31.8017578125, 31.3125)
    """
    nodes = whole("nodes", nodes)
    rows = nodes if draft_rows is None else whole("draft_rows", draft_rows)
    texts, read = setting.requests, nodes + 1
    return Memory(
        setting.target_weights,
        setting.draft_weights,
        texts * (setting.context + read) * setting.target_cache,
        texts * (setting.context + nodes) * setting.draft_cache,
        texts * read * setting.vocabulary * setting.logit_bytes,
        texts * rows * setting.vocabulary * setting.law_bytes,
        texts * read * (setting.context + read) * setting.mask_bytes,
        setting.workspace,
    )


def largest_tree(setting: Setting, budget: float, *, keep_laws: bool = True) -> int:
    """The largest number of nodes whose `memory` fits in ``budget`` bytes: bisection, memory never falls in it.

    Raises ValueError if not even plain decoding (no node) fits, or if nothing grows with the nodes.

    >>> largest_tree(Setting(16e9, 1e9, 131_072, 32_768, vocabulary=128_256, context=4_096), 24e9)
    5276
    """
    budget = cost("budget", budget)

    def fits(nodes: int) -> bool:
        return memory(setting, nodes, draft_rows=None if keep_laws else 0).total <= budget

    if not fits(0):
        raise ValueError(
            f"budget is {budget:g} bytes; allowed is at least {memory(setting, 0).total:g}, without a tree"
        )
    high = 1
    while fits(high):
        high *= 2
        if high > 2**40:
            raise ValueError("setting: nothing in it grows with the tree; allowed are bytes per token above zero")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
