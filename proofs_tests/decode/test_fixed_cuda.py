"""Fixed shapes on a CUDA device: the CPU's texts, with graphs and without, and no round waits for the host."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from proofs_tests.decode.fixed_cases import Case, differences, mixed, planted
from proofs_tests.decode.test_fixed_capture import CASES, COMMIT
from reference import decode, drafters, pair
from reference.decode import Options, Request
from reference.decode.fixed import PERSISTENT, FixedRounds, Script, fixed, run
from reference.decode.fixed_graph import Captured
from reference.drafters import branching, chain_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is visible to torch"),
]

THERE = [replace(case, device="cuda") for case in (*CASES, *mixed()) if case.arithmetic != "native"]


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("case", THERE)
def test_texts_of_the_cpu(case: Case, graphs: bool) -> None:
    assert not differences(case, fixed(**case.arguments, graphs=graphs))


@pytest.mark.parametrize("case", THERE)
def test_no_round_waits_for_the_host(case: Case) -> None:
    """torch raises an error where the host would wait for the device."""
    rounds = FixedRounds(**case.arguments)
    rounds.round(rounds.size)  # libraries set themselves up
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            rounds.round(rounds.size)
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize("defect", ["kept + 0 * int(kept.max())", "kept + torch.tensor([0]).to(kept.device)"])
def test_waiting_is_caught(defect: str) -> None:
    """Both ways of looking, and a capture that meets one fails too."""
    case = replace(CASES[0], device="cuda")
    rounds = planted(COMMIT, COMMIT.replace("kept)", defect + ")")).FixedRounds(**case.arguments)
    rounds.round(rounds.size)
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchroniz"):
            rounds.round(rounds.size)
    finally:
        torch.cuda.set_sync_debug_mode(before)


def test_graphs_are_few_and_begin_again() -> None:
    """One graph for each number of slots; texts begun again on them are the same, in the same memory."""
    models = pair.load(device="cuda")
    prompts, options = [pair.encode("def f(x):"), [0]], [Options(max_tokens=150, seed=i) for i in range(2)]
    rounds = FixedRounds(models.target, prompts, options=options, draft=models.draft, tree=chain_of(3))
    where = {name: getattr(rounds, name).data_ptr() for name in PERSISTENT}
    begin, captured = rounds.saved(), Captured(rounds)
    first = run(rounds, captured)
    rounds.restore(begin)
    assert run(rounds, captured) == first
    assert 1 < len(captured.ends) <= 3
    assert where == {name: getattr(rounds, name).data_ptr() for name in PERSISTENT}
    assert [text.tokens for text in fixed(models.target, prompts, options=options)] == [text.tokens for text in first]


def test_a_script_changes_its_agreement_between_replays() -> None:
    models = pair.load(device="cuda")
    prompt, options = pair.encode("def f(x):"), [Options(max_tokens=40, seed=1)]
    (plain,) = fixed(models.target, [prompt], options=options)
    script = Script(torch.tensor([[*prompt, *plain.tokens]]), 1.0)
    rounds = FixedRounds(models.target, [prompt], options=options, draft=models.draft, tree=chain_of(3), script=script)
    begin, captured = rounds.saved(), Captured(rounds)
    for agreement, expected in ((1.0, 10), (0.0, 40)):
        rounds.restore(begin)
        rounds.agree(agreement)
        (text,) = run(rounds, captured)
        assert (text.tokens, text.rounds) == (plain.tokens, expected)


@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_shipped_pair_decodes_as_on_the_cpu(arithmetic: str, temperature: float) -> None:
    """Every decoder on the device gives the tokens and log-probabilities of plain decoding on the CPU."""
    here, there = pair.load(arithmetic=arithmetic), pair.load(arithmetic=arithmetic, device="cuda")
    prompts = [pair.encode(text) for text in ("The ", "def area(width):", "")]
    options = [Options(max_tokens=32, seed=i, temperature=temperature) for i in range(3)]
    rows = list(zip(prompts, options, strict=True))
    expected = [decode.autoregressive(here.target, prompt, options=own) for prompt, own in rows]
    shapes = (None, drafters.chain(there.draft, 3), drafters.tree(there.draft, (2, 2, 1)), drafters.lookup())
    for drafter in shapes:
        requests = [Request(prompt=prompt, options=own, drafter=drafter) for prompt, own in rows]
        for found, truth in zip(decode.batched(there.target, requests, rows=3), expected, strict=True):
            assert isinstance(found, decode.Decoded)
            assert (found.tokens, found.logprobs) == (truth.tokens, truth.logprobs)
    for tree in (None, chain_of(3), branching((2, 2, 1))):
        draft = None if tree is None else there.draft
        texts = fixed(there.target, prompts, options=options, draft=draft, tree=tree)
        assert [text.tokens for text in texts] == [truth.tokens for truth in expected]
