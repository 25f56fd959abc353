"""Two machines, one text: logits of processor and CUDA device have one hash, and so have the texts themselves."""

from __future__ import annotations

import hashlib
import random

import pytest

from proofs_tests.equivalence.cases import Case, at_random
from proofs_tests.equivalence.conftest import CUDA
from proofs_tests.equivalence.ladder import bare, deciding
from proofs_tests.equivalence.runs import World, together
from reference import decode, pair


def hashed(case: Case, device: str) -> str:
    """Of every logit that decided a token, decoded in a batch."""
    run, digest = together(World(case, device)), hashlib.sha256()
    for rounds, states in zip(run.rounds, run.targets, strict=True):
        for found in deciding(rounds, states):
            for row in found:
                digest.update(row.cpu().numpy().tobytes())
    return digest.hexdigest()


def test_the_hash_sees_one_bit() -> None:
    """Texts that differ by a seed have other hashes; the same text decoded twice has one."""
    case = at_random(random.Random(0))
    assert hashed(case, "cpu") == hashed(case, "cpu")
    assert hashed(case, "cpu") != hashed(at_random(random.Random(1)), "cpu")


@pytest.mark.parametrize("other", [CUDA])
@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_logits_have_one_hash_on_both(arithmetic: str, other: str) -> None:
    for seed in range(6):
        case = at_random(random.Random(seed), arithmetic)
        assert hashed(case, "cpu") == hashed(case, other)


@pytest.mark.parametrize("other", [CUDA])
@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_the_pair_writes_one_text_on_both(arithmetic: str, other: str) -> None:
    texts = []
    for device in ("cpu", other):
        models = pair.load(arithmetic=arithmetic, device=device)
        options = decode.Options(max_tokens=60, seed=3, temperature=0.8, top_p=0.9)
        texts.append(bare(decode.chain(models.target, models.draft, pair.encode("import "), options=options).rounds))
    assert texts[0] == texts[1]
