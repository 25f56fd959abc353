"""`specmath plan`: its numbers against the solvers, its intervals, its errors, and its schema."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from scipy.stats import binomtest

from specmath import speed
from specmath.cli import plan_fit, plan_make
from specmath.metrics import position
from specmath.stopping import Constant, Costs, Position, evaluate, solve
from specmath.stopping import Fixed as FixedLength
from specmath.trees import brute_force

SCHEMA = json.loads(files("specmath").joinpath("schemas/plan.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def planned(specmath_main: Any, *arguments: object) -> dict[str, Any]:
    outcome = specmath_main("plan", *arguments, "--json")
    assert outcome.code == 0, outcome.err
    VALIDATOR.validate(outcome.document)
    return outcome.document


def rounds(rates: list[float], request: int, count: int, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Simulated rounds of a chain: draft k is accepted with ``rates[k]``."""
    found = []
    for _ in range(count):
        hits = generator.random(len(rates)) < rates
        kept = len(rates) if hits.all() else int(np.argmin(hits))
        found.append({"request": request, "drafted": [1] * len(rates), "accepted": kept, "emitted": [1] * (kept + 1)})
    return found


def written(path: Path, listed: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in listed))
    return path


def test_the_example(specmath_main):
    found = planned(specmath_main, "--acceptance", 0.8, "--cost", 0.05)
    assert (found["draft_length"], round(found["speedup"], 2), found["interval"]) == (8, 3.09, None)
    best = solve(Constant(0.8), Costs(draft=0.05))
    assert found["speedup"] == pytest.approx(best.speedup, rel=1e-9)
    assert found["threshold"] == pytest.approx(1 - best.policy.boundary(0, "text"), rel=1e-6)
    assert found["source"] == {"kind": "acceptance"}
    assert [row["draft_length"] for row in found["table"]] == list(range(13))


@pytest.mark.parametrize("acceptance", [0.05, 0.3, 0.55, 0.8, 0.95])
@pytest.mark.parametrize(("cost", "slot"), [(0.02, 0.0), (0.1, 0.0), (0.05, 0.05), (0.5, 0.1)])
def test_the_plan_is_the_solver_s(specmath_main, acceptance, cost, slot):
    found = planned(specmath_main, "--acceptance", acceptance, "--cost", cost, "--slot", slot)
    costs = Costs(draft=cost, slot=slot)
    assert found["speedup"] == pytest.approx(solve(Constant(acceptance), costs).speedup, rel=1e-9)
    for row in found["table"][:6]:
        exact = evaluate(FixedLength(row["draft_length"]), Constant(acceptance), costs)
        assert row["speedup"] == pytest.approx(exact.speedup, rel=1e-12)


def test_the_table_of_a_long_draft_holds_its_best(specmath_main):
    found = planned(specmath_main, "--acceptance", 0.99, "--cost", 0.001)
    shown = [row for row in found["table"] if row["draft_length"] == found["draft_length"]]
    assert found["draft_length"] > 50
    assert [row["speedup"] for row in shown] == [found["speedup"]]
    assert len(found["table"]) < 15


def test_the_tree_is_the_best_of_all_trees(specmath_main):
    found = planned(specmath_main, "--acceptance", 0.6, "--cost", 0.1, "--slot", 0.02, "--nodes", 4)
    rates = [0.6 * 0.4**rank for rank in range(4)]

    def value(parents: tuple[int, ...]) -> float:
        weights: list[float] = []
        depths: list[int] = []
        for node, parent in enumerate(parents):
            rank = sum(other == parent for other in parents[:node])
            weights.append(rates[rank] * (weights[parent] if parent >= 0 else 1))
            depths.append(1 + (depths[parent] if parent >= 0 else 0))
        return (1 + sum(weights)) / (1 + 0.02 * len(parents) + 0.1 * max(depths, default=0))

    assert value(tuple(found["tree"]["parents"])) == pytest.approx(found["tree"]["speedup"], rel=1e-12)
    _, most = brute_force(value, 4)
    assert found["tree"]["speedup"] == pytest.approx(most, rel=1e-12)


def test_counts_have_wilsons_interval(specmath_main):
    found = planned(specmath_main, "--counts", 800, 1000, "--cost", 0.05)
    assert found["interval_method"] == "wilson"
    told = binomtest(800, 1000).proportion_ci(method="wilson")
    assert found["interval"] == pytest.approx([speed.speedup(end, 8, 0.05) for end in (told.low, told.high)], rel=1e-9)
    assert found["interval"][0] < found["speedup"] < found["interval"][1]


def test_a_trace_is_planned_by_position(specmath_main, tmp_path):
    generator = np.random.default_rng(11)
    listed = [one for request in range(30) for one in rounds([0.9, 0.7, 0.4, 0.3], request, 20, generator)]
    path = written(tmp_path / "trace.json", listed)
    found = planned(specmath_main, "--trace", path, "--cost", 0.1)
    assert found["conditional"] == position.conditional_acceptance(listed)
    assert found["source"]["requests"] == 30
    process, costs = Position(tuple(found["conditional"]), tail=0), Costs(draft=0.1)
    assert found["speedup"] == pytest.approx(solve(process, costs).speedup, rel=1e-9)
    assert (
        found["draft_length"]
        == speed.plan_chain(speed.survival.by_position(found["conditional"]), draft_step=0.1).draft_length
    )
    assert found["interval"][0] < found["speedup"] < found["interval"][1]
    assert found["interval_method"] == "bootstrap by request"
    assert not found["cost_assumed"]
    assert planned(specmath_main, "--trace", path, "--cost", 0.1) == found  # the seed makes it the same
    shorter = planned(specmath_main, "--trace", path, "--cost", 0.1, "--longest", 1)
    assert shorter["draft_length"] == 1


def test_the_interval_is_by_request_and_not_by_round():
    """Requests that differ: rounds taken as independent would give an interval several times too short."""
    generator = np.random.default_rng(5)
    requests = [rounds([rate], request, 50, generator) for request, rate in enumerate([0.95] * 20 + [0.35] * 20)]
    counts = [position.position_counts(one) for one in requests]
    sums = np.array([[*one.tested, *one.accepted] for one in counts], dtype=float)
    known = plan_fit.Known("trace", 0.65, conditional=np.array([0.65]), sums=sums)
    whole = plan_make.interval_of(known, 0.1, 1, 2000, 0)
    each = np.array([[1, one["accepted"]] for request in requests for one in request], dtype=float)
    defect = plan_make.interval_of(plan_fit.Known("trace", 0.65, sums=each), 0.1, 1, 2000, 0)
    assert whole is not None
    assert defect is not None
    # Standard errors: 0.3 / sqrt(40) = 0.047 by request, 0.48 / sqrt(2000) = 0.011 by round.
    assert 3 < (whole.high - whole.low) / (defect.high - defect.low) < 6


def test_notes_and_what_is_assumed(specmath_main, tmp_path):
    always = {"request": 0, "drafted": [1, 2], "accepted": 2, "emitted": [1, 2, 3]}
    path = written(tmp_path / "one.json", [always] * 5)
    found = planned(specmath_main, "--trace", path)
    assert found["cost_assumed"]
    assert (found["cost"], found["draft_length"], found["interval"]) == (0.05, 2, None)
    assert [note.partition(":")[0] for note in found["notes"]] == [
        "no --cost is given",
        "one request",
        "the trace says nothing of drafts beyond 2",
    ]
    shown = specmath_main("plan", "--trace", path)
    assert shown.code == 0
    assert shown.out.count("note: ") == 3


def test_what_decode_prints_is_a_trace(specmath_main, tmp_path):
    path = tmp_path / "trace.json"
    prompts = ["--prompt", "Once upon a time", "--prompt", "The cat"]
    decoded = specmath_main("decode", *prompts, "--max-tokens", 12, "--json")
    assert decoded.code == 0, decoded.err
    path.write_text(decoded.out)
    found = planned(specmath_main, "--trace", path, "--cost", 0.1)
    told = [json.loads(line) for line in decoded.out.splitlines()]
    assert found["source"]["rounds"] == sum(one["metrics"]["rounds"] for one in told)
    assert sum(found["source"]["accepted"]) == sum(one["metrics"]["accepted_tokens"] for one in told)


def test_a_tree_is_shown_where_it_beats_the_chain(specmath_main):
    wide = specmath_main("plan", "--acceptance", 0.6, "--cost", 0.1).out
    assert "or a tree of 16 nodes" in wide
    assert "tree" not in specmath_main("plan", "--acceptance", 0.8, "--cost", 0.05, "--slot", 0.3).out


def test_limits(specmath_main):
    nothing = planned(specmath_main, "--acceptance", 0, "--cost", 0.05)
    assert (nothing["draft_length"], nothing["speedup"], nothing["tree"], nothing["threshold"]) == (0, 1.0, None, 0.0)
    costly = planned(specmath_main, "--acceptance", 0.5, "--cost", 0.5)
    assert (costly["draft_length"], costly["speedup"]) == (0, 1.0)
    assert planned(specmath_main, "--acceptance=-0", "--cost", 0.05) == nothing
    certain = planned(specmath_main, "--acceptance", 1, "--cost", 0, "--longest", 7)
    assert (certain["draft_length"], certain["speedup"]) == (7, 8.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--acceptance 0.8 --cost 0", ["below 5", "--longest"]),
        ("--acceptance 1 --cost 0.05", ["below 20", "--longest"]),
        ("--acceptance 0.999999 --cost 1e-9", ["longer than 10000", "below 1e+06"]),
        ("--acceptance 0.3 --cost 1e-320", ["--cost is", "1e-09"]),
        ("--acceptance 1 --cost 0", ["without bound", "--longest"]),
        ("--acceptance 1.2 --cost 0.05", ["--acceptance is 1.2", "from 0 to 1"]),
        ("--acceptance nan --cost 0.05", ["--acceptance is nan"]),
        ("--acceptance 0.8 --cost=-0.1", ["--cost is -0.1", "1e-09 to 1e+09"]),
        ("--acceptance 0.8 --cost inf", ["--cost is inf"]),
        ("--acceptance 0.8 --cost 0.1 --slot nan", ["--slot is nan"]),
        ("--acceptance 0.8", ["--cost is missing"]),
        ("--acceptance a --cost 0.1", ["'a' is not a number"]),
        ("--cost 0.05", ["no acceptance", "--counts"]),
        ("--acceptance 0.8 --counts 1 2 --cost 0.05", ["--acceptance and --counts are given"]),
        ("--counts 3 2 --cost 0.05", ["--counts is 3 2"]),
        ("--counts 0 0 --cost 0.05", ["--counts is 0 0"]),
        ("--acceptance 0.8 --cost 0.05 --longest 0", ["--longest is 0"]),
        ("--acceptance 0.8 --cost 0.05 --nodes 1000", ["--nodes is 1000"]),
        ("--acceptance 0.8 --cost 0.05 --replicates 1", ["--replicates is 1"]),
        ("--trace no/such.json", ["no/such.json"]),
        ("--acceptance 0.8 --cost 0.05 --measure", ["--measure"]),
    ],
)
def test_errors(specmath_main, words, said):
    specmath_main("plan", *words.split()).refused("specmath plan: error: ", *said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ["empty"]),
        ("{", [":1:"]),
        ('{"accepted": [3], "tested": 4}', ["counts", "--counts"]),
        ('{"drafted": [], "accepted": 0, "emitted": [1]}', ["no draft", "was tested"]),
        ('{"drafted": [1, 2], "parents": [-1, -1], "accepted": 0, "emitted": [1]}', ["a tree", "chains"]),
        ('{"drafted": [1], "accepted": 2, "emitted": [1]}', ["accepted is 2 of 1"]),
        ('{"drafted": [1], "accepted": 0, "emitted": [1, 2, 3]}', ["3 emitted with 0 accepted"]),
    ],
)
def test_bad_traces(specmath_main, tmp_path, content, said):
    path = tmp_path / "bad.json"
    path.write_text(content)
    specmath_main("plan", "--trace", path, "--cost", 0.1).refused(str(path), *said)


def test_the_schema_rejects_wrong_output(specmath_main):
    VALIDATOR.check_schema(SCHEMA)
    found = planned(specmath_main, "--counts", 8, 10, "--cost", 0.05)
    for key in found:
        assert not VALIDATOR.is_valid({name: value for name, value in found.items() if name != key}), key
    changes = ({"draft_length": -1}, {"interval": [1.0]}, {"tree": {}}, {"source": {"kind": "guess"}}, {"more": 1})
    for change in changes:
        assert not VALIDATOR.is_valid({**found, **change}), change
