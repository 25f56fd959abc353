"""Order-independent logits are those of the stock model: within 1e-3 of transformers on the same weights."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from proofs_tests.equivalence import networks
from proofs_tests.equivalence.cases import Case, Text, at_random
from proofs_tests.equivalence.ladder import deciding
from proofs_tests.equivalence.runs import Run, World, alone, together
from proofs_tests.equivalence.scripted import Node
from reference.decode import Options
from reference.models.llama import Llama

CLOSE = 1e-3


def stock_of(network: Llama) -> torch.nn.Module:
    """The weights in transformers' own Llama."""
    transformers = pytest.importorskip("transformers")
    values = {k: v for k, v in network.config.as_json().items() if k not in ("architectures", "model_type", "dtype")}
    made = transformers.LlamaForCausalLM(transformers.LlamaConfig(**values)).eval()
    weights = network.state_dict()
    made.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    return made


def farthest(stock: torch.nn.Module, world: World, run: Run) -> tuple[float, int]:
    """Largest difference to the stock model's logits at the places that decided tokens, and how many there were."""
    far, count = 0.0, 0
    for text, rounds, states in zip(world.case.texts, run.rounds, run.targets, strict=True):
        own = [*text.prompt, *(token for one in rounds for token in one.emitted)]
        with torch.no_grad():
            expected = stock(torch.tensor([own])).logits[0, len(text.prompt) - 1 :].double()
        for one, found in zip(rounds, deciding(rounds, states), strict=True):
            for place, row in enumerate(found, one.position - len(text.prompt)):
                far, count = max(far, float((row.cpu().double() - expected[place]).abs().max())), count + 1
    return far, count


@pytest.mark.parametrize("name", ["full", "ties", "wide", "broad"])
def test_logits_are_near_the_stock_model(name: str, device: str) -> None:
    stock = stock_of(networks.network(networks.SHAPES[name]))
    script = (tuple(Node(up, up != 1, up) for up in (0, 0, 1, 0, 2, 3)),)
    texts = tuple(Text((place, 2), Options(max_tokens=12, seed=place), script) for place in range(3))
    world = World(Case(name, "exact64", texts), device)
    for run in (alone(world), together(world)):
        far, count = farthest(stock, world, run)
        assert far < CLOSE
        assert count == 36


def test_another_model_is_not_near() -> None:
    """The control: weights rounded to eight bits, which is a model of its own, and a planted shift of positions."""
    case = at_random(random.Random(1), "int8")
    world = World(case)
    stock = stock_of(networks.network(networks.SHAPES[case.network]))
    assert farthest(stock, world, alone(world))[0] > CLOSE


def test_the_shipped_pair(device: str) -> None:
    from reference import decode, pair

    transformers = pytest.importorskip("transformers")
    models = pair.load(device=device)
    prompt = pair.encode("def add(a, b):\n")
    text = [*prompt, *decode.chain(models.target, models.draft, prompt, options=Options(max_tokens=24)).tokens]
    for model, part in ((models.target, "target"), (models.draft, "draft")):
        folder = Path(pair.HOME) / part
        stock = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            expected = stock(torch.tensor([text])).logits[0].double()
        assert (model.start().extend(text).cpu() - expected).abs().max() < CLOSE
