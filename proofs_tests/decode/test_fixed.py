"""The fixed-shape decoder against `decode.stream`: the same tokens in as many rounds, for any rows and any tree."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from proofs_tests.decode.fixed_cases import Case, cases, differences, mixed, planted
from proofs_tests.equivalence import networks
from reference import decode, pair
from reference.cache import slots as slots_module
from reference.decode import Options
from reference.decode import fixed as module
from reference.decode import fixed_script as script_module
from reference.decode import fixed_tree as tree_module
from reference.decode.fixed import FixedRounds, Script, fixed
from reference.drafters import Tree, branching, chain_of
from reference.models.tiny import TinyModel


@pytest.mark.parametrize(
    ("arithmetic", "examples"),
    [("exact64", 20), ("int8", 8), *(pytest.param(name, 600, marks=pytest.mark.slow) for name in ("exact64", "int8"))],
)
def test_rows_are_what_they_are_alone(arithmetic: str, examples: int) -> None:
    seen = dict.fromkeys(("stop", "context", "accepted", "rejected", "greedy", "one token", "no draft"), 0)

    @settings(max_examples=examples)
    @given(case=cases(arithmetic))
    def check(case: Case) -> None:
        texts = fixed(**case.arguments, every=case.every)
        assert not differences(case, texts)
        for text, (prompt, options) in zip(texts, case.rows, strict=True):
            seen["stop"] += text.tokens[-1] in options.stop
            seen["context"] += len(prompt) + len(text.tokens) == case.target.context_length
            seen["accepted"] += text.accepted > 0
            seen["rejected"] += bool(case.draft) and text.rounds > -(-len(text.tokens) // (1 + case.depth))
            seen["greedy"] += options.temperature == 0
            seen["one token"] += len(prompt) == 1
            seen["no draft"] += case.draft is None

    check()
    assert min(seen.values()) > 1, f"the examples do not show everything: {seen}"


def test_the_shipped_pair() -> None:
    models = pair.load()
    prompts = [pair.encode(text) for text in ("The ", "def area(width):", "")]
    options = [Options(max_tokens=12, seed=i, temperature=float(i > 0)) for i in range(3)]
    rows = zip(prompts, options, strict=True)
    plain = [decode.autoregressive(models.target, prompt, options=own).tokens for prompt, own in rows]
    for tree in (chain_of(3), branching((2, 1))):
        texts = fixed(models.target, prompts, options=options, draft=models.draft, tree=tree)
        assert [text.tokens for text in texts] == plain
        assert sum(text.rounds for text in texts) < 0.8 * 3 * 12, "the pair's draft is right more often than that"


@pytest.mark.parametrize("sampled", [False, True])
def test_a_draft_that_is_the_target_is_always_right(sampled: bool) -> None:
    """So every round but the last emits all of a path and one token more; a draft that missed a token could not."""
    rows = tuple(((i, 1)[: 1 + i % 2], Options(max_tokens=18, temperature=float(sampled), seed=i)) for i in range(3))
    for parents in ((-1,), (-1, 0, 1, 2), (-1, -1, 0, 0, 2)):
        texts = fixed(**Case("full", "exact64", "self", parents, rows).arguments)
        depth = Tree(parents).depth
        assert [text.rounds for text in texts] == [-(-18 // (depth + 1))] * 3


@pytest.mark.parametrize("agreement", [0.0, 0.6, 1.0])
def test_scripts_agree_as_often_as_they_say(agreement: float) -> None:
    """Text unchanged; the mean of a round within 5 standard deviations, outside of which chance leads with less than
    1e-6. Scripts of the next place, or that agree with the other coins, are outside (below)."""
    assert not off_script(module, agreement)


def test_scripts_of_the_wrong_place_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "self._script.at(self.lengths + depth)"
    assert off_script(planted(place, place.replace("depth", "depth + 1")), 0.6)
    other = planted("self._coins < agreement", "self._coins > agreement", script_module)
    monkeypatch.setattr(module, "ScriptedTokens", other.ScriptedTokens)
    assert off_script(module, 0.6)


@functools.cache
def scripted_rows() -> tuple[Any, list[tuple[int, ...]]]:
    """Rows of equal length, and their texts."""
    rows = tuple(((i % 5, 1), Options(max_tokens=60, seed=i)) for i in range(8))
    return rows, [text.tokens for text in fixed(**Case("long", "exact64", None, (), rows).arguments)]


def off_script(module: ModuleType, agreement: float, depth: int = 3) -> str:
    """What is wrong with texts drafted by a script, in one word."""
    rows, plain = scripted_rows()
    arguments = Case("long", "exact64", "draft", tuple(range(-1, depth - 1)), rows).arguments
    truth = torch.tensor([[*row[0], *tokens] for row, tokens in zip(rows, plain, strict=True)])
    texts = module.fixed(**arguments, script=module.Script(truth, agreement))
    if [text.tokens for text in texts] != plain:
        return "tokens"
    # A round accepts k of L with probability a^k (1 - a), all with a^L, and emits one token more; last ones may be cut.
    rounds, emitted = sum(text.rounds for text in texts), sum(len(text.tokens) for text in texts)
    mean = sum(agreement**i for i in range(depth + 1))
    spread = sum((2 * i + 1) * agreement ** (i + 1) for i in range(depth)) - (mean - 1) ** 2
    return "" if abs(emitted - rounds * mean) <= 5 * (spread * rounds) ** 0.5 + depth * len(rows) else "accepted"


HERE, SHAPE = (lambda old, new: (module, old, new)), (lambda old, new: (tree_module, old, new))
COMPACT, LAYOUT = "slots.compact(self._rows, before, path)", "self.lengths - 1, self.tree.depths + 1, self.tree.seen"
ENDS, WORDS = "(kept + 1, self._ends - self.lengths)", "low, high, request = self._words\n        places"
DEFECTS: dict[str, tuple[ModuleType, str, str]] = {
    "noise of the next place": HERE("places = (self.lengths[:, None] +", "places = (self.lengths[:, None] + 1 +"),
    "noise of one depth for the whole tree": HERE("noise, self.tree.depths).argmax", "noise, slice(0, 1)).argmax"),
    "draft takes the noise of the first depth": HERE("noise, slice(depth, depth + 1)", "noise, slice(0, 1)"),
    "draft misses the last but one token": HERE("torch.tensor([-2, -1]", "torch.tensor([-1, -1]"),
    "draft sees the nodes beside it": SHAPE("seen[1:, 1:][inside][None].", "(seen[1:, 1:][inside] | True)[None]."),
    "target sees the nodes beside it": HERE(LAYOUT, LAYOUT + " | True"),
    "position is the slot": HERE(
        LAYOUT, LAYOUT.replace("depths + 1", "depths.new_tensor(range(self.tree.nodes + 1)) + 1")
    ),
    "nothing is compacted": HERE(COMPACT, "pass"),
    "compaction one slot late": HERE(COMPACT, COMPACT.replace("before", "before + 1")),
    "compaction from the new end": HERE(COMPACT, COMPACT.replace("before", "self.lengths")),
    "only the target is compacted": HERE("for slots in self._slots:\n", "for slots in self._slots[:1]:\n"),
    "finished rows go on": HERE("self.live &= ~stops.any(dim=1) & (self", "self.live &= (self"),
    "a stop token inside a path is passed over": HERE("(steps < left) & (before == 0)", "(steps < left)"),
    "tokens beyond the end": HERE(ENDS, "(kept + 1, self.size - self.lengths - 1)"),
    "the last token of another node": HERE("chosen.gather(1, last[:, None])", "chosen[:, :1]"),
    "nodes below a wrong parent are kept": SHAPE("fits[:, level] &= fits[:, before]", "pass"),
    "full paths are cut": SHAPE("length += found", "length += found & (depth < self.depth - 1)"),
    "the second candidate is the first": SHAPE("scores.scatter_(-1, found[-1][..., None], -torch.inf)", "pass"),
    "rows share a seed": HERE(WORDS, WORDS.replace("_words", "_words[:, :1]")),
    "temperature of another row": HERE(") / self._heat\n", ") / self._heat.flip(0)\n"),
}
"""Name: where, the source as it stands, what it is replaced by."""


@pytest.mark.parametrize("name", DEFECTS)
def test_defects_are_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, old, new = DEFECTS[name]
    defect = planted(old, new, where)
    if where is module:
        decoder = defect.fixed
    else:
        monkeypatch.setattr(module, "FixedTree", defect.FixedTree)
        decoder = fixed
    assert any(wrong(decoder, case) for case in mixed()), f"no case shows: {name}"


def test_the_cases_of_the_defects_are_right_without_them() -> None:
    assert not [found for case in mixed() for found in differences(case, fixed(**case.arguments))]


def test_skipped_moves_of_slots_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module.Slots, "compact", lambda *_: None)
    assert any(wrong(fixed, case) for case in mixed())


def wrong(decoder: Any, case: Case) -> bool:
    """Whether a defect shows, in other texts or in an error."""
    try:
        return bool(differences(case, decoder(**case.arguments)))
    except (IndexError, RuntimeError):
        return True


def arguments(**changes: Any) -> dict[str, Any]:
    case = Case("full", "exact64", "draft", (-1, 0), (((1, 2), Options(max_tokens=4)), ((3,), Options(max_tokens=4))))
    return {**case.arguments, **changes}


SHORT = TinyModel(networks.network(networks.SHAPES["full"]._replace(context=12)), spare=40)
OTHER = networks.model("draft", "ties", "exact64")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": [], "options": []}, "options: 0 for 0 prompts; allowed is one each, and at least one"),
        ({"options": [Options()]}, "options: 1 for 2 prompts"),
        ({"prompts": [[1], []]}, r"prompts\[1\]: prompt is empty"),
        ({"prompts": [[1], [99]]}, r"prompts\[1\]: prompt\[0\] is 99; allowed are token ids from 0 to 22"),
        ({"prompts": [[1] * 40, [1]]}, r"prompts\[0\]: prompt has 40 tokens; allowed are up to 39"),
        ({"options": [Options(), Options(top_k=3)]}, r"options\[1\]: top_k, top_p and rejection are not offered"),
        ({"options": [Options(top_p=0.5), Options()]}, r"options\[0\]: top_k, top_p"),
        ({"options": [Options(randomness="rejection"), Options()]}, r"options\[0\]: top_k, top_p and rejection"),
        ({"options": [Options(stop=frozenset({23})), Options()]}, r"prompts\[0\]: stop\[0\] is 23"),
        ({"tree": None}, "tree: given without a draft, or the other way round"),
        ({"draft": None}, "tree: given without a draft, or the other way round"),
        ({"draft": OTHER}, "target has 23 tokens and draft 16"),
        ({"draft": SHORT, "options": [Options(max_tokens=30)] * 2}, "draft: its context of 12 is shorter than a text"),
        ({"tree": Tree((-1,) * 80)}, "tree: 87 slots are needed; the model was prepared for 80"),
        ({"tree": Tree((-1, -1)), "script": Script(torch.ones(2, 9), 0.5)}, "script: given without a chain"),
        ({"script": Script(torch.ones(3, 9).long(), 0.5)}, r"script: truth has shape \(3, 9\); allowed is \(2, S\)"),
        ({"script": Script(torch.ones(2, 9).long(), 1.5)}, "agreement is 1.5; allowed are numbers from 0 to 1"),
        ({"every": 0}, "every is 0; allowed are whole numbers >= 1"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fixed(**arguments(**changes))


def test_agreement_without_a_script() -> None:
    with pytest.raises(ValueError, match="agreement: these rounds have no script"):
        FixedRounds(**arguments()).agree(0.5)


def test_devices_and_graphs_that_are_not_there() -> None:
    from proofs_tests.decode.fixed_replay import on_meta

    with pytest.raises(ValueError, match="draft: it lies on meta and the target on cpu; both must be on one device"):
        FixedRounds(**arguments(draft=on_meta(networks.model("draft", "full", "exact64"))))
    with pytest.raises(ValueError, match="graphs: there is no CUDA device under these models; allowed is False"):
        fixed(**arguments(), graphs=True)
