"""The judge itself: short, without anything of the decoders, and right where its answers are known otherwise."""

from __future__ import annotations

import ast
import inspect
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from proofs_tests.equivalence import judge, networks
from proofs_tests.equivalence.judge import Asked, Fresh, judged, noise, philox4x32, weights
from reference.gumbel import gumbel
from reference.random import Stream, uniforms
from specmath.logits import law_from_logits

PLAIN = Asked(1.0, None, None, 0, 0, frozenset(), 6, 99)


def test_the_loop_is_short_and_the_file_imports_nothing_of_ours() -> None:
    lines = inspect.getsource(judged).splitlines()
    assert len(lines) <= 20 + 1, "twenty lines and the docstring"
    tree = ast.parse(Path(inspect.getfile(judge)).read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    roots = {str(module).split(".")[0] for module in modules}
    assert roots == {"__future__", "collections", "functools", "math", "torch", "typing"}


def test_known_answers_of_philox() -> None:
    """Those that Random123 publishes."""
    full = 2**32 - 1
    assert philox4x32((0, 0, 0, 0), (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox4x32((full, full, full, full), (full, full)) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 17, 2**64 - 1])
def test_noise_is_the_documented_one(seed: int) -> None:
    for position in (1, 7, 900):
        own = [noise(PLAIN._replace(seed=seed, request=3), position, token) for token in range(9)]
        assert np.abs(own - gumbel(uniforms(seed, 3, position, Stream.COUPLED, 9))).max() < 1e-14


@pytest.mark.parametrize("options", [(1.0, None, None), (0.7, 3, None), (1.3, None, 0.6), (0.5, 4, 0.7), (0.0, 2, 0.5)])
def test_laws_are_the_documented_ones(options: tuple[float, int | None, float | None]) -> None:
    temperature, top_k, top_p = options
    generator = np.random.default_rng(0)
    for _ in range(200):
        values = generator.normal(size=9).round(1)  # rounded: ties are frequent
        own = weights(values.tolist(), PLAIN._replace(temperature=temperature, top_k=top_k, top_p=top_p))
        assert np.abs(own - law_from_logits(values, temperature=temperature, top_k=top_k, top_p=top_p)).max() < 1e-12


def test_stop_rules_and_ties() -> None:
    def flat(text: object) -> torch.Tensor:
        return torch.tensor([1.0, 3.0, 3.0, 2.0])

    greedy = PLAIN._replace(temperature=0.0)
    assert judged(flat, [0], greedy)[::3] == ((1,) * 6, "length"), "of equal logits the lower token"
    assert judged(flat, [0], greedy._replace(stop=frozenset({1})))[::3] == ((1,), "stop")
    assert judged(flat, [0, 2], greedy._replace(context=4))[::3] == ((1, 1), "context")
    assert judged(flat, [0, 2], greedy._replace(context=8))[::3] == ((1,) * 6, "length")


@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_a_fresh_run_knows_no_future(arithmetic: str) -> None:
    """Reading a text as a whole or only its beginning gives the same bits at each place; and texts do differ."""
    fresh = Fresh(networks.model("target", "full", arithmetic).prepared)
    text = [3, 0, 7, 7, 1, 22, 5]
    logits, keys, values = fresh.whole(text)
    assert logits.std(dim=0).max() > 0.1, "the logits depend on the text"
    for end in range(1, len(text)):
        some, its_keys, its_values = fresh.whole(text[:end])
        assert torch.equal(some, logits[:end])
        assert torch.equal(its_keys, keys[:, :, :end])
        assert torch.equal(its_values, values[:, :, :end])


def test_the_likeliest_token_is_not_always_drawn() -> None:
    """Noise matters: at temperature 1 the judge's texts differ by seed, at temperature 0 they do not."""
    fresh = Fresh(networks.model("target", "full", "exact64").prepared)
    texts = {seed: judged(fresh, [1, 2], PLAIN._replace(seed=seed)).tokens for seed in range(5)}
    assert len(set(texts.values())) == 5
    greedy = {judged(fresh, [1, 2], PLAIN._replace(seed=seed, temperature=0.0)).tokens for seed in range(5)}
    assert len(greedy) == 1
    assert math.isclose(sum(weights([0.1, 0.5, -2.0], PLAIN)), 1.0)
