"""Coupled decoding of many texts with fixed shapes: a round is one sequence of tensor operations, nothing else.

The algorithm of `decode.loop` with a static tree, written without a look at any value: all rows draft the same tree,
are verified together, and how far each got is a tensor. So a round can be captured as a CUDA graph, and the host need
not wait for one before it asks for the next. The price: every row pays for the whole tree, finished or not, and rounds
leave no trace.

What a round may do, for a capture to be right: change the tensors of `PERSISTENT` and the slots in place, and nothing
else that the next round reads; take nothing from the host but constants; make its shapes from shapes and ``end`` alone.

Shapes: B rows, N nodes of the tree, D its depth, V vocabulary, S slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reference.cache import Slots, tree_layout
from reference.cache.layout import visible_slots
from reference.decode.fixed_graph import Captured, Replay
from reference.decode.fixed_script import Script, ScriptedTokens
from reference.decode.fixed_tree import FixedTree
from reference.decode.options import Options, check_count, check_request
from reference.drafters.protocol import check_vocabulary
from reference.drafters.shapes import Tree
from reference.gumbel import gumbel
from reference.models.tiny import TinyModel
from reference.random import MASK, Stream, fractions, philox

PERSISTENT = ("tokens", "lengths", "rounds", "accepted", "live", "failed")
"""Tensors of `FixedRounds` that rounds change, beside the slots. They stay where they are in memory."""

BUCKET = 64
"""Slots that are looked at grow in such steps, so that few graphs are captured."""


LAWLESS = "target: logits hold NaN or +inf, or are masked (-inf) completely; no law follows from them"


@dataclass(frozen=True)
class FixedText:
    """Emitted tokens of one text, its rounds, how many of the emitted tokens were drafted, and why it failed, if so."""

    tokens: tuple[int, ...]
    rounds: int
    accepted: int
    error: str | None = None


class FixedRounds:
    """B texts as tensors; `round` advances all of them by one round.

    ``options`` are those of each row. Raises ValueError for top-k, top-p and rejection, which are not offered here, for
    requests that `decode.stream` would refuse, and for a draft on another device or with a shorter context than the
    longest text.
    """

    def __init__(
        self,
        target: TinyModel,
        prompts: Sequence[Sequence[int]],
        *,
        options: Sequence[Options],
        draft: TinyModel | None = None,
        tree: Tree | None = None,
        script: Script | None = None,
    ) -> None:
        _check(target, prompts, options, draft, tree, script)
        ends = [min(len(p) + own.max_tokens, target.context_length) for p, own in zip(prompts, options, strict=True)]
        self.prompts, self.longest = [len(prompt) for prompt in prompts], max(ends)
        device = target.prepared.embedding.device
        self._target, self._draft = target, draft
        self.tree = FixedTree(tree, device)
        self.size = self.longest + self.tree.nodes + 1  # slots of a row
        models = [model for model in (target, draft) if model is not None]
        _check_sizes(models, self.longest, self.size)
        self._slots = [model.prepared.slots(len(prompts), self.size) for model in models]

        padded = [[*prompt, *[0] * (self.size - len(prompt))] for prompt in prompts]
        self.tokens = torch.tensor(padded, device=device)  # (B, S)
        self.lengths = torch.tensor(self.prompts, device=device)  # (B,), as all that follow
        self.rounds, self.accepted = torch.zeros_like(self.lengths), torch.zeros_like(self.lengths)
        self.live = torch.ones_like(self.lengths, dtype=torch.bool)
        self.failed = torch.zeros_like(self.live)
        self._ends = torch.tensor(ends, device=device)
        stops = torch.zeros(len(prompts), target.vocabulary_size, dtype=torch.bool)
        for row, own in enumerate(options):
            stops[row, sorted(own.stop)] = True
        self._stops = stops.to(device)
        self._rows = torch.arange(len(prompts), device=device)
        words = [[own.seed & MASK, own.seed >> 32, own.request] for own in options]
        self._words = torch.tensor(words, device=device).t()[..., None, None]  # (3, B, 1, 1)
        heat = torch.tensor([own.temperature for own in options], dtype=torch.float64)[:, None, None]
        self._sampled = bool((heat > 0).any())
        self._greedy, self._heat = (heat == 0).to(device), torch.where(heat == 0, 1.0, heat).to(device)
        self._blocks = torch.arange(-(-target.vocabulary_size // 2), device=device)
        self._two = torch.tensor([-2, -1], device=device)
        self._script = None if script is None else ScriptedTokens(script.truth.to(device), self._words)
        if script is not None:
            self.agree(script.agreement)
        for model, slots in zip(models, self._slots, strict=True):
            for row, prompt in enumerate(prompts):
                self._read_prompt(model, slots, row, len(prompt) - 1)

    def agree(self, agreement: float) -> None:
        """From now on drafted tokens agree with that probability; ValueError without a script, or outside [0, 1]."""
        if self._script is None:
            raise ValueError("agreement: these rounds have no script")
        self._script.agree(agreement, self._target.vocabulary_size)

    def saved(self) -> dict[str, Tensor]:
        """Copies of the tensors of `PERSISTENT`, from which `restore` takes the texts back to where they are now."""
        return {name: getattr(self, name).clone() for name in PERSISTENT}

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Go back. What slots hold of the text that stays does not change, and the rest is written again."""
        for name, value in saved.items():
            getattr(self, name).copy_(value)

    @torch.no_grad()
    def _read_prompt(self, model: TinyModel, slots: Slots, row: int, count: int) -> None:
        """All of a prompt but its last token, which the first round reads."""
        if count:
            device = self.tokens.device
            visible = torch.ones(count, count, dtype=torch.bool, device=device).tril_()
            tokens, positions = self.tokens[row : row + 1, :count], torch.arange(count, device=device)
            model.prepared(tokens, slots, positions, slice(0, count), count, visible, slice(row, row + 1))

    @torch.no_grad()
    def round(self, end: int) -> None:
        """One round of all rows; ``end`` slots are looked at, more than the longest text and the tree take."""
        noise = self._noise(Stream.COUPLED, self._blocks)  # (B, D + 1, V)
        drafted = self._draft_tree(noise, end)  # (B, N)

        # one target call: the text's last token, and the tree below it
        tree = torch.cat([self._last(1), drafted], dim=1)
        positions, places, visible = tree_layout(self.lengths - 1, self.tree.depths + 1, self.tree.seen, end)
        logits = self._read(self._target, self._slots[0], tree, positions, places, visible, end)  # (B, N + 1, V)
        chosen = self._scores(logits, noise, self.tree.depths).argmax(dim=-1)  # (B, N + 1), of equal ones the lowest

        # keep the path on which every node is what the target chose above it, then one choice more
        path, kept, last = self.tree.keep(drafted, chosen)
        self._fail(logits, path, kept)
        emitted = torch.cat([drafted.gather(1, path), self._last(1)], dim=1)  # (B, D + 1)
        emitted = torch.where(self.tree.steps == kept[:, None], chosen.gather(1, last[:, None]), emitted)
        before = self.lengths.clone()
        self._commit(emitted, kept)
        if self.tree.nodes:
            for slots in self._slots:
                slots.compact(self._rows, before, path)

    def _draft_tree(self, noise: Tensor | None, end: int) -> Tensor:
        """Level by level the tokens to which the draft gives the highest scores, (B, N)."""
        tree = self.tree
        drafted = self._last(1).expand(-1, tree.nodes).contiguous()  # any tokens
        if self._draft is None:
            return drafted
        # The draft has not seen the last token, nor the one before it where a whole path was kept: it reads both.
        two = (self.lengths[:, None] + self._two).clamp_(min=0)
        visible = visible_slots(two + 1, self.lengths, None, end)
        logits = self._read(self._draft, self._slots[1], self._last(2), two, two, visible, end)[:, 1:]
        for depth in range(tree.depth):
            found = tree.pick(self._scores(logits, noise, slice(depth, depth + 1)), depth)  # (B, M)
            drafted[:, tree.at(depth)] = found if self._script is None else self._script.at(self.lengths + depth)
            if depth + 1 < tree.depth:
                nodes, seen, own = tree.asked(depth + 1)  # (F,), (1, F, N)
                places = self.lengths[:, None] + nodes
                visible = visible_slots(self.lengths[:, None].expand_as(places), self.lengths, seen, end)
                positions = (self.lengths[:, None] + depth).expand_as(places)
                logits = self._read(self._draft, self._slots[1], drafted[:, own], positions, places, visible, end)
        return drafted

    def _fail(self, logits: Tensor, path: Tensor, kept: Tensor) -> None:
        """Rows end where a choice came from logits without a law (NaN, +inf, all -inf); other nodes do not matter."""
        lawless = ~(logits.amax(dim=-1).abs() < torch.inf)  # (B, N + 1); NaN fails the comparison
        decided = torch.where(self.tree.steps[: self.tree.depth] < kept[:, None], path + 1, 0)  # entry 0 always did
        here = lawless[:, 0] | lawless.gather(1, decided).any(dim=1)
        self.failed |= here & self.live
        self.live &= ~here

    def _commit(self, emitted: Tensor, kept: Tensor) -> None:
        """Append up to the first stop token and the row's end; rows that are finished stay as they are."""
        steps, rows = self.tree.steps, self._rows[:, None]
        left = torch.minimum(kept + 1, self._ends - self.lengths)[:, None]
        stops = self._stops[rows, emitted] & (steps < left)  # (B, D + 1)
        before = stops.to(torch.int64).cumsum(dim=1) - stops.to(torch.int64)
        wanted = (steps < left) & (before == 0) & self.live[:, None]
        count = wanted.sum(dim=1)
        places = self.lengths[:, None] + steps
        self.tokens[rows, places] = torch.where(wanted, emitted, self.tokens[rows, places])
        self.rounds += self.live
        self.accepted += torch.minimum(kept, count)
        self.lengths += count
        self.live &= ~stops.any(dim=1) & (self.lengths < self._ends)

    def _last(self, count: int) -> Tensor:
        """The last tokens of each text, (B, count)."""
        return self.tokens.gather(1, (self.lengths[:, None] + self._two[-count:]).clamp_(min=0))

    def _read(
        self,
        model: TinyModel,
        slots: Slots,
        tokens: Tensor,
        positions: Tensor,
        places: Tensor,
        visible: Tensor,
        end: int,
    ) -> Tensor:
        positions = positions.clamp(max=model.context_length - 1)  # nodes behind a row's end are never kept
        return model.prepared(tokens, slots, positions, places, end, visible)

    def _scores(self, logits: Tensor, noise: Tensor | None, depths: Tensor | slice) -> Tensor:
        """See `reference.gumbel.scores`; (B, F, V) from logits (B, F, V), with the noise of these depths."""
        wide = logits.to(torch.float64)
        if noise is None:
            return wide
        heated = (wide - wide.amax(dim=-1, keepdim=True)) / self._heat
        return torch.where(self._greedy, wide, heated + noise[:, depths])

    def _noise(self, stream: Stream, blocks: Tensor) -> Tensor | None:
        """Gumbel noise of the next D + 1 places, (B, D + 1, V); None where no row samples."""
        if not self._sampled:
            return None
        low, high, request = self._words
        places = (self.lengths[:, None] + self.tree.steps)[..., None]
        a, b, c, d = torch.broadcast_tensors(*philox((blocks, places, int(stream), request), (low, high)))
        uniforms = torch.stack([fractions(a, b), fractions(c, d)], dim=-1).flatten(2)
        return gumbel(uniforms[..., : self._target.vocabulary_size], torch)


def _check(
    target: TinyModel,
    prompts: Sequence[Sequence[int]],
    options: Sequence[Options],
    draft: TinyModel | None,
    tree: Tree | None,
    script: Script | None,
) -> None:
    if (draft is None) != (tree is None):
        raise ValueError("tree: given without a draft, or the other way round; allowed is both or none")
    if len(options) != len(prompts) or not prompts:
        raise ValueError(f"options: {len(options)} for {len(prompts)} prompts; allowed is one each, and at least one")
    for row, (prompt, own) in enumerate(zip(prompts, options, strict=True)):
        try:
            check_request(target, prompt, own)
        except ValueError as error:
            raise ValueError(f"prompts[{row}]: {error}") from None
        if own.top_k is not None or own.top_p is not None or own.randomness == "rejection":
            raise ValueError(f"options[{row}]: top_k, top_p and rejection are not offered with fixed shapes")
    if draft is not None:
        check_vocabulary(target, draft)
        here, there = target.prepared.embedding.device, draft.prepared.embedding.device
        if here != there:
            raise ValueError(f"draft: it lies on {there} and the target on {here}; both must be on one device")
    if script is None:
        return
    if tree is None or tree.shape != "chain":
        raise ValueError("script: given without a chain; allowed is a tree that is a chain")
    if script.truth.dim() != 2 or script.truth.shape[0] != len(prompts) or not script.truth.shape[1]:
        raise ValueError(f"script: truth has shape {tuple(script.truth.shape)}; allowed is ({len(prompts)}, S), S >= 1")


def _check_sizes(models: Sequence[TinyModel], longest: int, size: int) -> None:
    """The target, and the draft if there is one, against tokens of the longest text and slots of a row."""
    for model in models:
        if size > model.prepared.context:
            raise ValueError(f"tree: {size} slots are needed; the model was prepared for {model.prepared.context}")
    if models[-1].context_length < longest:
        raise ValueError(f"draft: its context of {models[-1].context_length} is shorter than a text of {longest}")


def fixed(
    target: TinyModel,
    prompts: Sequence[Sequence[int]],
    *,
    options: Sequence[Options],
    draft: TinyModel | None = None,
    tree: Tree | None = None,
    script: Script | None = None,
    every: int | None = None,
    graphs: bool | None = None,
) -> list[FixedText]:
    """Decode all prompts side by side with coupled randomness, the same text as `decode.stream` gives.

    The host looks at the texts after ``every`` rounds (default: 4 on CUDA, where it has to wait for that, else 1).
    ``graphs``: replay each round as a CUDA graph (default: where there is CUDA). Errors as in `FixedRounds`, and
    ValueError for graphs without CUDA.

    >>> from reference import pair
    >>> models, options = pair.load(), [Options(max_tokens=6)]
    >>> plain, = fixed(models.target, [pair.encode("The ")], options=options)
    >>> drafted, = fixed(models.target, [pair.encode("The ")], options=options, draft=models.draft, tree=Tree((-1, 0)))
    >>> plain.tokens == drafted.tokens
    True
    """
    check_count("every", every, optional=True)
    rounds = FixedRounds(target, prompts, options=options, draft=draft, tree=tree, script=script)
    cuda = rounds.tokens.is_cuda
    return run(rounds, Captured(rounds) if (cuda if graphs is None else graphs) else None, every or (4 if cuda else 1))


def run(rounds: FixedRounds, captured: Replay | None = None, every: int = 4) -> list[FixedText]:
    """Rounds until all texts have ended, replayed where they are ``captured``; the texts from their prompts on."""
    bound, live = max(rounds.prompts), True  # of the longest text, which is not asked for in between
    while live:
        for _ in range(every):
            bound = min(bound + rounds.tree.depth + 1, rounds.longest)
            end = min(-(-(bound + rounds.tree.nodes + 1) // BUCKET) * BUCKET, rounds.size)
            (rounds if captured is None else captured).round(end)
        live, bound = torch.stack([rounds.live.any(), rounds.lengths.max()]).tolist()
    columns = (rounds.tokens, rounds.lengths, rounds.rounds, rounds.accepted, rounds.failed)
    found = zip(*(column.tolist() for column in columns), strict=True)
    return [
        FixedText(tuple(tokens[start:length]), count, accepted, LAWLESS if failed else None)
        for start, (tokens, length, count, accepted, failed) in zip(rounds.prompts, found, strict=True)
    ]
