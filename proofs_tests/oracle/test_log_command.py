"""`specmath check-log`: what it finds in rounds, counts and texts, and where it says that a file is wrong."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from specmath import optimum
from specmath.cli import main

SCHEMA = json.loads(files("specmath").joinpath("schemas/check-log.schema.json").read_text(encoding="utf-8"))
ROUND = {"drafted": [5, 7], "accepted": 1, "emitted": [5, 8]}
TARGET, DRAFT = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.6, 0.2, 0.1, 0.1])


@pytest.fixture
def check(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    """Write a file and check it: exit code, and the JSON document, or the text where one is asked for."""

    def check(content: str | bytes | dict[str, Any], *options: str, text: bool = False) -> tuple[int, Any]:
        path = tmp_path / ("log.npz" if isinstance(content, dict) else "log")
        if isinstance(content, dict):
            np.savez(path, **content)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        code = main(["check-log", str(path), *options, *([] if text else ["--json"])])
        said = capfd.readouterr()
        if code == 2:
            assert len(said.err.splitlines()) == 1
            return code, said.err.replace(str(tmp_path), "").partition("error: ")[2].strip()
        if text:
            return code, said.out.replace(str(tmp_path), "")
        document = json.loads(said.out)
        jsonschema.Draft202012Validator(SCHEMA).validate(document)
        return code, document

    return check


def lines(*rounds: Any) -> str:
    return "".join(json.dumps(one) + "\n" for one in rounds)


def found(document: dict[str, Any]) -> list[tuple[str, int | None]]:
    return [(one["check"], one["line"]) for one in document["findings"]]


def test_rounds(check: Any) -> None:
    code, document = check(lines(ROUND, ROUND))
    assert (code, document["rounds"], document["passed"], document["log"]) == (0, 2, True, "rounds")
    code, document = check(f"{lines(ROUND)}\n{lines({**ROUND, 'accepted': 3}, {**ROUND, 'emitted': [5, 8, 9]})}")
    assert (code, found(document)) == (1, [("accepted", 3), ("emitted", 4)])


@pytest.mark.parametrize("form", ["list", "indented", "texts"])
def test_other_forms(form: str, check: Any) -> None:
    """Rounds in a list, over several lines, and inside of texts, which are told apart."""
    bad = {**ROUND, "accepted": 3}
    if form == "list":
        content, line = f"[\n{json.dumps(ROUND)},\n{json.dumps(bad)}]\n", 3
    elif form == "indented":
        content, line = f"{json.dumps(ROUND, indent=1)}\n{json.dumps(bad, indent=1)}", 12
    else:
        ended = {"rounds": 1, "stop": None}
        content, line = (
            lines(
                {"metrics": ended, "rounds": [{**ROUND, "stop_reason": "length"}]}, {"error": "no"}, {"rounds": [bad]}
            ),
            3,
        )
    code, document = check(content)
    assert (code, found(document)) == (1, [("accepted", line)])
    assert document["rounds"] == 2


def test_text_says_where(check: Any) -> None:
    said = "  line 2: impossible: round 1 accepted 3 of 2 drafts [accepted]\n"
    code, text = check(lines(ROUND, {**ROUND, "accepted": 3}), text=True)
    assert (code, text) == (1, f"/log: 2 rounds, 1 finding\n{said}")
    assert check(lines(ROUND), text=True) == (0, "/log: 1 rounds, nothing found, which is no proof of losslessness\n")
    code, text = check(lines(*[{**ROUND, "accepted": 3}] * 30), text=True)
    assert "  ... and 10 more\n" in text


def test_stop_tokens(check: Any) -> None:
    log = lines({"drafted": [5, 7], "accepted": 2, "emitted": [5, 7, 8]})
    assert check(log)[0] == 0
    code, document = check(log, "--stop", "5")
    assert (code, found(document)) == (1, [("after_stop", 1)])


def test_counts(check: Any) -> None:
    best = float(optimum(TARGET, DRAFT, 1).acceptance)
    counts = {"accepted": [7830, 5100], "tested": 10000, "rounds": 10000, "emitted": 22930}
    assert check(json.dumps(counts))[0] == 0
    code, document = check(json.dumps(counts), "--bound", "0.728")
    assert (code, found(document)) == (1, [("optimum", None)])
    assert document["optimum"]["proof"]
    assert document["optimum"]["p_bound"] < 1e-9
    code, document = check(json.dumps({**counts, "bound": best}, indent=2))
    assert (code, document["optimum"]["proof"]) == (0, False)
    code, document = check(json.dumps({**counts, "emitted": 9000, "accepted": [5100, 7830]}))
    assert (code, found(document)) == (1, [("falling", None), ("emitted", None)])


@pytest.mark.parametrize(("accepted", "said"), [(7830, "a bug"), (7300, "possible")])
def test_the_optimum_is_told_once(accepted: int, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As a finding, or below the findings as what was looked at."""
    path = tmp_path / "counts.json"
    path.write_text(json.dumps({"accepted": [accepted], "tested": 10000}))
    main(["check-log", str(path), "--bound", "0.728"])
    (line,) = [line for line in capfd.readouterr().out.splitlines() if "at most 7280 on average" in line]
    assert said in line


def rounds_by(accept: Any, count: int) -> list[dict[str, Any]]:
    """Rounds of one draft by single-token verification, with ``accept(ratio)`` in place of min(1, ratio)."""
    draws, made = np.random.default_rng(0), []
    rest = np.maximum(TARGET - DRAFT, 0)
    for _ in range(count):
        token = int(draws.choice(4, p=DRAFT))
        if draws.random() < accept(TARGET[token] / DRAFT[token]):
            made.append({"drafted": [token], "accepted": 1, "emitted": [token, int(draws.choice(4, p=TARGET))]})
        else:
            made.append({"drafted": [token], "accepted": 0, "emitted": [int(draws.choice(4, p=rest / rest.sum()))]})
    return made


@pytest.mark.parametrize(("accept", "code"), [(lambda ratio: ratio, 0), (lambda ratio: 1, 1)], ids=["right", "all"])
def test_laws(accept: Any, code: int, check: Any, tmp_path: Path) -> None:
    """False alarm 1e-9 for each of three statistics; every draft accepted has an e-value far beyond that."""
    np.savez(tmp_path / "laws.npz", target=np.tile(TARGET, (400, 1)), draft=np.tile(DRAFT, (400, 1)))
    given, document = check(lines(*rounds_by(accept, 400)), "--laws", str(tmp_path / "laws.npz"))
    assert given == code
    assert document["optimum"]["proof"] == bool(code)
    assert [one["name"] for one in document["statistics"]] == ["draft_law", "target_law"]
    assert [one["p_bound"] < 1e-9 for one in document["statistics"]] == [False, bool(code)]


def test_accept_tests(check: Any) -> None:
    half = {"drafted": [1], "draft_logprobs": [np.log(0.5)], "target_logprobs": [np.log(0.25)]}
    log = lines(*[{**half, "accepted": 1, "emitted": [1, 2]}] * 200)
    assert check(log)[0] == 0
    code, document = check(log, "--rule", "token_wise")
    assert (code, found(document)) == (1, [("accept_test", None)])
    assert document["statistics"][0]["found"] == "too often"


def test_metrics(check: Any, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"block_efficiency": 1.0, "rounds": 2}')
    code, document = check(lines(ROUND, ROUND), "--metrics", str(tmp_path / "metrics.json"))
    assert (code, found(document)) == (1, [("metrics", None)])
    assert "bonus left out" in document["findings"][0]["message"]
    text = {"rounds": [{**ROUND, "stop_reason": "length"}], "metrics": {"emitted_tokens": 2, "acceptance_rate": 0.5}}
    assert check(lines(text))[0] == 0
    wrong = {**text, "metrics": {"emitted_tokens": 3, "acceptance_rate": 0.5}}
    code, document = check(lines(text, wrong))
    assert (code, found(document)) == (1, [("metrics", 2)])


NEEDED = "drafted, accepted, emitted"
ROW = np.array([[2.00, 1.99, 0.0], [3.0, 1.0, 0.0], [0.5, 0.5, 0.0]])


def test_replay(check: Any) -> None:
    other = ROW + np.array([[-0.01, 0.01, 0.0]])
    code, document = check({"tokens": np.array([1, 1, 1]), "logits": ROW, "logits_1": other})
    assert (code, document["tokens"], found(document)) == (1, 3, [("greedy", None)])
    assert document["findings"][0]["place"] == 1
    assert check({"tokens": np.array([1, 0, 1]), "logits": ROW, "logits_1": other})[0] == 0
    code, text = check({"tokens": np.array([1, 0, 1]), "logits": ROW}, "--spread", "0.001", text=True)
    assert (code, "token 0 is 0.01 below the largest logit" in text) == (1, True)
    laws = np.array([[0.5, 0.5], [1.0, 0.0]])
    code, document = check({"tokens": np.array([0, 1]), "laws": laws})
    assert (code, document["findings"][0]["place"]) == (1, 1)
    assert check({"tokens": np.array([0, 0]), "laws": laws})[0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "/log: the file is empty"),
        ("[]", "/log: there are no rounds in it"),
        (b"\x00\xff", "/log: byte 1 is no UTF-8"),
        (lines(ROUND) + '{"drafted": [5], "accepted": , "emitted": [5]}', "/log:2:30: no JSON: Expecting value"),
        (lines(ROUND) + "7", "/log:2:1: a number; allowed are objects"),
        (lines(ROUND, {"drafted": [5], "accepted": 1}), "/log:2:1: a round without emitted; needed are"),
        (lines(ROUND, {**ROUND, "accepted": 1.5}), "/log:2:21: accepted is 1.5; allowed are whole numbers"),
        (lines({**ROUND, "emitted": [5, -1]}), "/log:1:36: emitted is [5, -1]; allowed are lists of whole"),
        (lines({**ROUND, "parents": [0, 0]}), "/log:1:55: parents[0] is 0; allowed are -1 and earlier indices"),
        (lines({**ROUND, "logprobs": [0.5, 0]}), "/log:1:55: logprobs is [0.5, 0]; allowed are lists"),
        (lines({**ROUND, "logprobs": [0]}), "/log:1:55: logprobs has 1 entries; allowed are 2"),
        (lines({**ROUND, "logprobs": [float("nan"), 0]}), "/log:1:68: NaN is no JSON number"),
        (lines({"rounds": [ROUND, {**ROUND, "drafted": "5"}]}), '/log:1:69: drafted is "5"; allowed are lists'),
        (lines({"rounds": [ROUND, 3]}), "/log:1:68: a number; allowed are rounds"),
        (lines({"rounds": 3}), "/log:1:2: rounds is a number; allowed is a list"),
        ('{"accepted": [3],\n "tested": [4, 3]}', "/log:2:2: tested has 2 entries; allowed are 1"),
        ('{"accepted": [3],\n "tested": true}', "/log:2:2: tested is true; allowed are a whole number"),
        ('{"tested": 4}', "/log:1:1: counts without accepted"),
        ('{"accepted": [3]}', f"/log:1:1: a round without drafted; needed are {NEEDED}; an object of counts needs"),
        ('{"accepted": [3], "tested": 4, "window": 9}', "/log:1:32: 'window' is no count; allowed are accepted"),
        ('{"accepted": [3], "tested": 4}\n{}', "/log:1:1: counts beside other objects"),
    ],
)  # fmt: skip
def test_wrong_files(content: str | bytes, message: str, check: Any) -> None:
    code, said = check(content)
    assert code == 2
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (lines(ROUND), ["--bound", "0.5"], "--bound is given and /log is a log of rounds"),
        ('{"accepted": [3], "tested": 4}', ["--stop", "3"], "--stop is given and /log is a log of counts"),
        ('{"accepted": [3], "tested": 4}', ["--bound", "2"], "--bound is 2.0; allowed are numbers from 0 to 1"),
        ('{"accepted": [3], "tested": 4, "bound": 1}', ["--bound", "0.5"], "--bound is given, and /log has a bound"),
        (lines(ROUND), ["--false-alarm", "1"], "--false-alarm is 1.0"),
        (lines(ROUND), ["--laws", "/nowhere.npz"], "/nowhere.npz: No such file"),
        ({"tokens": np.array([0]), "logits": ROW[:1]}, [], "--spread is missing"),
        ({"tokens": np.array([0]), "logits": ROW[:1]}, ["--spread", "-1"], "--spread is -1.0"),
        ({"tokens": np.array([0]), "laws": ROW[:1]}, ["--spread", "1"], "--spread is given"),
        ({"tokens": np.array([7]), "logits": ROW[:1]}, ["--spread", "1"], "/log.npz: tokens: from 7 to 7"),
        ({"tokens": np.array([7])}, [], "/log.npz: holds tokens; needed are tokens, and logits or laws"),
        ({"tokens": np.array([{}])}, [], "/log.npz: no .npz file of plain arrays: pickles are not read"),
    ],
)
def test_wrong_calls(content: Any, options: list[str], message: str, check: Any) -> None:
    code, said = check(content, *options)
    assert code == 2
    assert said.startswith(message)


def test_laws_of_another_length(check: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "laws.npz", target=TARGET[None], draft=DRAFT[None])
    code, said = check(lines(ROUND, ROUND), "--laws", str(tmp_path / "laws.npz"))
    assert (code, "laws of 1 contexts, and /log has 2 rounds" in said) == (2, True)


def test_schema_refuses(check: Any) -> None:
    _, document = check(lines({**ROUND, "accepted": 3}))
    for broken in (
        {**document, "log": "replay"},
        {**document, "extra": 1},
        {**document, "findings": [{**document["findings"][0], "kind": "odd"}]},
        {key: value for key, value in document.items() if key != "rounds"},
    ):
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(broken)
