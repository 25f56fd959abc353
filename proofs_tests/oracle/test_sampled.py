"""Audits by samples: right code is never called biased, wrong code is, with the power that is promised."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from specmath.cli import main
from specmath.oracle import Lossy, UnsupportedRandomness, audit, law_of, standard
from specmath.oracle.instance import Instance
from specmath.oracle.sampled.audit import audit_sampled
from specmath.oracle.sampled.fallback import audit_or_sample
from specmath.oracle.sampled.generate import audit_generate_sampled
from specmath.oracle.sampled.rounds import Drawn, Trial, sample
from specmath.oracle.sampled.sequential import found_from, samples_needed

SCHEMA = json.loads(files("specmath").joinpath("schemas/audit.schema.json").read_text(encoding="utf-8"))
SURE = 1 - 1e-9
SMALL = standard("chain", n=1)[:3]
FIRST = SMALL[:1]


def system() -> float:
    """A uniform that nothing can intercept or seed."""
    return int.from_bytes(os.urandom(6), "big") / 2**48


def numpys() -> float:
    """A uniform that the audit follows."""
    return float(np.random.random())  # noqa: NPY002


def speculative(residual: Callable[[Any, Any], Any], uniform: Callable[[], float]) -> Callable[..., Any]:
    """A verifier of chains on any uniforms; ``residual(target, draft)`` are the weights of the correction."""

    def verify(target: Any, draft: Any, tokens: Any) -> list[int]:
        for i, token in enumerate(tokens):
            if uniform() * draft[i, token] >= target[i, token]:
                return [*map(int, tokens[:i]), drawn(residual(target[i], draft[i]), uniform)]
        return [*map(int, tokens), drawn(target[-1], uniform)]

    return verify


def drawn(weights: Any, uniform: Callable[[], float]) -> int:
    edges = np.cumsum(weights)
    return int(np.searchsorted(edges, uniform() * edges[-1], side="right"))


def positive(target: Any, draft: Any) -> Any:
    return np.maximum(target - draft, 0)


right = speculative(positive, system)
wrong = speculative(lambda target, draft: target, system)


def test_right_code_is_not_biased() -> None:
    """Probability of another outcome: 1e-9 for "biased"; the sizes are enough for the rest with 0.999."""
    found = audit_sampled(right, instances=SMALL, tolerance=0.25, samples=20_000)
    assert (found.status, found.evidence, found.exit_code) == ("undecided", "sequential", 3)
    assert found.tolerance <= 0.25
    assert "no bias of" in found.cause
    assert all(result.passed for result in found.checks)
    assert found.sampled is not None
    assert found.sampled.false_alarm == 1e-9
    jsonschema.Draft202012Validator(SCHEMA).validate(found.as_json())


def test_wrong_code_is_found_with_the_promised_power() -> None:
    """The same mistake, once followed and once sampled: the exact total variation says that it must be found."""
    followed = speculative(lambda target, draft: target, numpys)
    for instance in SMALL:
        exact = audit(followed, arrays="numpy", instances=(instance,), minimise=False).total_variation
        cells, samples = instance.vocabulary**2, 4000
        if exact < found_from(cells, samples, power=SURE):
            continue
        found = audit_sampled(wrong, arrays="numpy", instances=(instance,), samples=samples, tolerance=0.01)
        assert (found.status, found.exit_code) == ("biased", 1)
        assert [result.name for result in found.checks if not result.passed] == ["sampled_law"]
        assert found.instance is instance
        assert sum(cell.actual for cell in found.cells) == pytest.approx(1)
        jsonschema.Draft202012Validator(SCHEMA).validate(found.as_json())
        break
    else:
        pytest.fail("no instance on which the promise holds")


def test_default_instances_name_the_defect() -> None:
    found = audit_sampled(wrong, arrays="numpy")
    assert found.status == "biased"
    assert found.cause in ("", "closest: residual taken from the target")
    assert found.replay is not None
    assert found.replay().instances == 1


def test_found_from_is_the_inverse_of_samples_needed() -> None:
    for cells, samples in ((4, 3000), (64, 20_000), (256, 100_000)):
        least = found_from(cells, samples, power=0.999)
        reference = dict.fromkeys(range(cells), 1 / cells)
        assert (
            samples_needed(reference, tolerance=least * 1.001).reject <= samples * 1.126 + 64
        )  # looks are an eighth apart
        assert samples_needed(reference, tolerance=least * 0.9).reject > samples


def test_few_samples_promise_little() -> None:
    found = audit_sampled(right, instances=FIRST, samples=64, tolerance=0.01)
    assert (found.status, found.runs) == ("undecided", 64)
    assert found.tolerance > 0.3


@pytest.mark.parametrize("where", ["generator", "seed", "global"])
def test_every_run_has_another_seed(where: str) -> None:
    seen: list[Any] = []

    def generated(target: Any, draft: Any, tokens: Any, generator: Any) -> list[int]:
        seen.append(generator.random())
        return [drawn(target[0], generator.random)]

    def seeded(target: Any, draft: Any, tokens: Any, seed: int) -> list[int]:
        seen.append(seed)
        return [drawn(target[0], random.Random(seed).random)]

    def globally(target: Any, draft: Any, tokens: Any) -> list[int]:
        seen.append((random.random(), numpys()))
        return [drawn(target[0], random.random)]

    function = {"generator": generated, "seed": seeded, "global": globally}[where]
    found = audit_sampled(function, arrays="numpy", instances=FIRST, samples=200)
    assert found.status == "undecided"
    assert len(set(seen)) >= 200 - 1  # but for runs that are compared under one seed


def test_one_stream_for_all_runs_is_found() -> None:
    """A stream that begins anew in every run makes the tokens a function of the drafts."""

    def verify(target: Any, draft: Any, tokens: Any) -> list[int]:
        stream = np.random.Generator(np.random.PCG64(3))
        return speculative(positive, stream.random)(target, draft, tokens)

    assert audit_sampled(verify, arrays="numpy", instances=FIRST, samples=4000).status == "biased"


def raises(target: Any, draft: Any, tokens: Any) -> Any:
    if system() < 0.5:
        raise KeyError("row")
    return tokens[:1]


def nothing(target: Any, draft: Any, tokens: Any) -> Any:
    return []


def word(target: Any, draft: Any, tokens: Any) -> Any:
    return "token"


def late(target: Any, draft: Any, tokens: Any) -> Any:
    return [-1, 0]


def beyond(target: Any, draft: Any, tokens: Any) -> Any:
    return [len(target[0])]


def last(target: Any, draft: Any, tokens: Any) -> Any:
    return [1]


def changes(target: Any, draft: Any, tokens: Any) -> Any:
    found = right(target, draft, tokens)
    draft[0, 0] = 0.0
    return found


def no_seed(target: Any, draft: Any, tokens: Any, seed: int) -> Any:
    return right(target, draft, tokens)


@pytest.mark.parametrize(
    ("function", "status", "check"),
    [
        (raises, "failed", "returns"),
        (nothing, "failed", "count_range"),
        (word, "failed", "shape"),
        (late, "failed", "padding"),
        (beyond, "biased", "support"),
        (last, "biased", "zero_probability"),
        (changes, "unsafe", "inputs_not_mutated"),
        (no_seed, "unsafe", "same_seed"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_rules_that_need_no_statistics(function: Any, status: str, check: str) -> None:
    found = audit_sampled(function, arrays="numpy", instances=SMALL[:2], samples=300)
    assert found.status == status
    assert check in [result.name for result in found.checks if not result.passed]
    assert (found.instance is not None) == (check != "same_seed")
    assert check in str(found)
    jsonschema.Draft202012Validator(SCHEMA).validate(found.as_json())


def test_rows_that_share_their_coins() -> None:
    """Each row of the batch has the right law; only the joint law of both shows the mistake."""

    def verify(target: Any, draft: Any, tokens: Any) -> list[list[int]]:
        coins = [system() for _ in range(8)]
        rows = []
        for row in range(2):
            stream = iter(coins)
            rows.append(speculative(positive, stream.__next__)(target[row], draft[row], tokens[row]))
        return rows

    def apart(target: Any, draft: Any, tokens: Any) -> list[list[int]]:
        return [right(target[row], draft[row], tokens[row]) for row in range(2)]

    instances = [one for one in standard("batch", n=1) if one.name == "three tokens"]
    assert audit_sampled(verify, kind="batch", arrays="numpy", instances=instances).status == "biased"
    assert audit_sampled(apart, kind="batch", arrays="numpy", instances=instances, tolerance=0.3).status == "undecided"


def test_declared_lossy_mode() -> None:
    mode = Lossy("the draft", lambda target, draft: draft)

    def keeps(target: Any, draft: Any, tokens: Any) -> list[int]:
        return [*map(int, tokens), drawn(target[-1], system)]

    options: Any = {"arrays": "numpy", "instances": FIRST, "samples": 3000, "tolerance": 0.3}
    assert audit_sampled(keeps, declared=mode, **options).status == "undecided"
    assert audit_sampled(right, declared=mode, **options).status == "biased"


@pytest.mark.parametrize("arrays", ["torch", "jax"])
def test_other_arrays(arrays: str) -> None:
    def verify(target: Any, draft: Any, tokens: Any) -> list[int]:
        return right(*(np.asarray(one, dtype=np.float64) for one in (target, draft)), np.asarray(tokens))

    found = audit_sampled(verify, arrays=arrays, instances=FIRST, samples=200, tolerance=0.9)
    assert (found.status, found.arrays) == ("undecided", arrays)


def test_randomness_that_is_not_intercepted_is_no_bias() -> None:
    """The exact audit of code that asks the operating system must not take one run for the law."""
    found = audit(right, arrays="numpy", instances=SMALL)
    assert (found.status, found.evidence) == ("undecided", "none")
    assert "not intercepted" in found.cause
    found = audit(no_seed, arrays="numpy", instances=SMALL)
    assert (found.status, "argument seed" in found.cause) == ("undecided", True)


def test_fallback() -> None:
    followed = speculative(positive, numpys)
    options: Any = {"arrays": "numpy", "instances": FIRST, "samples": 2000, "tolerance": 0.5}
    assert audit_or_sample(followed, **options).evidence == "exact"
    assert audit_or_sample(right, **options).evidence == "sequential"
    assert audit_or_sample(wrong, **{**options, "instances": SMALL, "tolerance": 0.05}).status == "biased"


@pytest.mark.parametrize(("name", "value"), [("samples", 0), ("tolerance", 0.0), ("tolerance", 1.0), ("kind", "path")])
def test_wrong_options(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}.* is"):
        audit_sampled(right, **{name: value})


def test_false_alarms_are_divided_among_trials() -> None:
    """Of two trials with the evidence of one false alarm between 1 and 2 times the level, neither is refuted."""
    fair = {((0,),): 0.5, ((1,),): 0.5}
    trials = [Trial(name, fair, lambda seed, uniform: Drawn(((int(uniform() < 0.5),),))) for name in "ab"]
    found, told = sample(trials, samples=500, tolerance=0.5, false_alarm=0.5)
    assert told.samples == 500
    assert [one.samples for one in found] == [64, 64]  # both stop at the first look within such a tolerance


def target(text: tuple[int, ...]) -> list[float]:
    return [0.5, 0.25, 0.25] if text[-1] else [0.125, 0.5, 0.375]


def generator_of(law: Callable[[tuple[int, ...]], Any], stop: int | None = None) -> Callable[..., list[int]]:
    def generate(prompt: Any, n_tokens: int) -> list[int]:
        text = list(prompt)
        while len(text) < len(prompt) + n_tokens and (len(text) == len(prompt) or text[-1] != stop):
            text.append(drawn(law(tuple(text)), system))
        return text[len(prompt) :]

    return generate


@pytest.mark.parametrize("stop", [None, 2])
def test_generate(stop: int | None) -> None:
    options: Any = {"prompts": ((0,), (1,)), "length": 2, "stop": stop, "tolerance": 0.3}
    found = audit_generate_sampled(generator_of(target, stop), target, **options)
    assert (found.status, found.kind, found.instances) == ("undecided", "generate", 2)
    found = audit_generate_sampled(generator_of(lambda text: target((1,)), stop), target, **options)
    assert found.status == "biased"
    assert "prompt 0" in str(found)
    jsonschema.Draft202012Validator(SCHEMA).validate(found.as_json())


@pytest.mark.parametrize(
    ("generate", "status", "check"),
    [
        (lambda prompt, n: [0, 2, 1], "biased", "nothing_after_stop"),
        (lambda prompt, n: [0], "failed", "count_range"),
        (lambda prompt, n: [9] * n, "biased", "support"),
        (lambda prompt, n: 1 / 0, "failed", "returns"),
        (lambda prompt, n: "text", "failed", "shape"),
    ],
)
def test_generate_rules(generate: Any, status: str, check: str) -> None:
    found = audit_generate_sampled(generate, target, length=3, stop=2, samples=64)
    assert found.status == status
    assert check in [result.name for result in found.checks if not result.passed]


def test_generate_falls_back() -> None:
    options: Any = {"kind": "generate", "target": target, "length": 2, "tolerance": 0.4}
    assert audit_or_sample(generator_of(target), **options).evidence == "sequential"
    with pytest.raises(ValueError, match="target is missing"):
        audit_or_sample(generator_of(target), kind="generate")


def test_instances_that_are_sampled_are_standard_ones() -> None:
    from specmath.oracle.sampled.audit import FEW

    known: set[str] = {one.name for kind in ("chain", "node") for one in standard(kind)}  # type: ignore[arg-type]
    assert set(FEW) <= known
    assert isinstance(standard("chain")[0], Instance)


CODE = """
import os


def wrong(target, draft, tokens):
    return [int(tokens[0])]


def right(target, draft, tokens):
    u = int.from_bytes(os.urandom(7), "big") / 2**56
    below = 0.0
    for token, p in enumerate(target[0]):
        below += p
        if u < below:
            return [token]
    return [token]


def seeded(target, draft, tokens, seed):
    return right(target, draft, tokens)


def law(text):
    return [0.5, 0.5]


def writes(prompt, n_tokens):
    return [os.urandom(1)[0] % 2 for _ in range(n_tokens)]
"""


@pytest.mark.parametrize(
    ("name", "options", "code", "says"),
    [
        ("right", [], 3, "test samples instead"),
        ("right", ["--sample", "100"], 3, "no bias of"),
        ("wrong", ["--sample"], 1, "exact"),
        ("seeded", ["--sample", "200"], 1, "same_seed"),
        ("writes", ["--sample", "200", "--kind", "generate", "--target", "law", "--length", "2"], 3, "no bias of"),
    ],
)
def test_command(
    name: str, options: list[str], code: int, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "verifier.py"
    file.write_text(CODE)
    depth = [] if "generate" in options else ["--n", "1"]
    assert main(["audit", f"{file}:{name}", *depth, *options]) == code
    assert says in capfd.readouterr().out


def test_command_refuses(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", f"{os.__file__}:walk", "--sample", "0"]) == 2
    assert "--sample is 0" in capfd.readouterr().err


def test_global_generators_are_left_as_they_were() -> None:
    before = random.getstate(), np.random.get_state()[2]  # noqa: NPY002
    audit_sampled(right, arrays="numpy", instances=FIRST, samples=64)
    audit_or_sample(generator_of(target), kind="generate", target=target, length=1, samples=64)
    assert (random.getstate(), np.random.get_state()[2]) == before  # noqa: NPY002


def test_torch_under_another_library_is_no_bias() -> None:
    """A function whose module does not hold torch, and that draws from it all the same."""

    def verify(target: Any, draft: Any, tokens: Any) -> list[int]:
        import torch

        return speculative(positive, lambda: float(torch.rand((), dtype=torch.float64)))(target, draft, tokens)

    found = audit(verify, arrays="numpy", instances=FIRST)
    assert (found.status, found.evidence) == ("undecided", "none")
    assert "arrays='torch'" in found.cause


def logarithm(u: float) -> Any:
    return np.log(u)


def less(u: float) -> Any:
    return -1.0 if np.less(u, 0.25) else 1.0


def smaller(u: float) -> Any:
    return -2.0 if np.minimum(u, 0.5) < 0.25 else 2.0


@pytest.mark.parametrize(
    ("form", "below", "chance"), [(logarithm, -1.0, 1 / np.e), (less, 0.0, 0.25), (smaller, 0.0, 0.25)]
)
def test_numpys_functions_of_a_number(form: Any, below: float, chance: float) -> None:
    assert float(law_of(lambda: bool(form(numpys()) < below), arrays="numpy")[True]) == pytest.approx(chance, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda u: abs(u - 0.5) < 0.1, r"abs\(\)"),
        (lambda u: round(u) == 1, r"round\(\)"),
        (lambda u: u % 0.5 < 0.1, "%"),
        (lambda u: f"{u:.1f}" == "0.1", "format '.1f'"),
        (lambda u: np.sin(u) < 0.1, "numpy's sin"),
    ],
)
def test_what_cannot_be_done_with_a_number_is_named(call: Any, says: str) -> None:
    """A refusal of the oracle must not look like an error of the function."""
    with pytest.raises(UnsupportedRandomness, match=f"{says}.* of a random number"):
        law_of(lambda: bool(call(numpys())), arrays="numpy")


def test_a_number_of_torch_beside_arrays() -> None:
    import torch

    def several() -> Any:
        u = torch.rand((), dtype=torch.float64).item()
        edges = torch.tensor([0.25, 0.5], dtype=torch.float64)
        return (edges < u).tolist(), bool(u > np.float64(0.25)), bool(np.float64(0.5) < u)

    law = {outcome: float(chance) for outcome, chance in law_of(several).items()}
    assert law == pytest.approx({((False, False), False, False): 0.25, ((True, False), True, False): 0.25,
                                 ((True, True), True, True): 0.5}, abs=1e-9)  # fmt: skip
    with pytest.raises(UnsupportedRandomness, match="a random number of torch beside numpy's float64"):
        law_of(lambda: (np.array([0.25, 0.5]) < torch.rand(()).item()).tolist())
