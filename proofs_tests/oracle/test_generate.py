"""Audits of whole generate calls: verdicts, named checks, causes, progress, and the command."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch

from specmath import oracle
from specmath.cli import main
from specmath.oracle.generate import causes as generate_causes
from specmath.oracle.generate import checks as generate_checks
from specmath.oracle.prompted import Model, text_law
from specmath.oracle.reach import Held, reachable

# ruff: noqa: NPY002 (the global generator is what such code uses)

Text = tuple[int, ...]
TARGET = np.array([[4, 3, 1], [1, 0, 7], [2, 2, 4]]) / 8
DRAFT = np.array([[1, 3, 4], [3, 5, 0], [2, 4, 2]]) / 8


def target(text: Text) -> np.ndarray:
    return TARGET[(sum(text) + len(text)) % 3]


def draft(text: Text) -> np.ndarray:
    return DRAFT[(2 * text[-1] + len(text)) % 3]


def assisted(wrong: str = "", draft_length: int = 1, stop: int | None = None) -> Callable[[Text, int], list[int]]:
    """A lossless decoder by rounds; ``wrong`` names one mistake."""

    def generate(prompt: Text, n_tokens: int) -> list[int]:
        text, end = list(prompt), len(prompt) + n_tokens
        if wrong == "seeds":
            np.random.seed(1)
        if wrong == "impossible" and np.random.random() < 1 / 1024:
            return [1] * n_tokens
        while len(text) < end:
            count = min(draft_length, end - len(text) - 1)
            drafted: list[int] = []
            laws = []
            for _ in range(count):
                laws.append(draft(tuple(text + drafted)))
                drawn = np.argmax(laws[-1]) if wrong == "argmax" else np.random.choice(3, p=laws[-1])
                drafted.append(int(drawn))
            emitted: list[int] = []
            for law, token in zip(laws, drafted, strict=True):
                own = target(tuple(text + emitted))
                coin = np.random.random()
                if coin <= own[token] / law[token] if wrong == "equality" else coin < own[token] / law[token]:
                    emitted.append(token)
                    continue
                left = own if wrong == "residual" else np.maximum(own - law, 0)
                emitted.append(int(np.random.choice(3, p=left / left.sum())))
                break
            else:
                emitted.append(int(np.random.choice(3, p=target(tuple(text + emitted)))))
            if stop in emitted and wrong != "stop":
                return [*text, *emitted[: emitted.index(stop) + 1]][len(prompt) :]
            text += emitted
        return text if wrong == "prompt" else text[len(prompt) : end - (wrong == "short")]

    return generate


def audited(generate: Any, **options: Any) -> oracle.Verdict:
    known = {"prompts": ((0, 1),), "length": 3, "arrays": "numpy"}
    return oracle.audit_generate(generate, options.pop("target", target), **{**known, **options})


def failed(found: oracle.Verdict) -> set[str]:
    return {check.name for check in found.checks if not check.passed}


def test_text_law() -> None:
    """Against a product of matrices: an independent way to the same numbers."""
    one = text_law(lambda text: tuple(TARGET[text[-1]]), (0,), 3, None)
    last = np.zeros(3)
    for text, probability in one.items():
        last[text[-1]] += probability
    assert np.allclose(last, np.linalg.matrix_power(TARGET, 3)[0], atol=1e-15)
    stopped = text_law(lambda text: tuple(TARGET[text[-1]]), (0,), 3, 1)
    assert abs(sum(stopped.values()) - 1) < 1e-15
    assert all(1 not in text[:-1] for text in stopped)


@pytest.mark.parametrize("draft_length", [1, 2])
@pytest.mark.parametrize("stop", [None, 2])
def test_lossless(draft_length: int, stop: int | None) -> None:
    found = audited(assisted(draft_length=draft_length, stop=stop), stop=stop, draft=draft, prompts=((0, 1), (2,)))
    assert found.status == "lossless", str(found)
    assert found.instance is None
    assert found.instances == 6  # two prompts, one to three tokens
    assert ("nothing_after_stop" in {check.name for check in found.checks}) == (stop is not None)


@pytest.mark.parametrize(
    ("wrong", "status", "check"),
    [
        ("argmax", "biased", "exact_law"),
        ("residual", "biased", "exact_law"),
        ("equality", "unsafe", "unsafe_zero"),
        ("stop", "biased", "nothing_after_stop"),
        ("short", "failed", "count_range"),
        ("prompt", "failed", "count_range"),
        ("impossible", "biased", "zero_probability"),
        ("seeds", "unsafe", "draft_stream"),
    ],
)
def test_named_check(wrong: str, status: str, check: str) -> None:
    stop = 2 if wrong == "stop" else None
    found = audited(assisted(wrong, stop=stop), stop=stop, prompts=((0,),))
    assert found.status == status, str(found)
    assert check in failed(found)
    assert found.instance is not None
    assert found.replay is not None
    again = found.replay()
    assert (again.status, again.instance) == (status, found.instance)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ("argmax", "drafts are the draft's argmax, and the test divides by its soft law, 1 drafted per round"),
        ("residual", "residual taken from the target, 1 drafted per round"),
    ],
)
def test_cause(wrong: str, name: str) -> None:
    found = audited(assisted(wrong), draft=draft)
    assert f"matches: {name}" in found.cause
    assert "the law first departs at new token 1" in found.cause
    assert "matches" not in audited(assisted(wrong)).cause  # nothing to compare with


def test_callers_have_laws_of_their_own() -> None:
    """The right caller has the target's law in every way of ending a text, and no mistake has it everywhere."""
    found = audited(assisted("residual"), minimise=False)
    assert found.instance is not None
    expected = text_law(Model("target", target, "float64"), (0, 1), 3, None)
    shown = generate_causes.Found(found.instance, {})  # type: ignore[arg-type]
    own = [Model(name, law, "float64") for name, law in (("target", target), ("draft", draft))]
    for way in generate_causes.WAYS:
        law = generate_causes._law(generate_causes.Caller("", generate_causes.RIGHT), shown, *own, 1, way)
        assert law is not None
        assert law.total_variation(expected) < 1e-12
    for caller in generate_causes.CALLERS:
        law = generate_causes._law(caller, shown, *own, 2, "overshoots", 20_000)
        assert law is None or law.total_variation(expected) > 1e-3, caller.name


def test_departure() -> None:
    """A decoder whose third token is wrong after one text only."""

    def generate(prompt: Text, n_tokens: int) -> list[int]:
        text = list(prompt)
        for _ in range(n_tokens):
            law = TARGET[0] if tuple(text[2:]) == (0, 2) else target(tuple(text))
            text.append(int(np.random.choice(3, p=law)))
        return text[len(prompt) :]

    found = audited(generate)
    assert found.status == "biased"
    assert "first departs at new token 3, after 0 2: token 2 has 0.125, the target 0.875" in found.cause


def test_smallest_first() -> None:
    """Shortest texts first, then shortest prompts; without minimise, the longest alone."""
    found = audited(assisted("argmax"), prompts=((1, 1, 0), (0, 1)))
    assert found.instance is not None
    assert (found.instance.length, found.instance.prompts) == (2, ((0, 1),))  # one token has no drafts
    whole = audited(assisted("argmax"), minimise=False)
    assert whole.instance is not None
    assert whole.instance.length == 3


def test_declared() -> None:
    """A decoder that is lossless for a mixture, in rounds whose bonus is the target's."""

    def mixed(text: Text) -> np.ndarray:
        return 0.75 * target(text) + 0.25 * draft(text)

    def generate(prompt: Text, n_tokens: int) -> list[int]:
        text, end = list(prompt), len(prompt) + n_tokens
        while len(text) < end:
            if end - len(text) > 1:
                own, law = mixed(tuple(text)), draft(tuple(text))
                token = int(np.random.choice(3, p=law))
                if np.random.random() >= own[token] / law[token]:
                    left = np.maximum(own - law, 0)
                    text.append(int(np.random.choice(3, p=left / left.sum())))
                    continue
                text.append(token)
            text.append(int(np.random.choice(3, p=target(tuple(text)))))
        return text[len(prompt) :]

    mode = oracle.Lossy("a quarter of the draft", lambda p, q: [0.75 * a + 0.25 * b for a, b in zip(p, q, strict=True)])
    found = audited(generate, draft=draft, declared=mode, length=2)
    assert found.status == "lossy-as-declared", str(found)
    assert found.total_variation > 0.05
    assert "in rounds of 1 drafted tokens" in found.cause
    assert audited(assisted("residual"), draft=draft, declared=mode, length=2).status == "biased"
    everywhere = audited(functools.partial(ancestral, mixed), draft=draft, declared=mode, length=2)
    assert "at every token" in everywhere.cause


def ancestral(law: Callable[[Text], Any], prompt: Text, n_tokens: int) -> list[int]:
    text = list(prompt)
    for _ in range(n_tokens):
        text.append(int(np.random.choice(3, p=law(tuple(text)))))
    return text[len(prompt) :]


def rows(prompts: tuple[Text, ...], n_tokens: int, wrong: str = "") -> list[list[int]]:
    """A batch, left-padded with token 0; ``wrong`` reads the padding, or draws with one uniform for all rows."""
    texts = [list(prompt) for prompt in prompts]
    longest = max(map(len, prompts))
    for _ in range(n_tokens):
        shared = np.random.random()
        for prompt, text in zip(prompts, texts, strict=True):
            padding = [0] * (longest - len(prompt)) if wrong == "padding" else []
            coin = shared if wrong == "shared" else np.random.random()
            text.append(int(np.searchsorted(np.cumsum(target(tuple(padding + text)))[:-1], coin, side="right")))
    return [text[len(prompt) :] for prompt, text in zip(prompts, texts, strict=True)]


@pytest.mark.parametrize(("wrong", "check"), [("", None), ("shared", "batch_mates"), ("padding", "batch_padding")])
def test_together(wrong: str, check: str | None) -> None:
    found = audited(
        lambda prompt, n_tokens: rows((prompt,), n_tokens)[0],
        together=functools.partial(rows, wrong=wrong),
        length=2,
    )
    assert {"batch_mates", "batch_padding"} & {one.name for one in found.checks}
    assert failed(found) - {"zero_probability"} == ({check} if check else set()), str(found)
    assert found.status == ("biased" if check else "lossless")
    if check:
        assert found.instance is not None
        assert len(found.instance.prompts) == 2


class Net(torch.nn.Module):
    """A model of logits by the last token, with a setting that a call may change, as generate methods do."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75]])), requires_grad=False)
        self.generation_config = type("Config", (), {})()
        self.generation_config.draft_length = 1

    def forward(self, token: int) -> torch.Tensor:
        return self.logits[token].softmax(-1)


def by_net(net: Net, wrong: str = "") -> Callable[[Text, int], Any]:
    guessed = torch.tensor([0.5, 0.5])

    def generate(prompt: Text, n_tokens: int) -> torch.Tensor:
        text = torch.tensor(prompt)
        while len(text) < len(prompt) + n_tokens:
            law = net(int(text[-1]))
            token = torch.multinomial(guessed, 1)
            for _ in range(net.generation_config.draft_length - 1):
                torch.rand(()) < 0.5  # noqa: B015 (a decision that changes the number of paths)
            if torch.rand(()) >= law[token] / guessed[token]:
                token = torch.multinomial((law - guessed).clamp(min=0), 1)
            text = torch.cat([text, token])
        if wrong == "setting":
            net.generation_config.draft_length += 1
        if wrong == "weight":
            net.logits[0, 0] += 0.0 if net.logits[0, 0] > 0 else 1e-12
            net.logits[1, 0].fill_(net.logits[1, 0] - 1e-7)
        return text[len(prompt) :]

    return generate


@pytest.mark.parametrize("grad", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_torch(grad: Any) -> None:
    net = Net()
    with grad():
        found = oracle.audit_generate(grad()(by_net(net)), lambda text: net(text[-1]), length=2)
    assert (found.status, found.arrays, found.dtype) == ("lossless", "torch", "float32"), str(found)
    assert {"inputs_not_mutated", "no_memory"} <= {check.name for check in found.checks}


def test_settings_that_stay_are_named_and_put_back() -> None:
    net = Net()
    found = oracle.audit_generate(by_net(net, "setting"), lambda text: net(text[-1]), length=2)
    assert (found.status, failed(found)) == ("unsafe", {"no_memory"}), str(found)
    (check,) = (one for one in found.checks if not one.passed)
    assert "Config.draft_length was 2, and 3 after a call" in check.message  # 2: one call came before, to warm up
    assert found.total_variation < 1e-6


def test_weights_are_left_alone() -> None:
    net = Net()
    found = oracle.audit_generate(by_net(net, "weight"), lambda text: [0.5, 0.5], length=1)
    assert "inputs_not_mutated" in failed(found)


def test_memory_elsewhere_is_undecided() -> None:
    """Code whose draws depend on the calls before is no function of its random numbers."""
    calls: list[int] = []

    def generate(prompt: Text, n_tokens: int) -> list[int]:
        calls.append(len(calls))
        np.random.choice(2, p=[1 / len(calls), 1 - 1 / len(calls)])
        return ancestral(target, prompt, n_tokens)

    found = audited(generate)
    assert (found.status, failed(found)) == ("undecided", {"same_seed"})
    assert "a call depends on those before it" in found.cause


def test_entropy_that_is_not_followed() -> None:
    def generate(prompt: Text, n_tokens: int) -> list[int]:
        return [os.urandom(1)[0] % 3 for _ in range(n_tokens)]

    found = audited(generate, length=16, minimise=False, target=lambda text: [1.0, 0.0, 0.0])
    # Three runs give one text of 3^16 with probability below 1e-14.
    assert (found.status, failed(found)) == ("undecided", {"same_seed"})


def test_budget_says_how_far() -> None:
    found = audited(assisted(draft_length=2), budget=40)
    assert (found.status, found.evidence) == ("undecided", "none")
    for part in ("more than budget=40 runs", "3 new tokens", "of the probability", "lower length"):
        assert part in found.cause
    assert 40 < found.runs <= 80


def test_raises_and_shapes() -> None:
    def sometimes(prompt: Text, n_tokens: int) -> list[int]:
        if np.random.random() < 0.25:
            raise KeyError("cache")
        return ancestral(target, prompt, n_tokens)

    found = audited(sometimes, length=1)
    assert (found.status, failed(found)) == ("failed", {"returns", "exact_law"})
    assert "KeyError: 'cache', probability 0.25" in str(found)
    assert "shape" in failed(audited(lambda prompt, n_tokens: "text", length=1))
    assert "support" in failed(audited(lambda prompt, n_tokens: [3], length=1))
    padded = audited(lambda prompt, n_tokens: np.array([[*ancestral(target, prompt, n_tokens), -1]]), length=2)
    assert padded.status == "lossless"


def test_progress() -> None:
    told: list[tuple[int, int]] = []
    audited(assisted(), progress=lambda done, todo: told.append((done, todo)))
    done = [one for one, _ in told]
    assert done == sorted(done)
    assert told[-1] == (3000, 3000)
    assert len(told) > 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length is 0"),
        ({"budget": 0}, "budget is 0"),
        ({"prompts": ()}, "prompts is empty"),
        ({"prompts": (1, 2)}, "prompts is \\(1, 2\\); allowed are tuples of tokens"),
        ({"prompts": ((0, 5),)}, "."),
        ({"stop": 3}, "stop: token \\(3,\\); allowed are 0 to 2"),
        ({"arrays": "tensorflow"}, "arrays is 'tensorflow'"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"target": None}, "target is NoneType"),
        ({"target": lambda text: [0.5, 0.4]}, "target\\(\\(0, 1\\)\\) sums to 0.9"),
        ({"target": lambda text: [[1.0]]}, "has shape \\(1, 1\\)"),
        ({"target": lambda text: torch.tensor([0.5, 0.5], dtype=torch.bfloat16)}, "is bfloat16"),
        ({"declared": oracle.Lossy("x", lambda p, q: p)}, "draft is missing"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        audited(assisted(), **options)


def test_audit_says_where_to_go() -> None:
    with pytest.raises(ValueError, match="audit_generate"):
        oracle.audit(assisted(), kind="generate")


def test_reachable() -> None:
    """Closures, defaults, partials, methods and globals that the code names; not what it only could reach."""
    net, hidden = Net(), Net()

    class Engine:
        def __init__(self) -> None:
            self.model = net

        def generate(self, prompt: Text, n_tokens: int) -> list[int]:
            return []

    for function in (by_net(net), Engine().generate, functools.partial(lambda m, p, n: [], net)):
        assert Held(function).modules == [net]
    assert not Held(assisted()).modules
    assert not any(one is hidden for one in reachable(by_net(net)))


def test_every_check_can_fail() -> None:
    """Each named check has its planted defect in this file."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{name}"' in source for name in generate_checks.STATEMENTS)


# The command.

CODE = """
import sys
import warnings

import numpy as np

LAW = [[0.5, 0.5], [0.25, 0.75]]


def target(text):
    return LAW[text[-1]]


def draft(text):
    return [0.5, 0.5]


def generate(prompt, n_tokens):
    print("noise")
    print("more noise", file=sys.stderr)
    warnings.warn("and more")
    text = list(prompt)
    for _ in range(n_tokens):
        text.append(np.random.choice(2, p=target(text)))
    return text[len(prompt):]


def drafted(prompt, n_tokens):
    return [int(np.random.choice(2)) for _ in range(n_tokens)]
"""
SCHEMA = json.loads(files("specmath").joinpath("schemas/audit.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "engine.py"
    path.write_text(CODE)
    return path


def test_command(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--kind", "generate", "--prompt", "0,1", "--length", "2", "--draft", "draft"]
    assert main(["audit", f"{file}:generate", *words]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("lossless: generate (generate, numpy float64, drafts its own)")
    assert "noise" not in out + err
    assert "and more" not in err
    assert main(["audit", f"{file}:drafted", *words, "--json"]) == 1
    document = json.loads(capfd.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["instance"]["prompts"] == [[0, 1]]
    assert document["status"] == "biased"
    for broken in ({**document["instance"], "stop": -1}, {**document["instance"], "extra": 0}):
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid({**document, "instance": broken})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kind", "generate", "--target", "nothing"], "has no 'nothing'; it has draft, drafted, generate, target"),
        (["--kind", "generate", "--prompt", "a"], "--prompt is 'a'; allowed are whole numbers"),
        (["--kind", "generate", "--length", "0"], "--length is 0"),
        (["--kind", "generate", "--stop", "2"], "stop: token (2,); allowed are 0 to 1"),
        (["--kind", "generate", "--drafts", "iid"], "--drafts is not for --kind generate"),
        (["--stop", "1"], "--stop is for --kind generate"),
    ],
)
def test_usage(words: list[str], message: str, file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", f"{file}:generate", *words]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert err.count("\n") == 1
