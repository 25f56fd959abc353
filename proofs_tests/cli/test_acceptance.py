"""`specmath acceptance`: its numbers are those of the library, and its JSON obeys the schema."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
import scipy.stats

import specmath
from proofs_tests.cli.conftest import some_laws, some_logits
from specmath import comparison
from specmath.comparison import OPTIMUM, compare, plan

SCHEMA = json.loads(files("specmath").joinpath("schemas/acceptance.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def valid(document: dict) -> dict:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(document)
    return document


def direct(row: dict, target: np.ndarray, draft: np.ndarray, **options: int) -> np.ndarray:
    if row["rule"] == OPTIMUM:
        return np.asarray(specmath.optimum(target, draft, row["n"], row["drafts"]).acceptance)
    return np.asarray(specmath.acceptance(row["rule"], target, draft, row["n"], row["drafts"], **options).values)


def check_rows(rows: list[dict], target: np.ndarray, draft: np.ndarray, **options: int) -> None:
    """Every number of every row, from the library's per-context values and scipy's own interval."""
    best: dict[tuple[str, int], np.ndarray] = {}
    for row in rows:
        values = direct(row, target, draft, **options)
        if row["rule"] == OPTIMUM:
            best[row["drafts"], row["n"]] = values
        assert row["acceptance"] == pytest.approx(values.mean(), abs=1e-12)
        assert row["contexts"] == len(values)
        low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert row["low"] == pytest.approx(np.clip(low, 0, 1), abs=1e-12)
        assert row["high"] == pytest.approx(np.clip(high, 0, 1), abs=1e-12)
        gaps = best[row["drafts"], row["n"]] - values
        assert row["gap"] == pytest.approx(gaps.mean(), abs=1e-12)
        spread = gaps.std(ddof=1) / np.sqrt(len(gaps)) * scipy.stats.t.ppf(0.975, len(gaps) - 1)
        assert row["gap_high"] - row["gap_low"] == pytest.approx(2 * spread, abs=1e-12)


def test_iid_rows_are_the_librarys(specmath_main, dump):
    document = valid(specmath_main("acceptance", dump, "--json").document)
    rows = document["rows"]
    expected = {
        (name, n)
        for n in (1, 2, 4, 8)
        for name in (OPTIMUM, *specmath.rules.names("node"))
        if name == OPTIMUM
        or ("iid" in specmath.rules.get(name).drafts and n <= (specmath.rules.get(name).at_most or n))
    }
    assert {(row["rule"], row["n"]) for row in rows} == expected
    assert len(rows) == len(expected)
    assert document["skipped"] == []
    check_rows(rows, *some_laws())


def test_every_draft_law_and_rule_has_a_row(specmath_main, dump):
    names = specmath.draft_laws.names()
    rows = valid(specmath_main("acceptance", dump, "--json", "--n", 2, "--drafts", *names).document)["rows"]
    assert {row["drafts"] for row in rows} == set(names)
    assert {row["rule"] for row in rows} | {"single"} == {OPTIMUM, *specmath.rules.names("node")}
    check_rows(rows, *some_laws())


def test_monte_carlo_rows(specmath_main, dump):
    """One block: the seed is the caller's own, so that the library gives the same numbers."""
    arguments = ("--json", "--n", 3, "--drafts", "without_replacement", "--replicates", 40)
    rows = valid(specmath_main("acceptance", dump, *arguments, "--seed", 7).document)["rows"]
    check_rows(rows, *some_laws(), seed=7, replicates=40)
    estimated = [row for row in rows if row["method"] == "monte-carlo"]
    assert estimated
    for row in estimated:
        result = specmath.acceptance(
            row["rule"], *some_laws(), n=3, drafts="without_replacement", seed=7, replicates=40
        )
        assert row["monte_carlo_error"] == pytest.approx(np.sqrt(np.square(result.standard_error).sum()) / 5)
    others = specmath_main("acceptance", dump, *arguments, "--seed", 8).document["rows"]
    assert {row["rule"] for row in estimated} == {
        row["rule"] for row, other in zip(rows, others, strict=True) if row["acceptance"] != other["acceptance"]
    }


def test_granules_do_not_change_the_formulas(specmath_main, dump, monkeypatch):
    whole = specmath_main("acceptance", dump, "--json").document["rows"]
    monkeypatch.setattr(comparison, "ROWS", 2)
    parts = specmath_main("acceptance", dump, "--json").document["rows"]
    for one, other in zip(whole, parts, strict=True):
        assert one["acceptance"] == pytest.approx(other["acceptance"], abs=1e-14)


@pytest.mark.parametrize("sizes", [[10], [1] * 10, [3, 5, 2], [2, 0, 8]])
def test_blocks_do_not_change_a_bit(monkeypatch, sizes):
    """Granules of 4 contexts, whatever the caller's blocks; estimates included."""
    monkeypatch.setattr(comparison, "ROWS", 4)
    target, draft = some_laws(10)
    todo = plan([2, 3], ["iid", "without_replacement"])
    stops = np.cumsum(sizes)
    blocks = [(target[stop - size : stop], draft[stop - size : stop]) for size, stop in zip(sizes, stops, strict=True)]
    parts = [comparison.measure(i, target[i : i + 4], draft[i : i + 4], todo, replicates=9) for i in (0, 4, 8)]
    assert compare(blocks, todo, replicates=9) == comparison.summary(todo, parts[::-1])


def test_parts_must_follow_each_other():
    todo = plan([1], ["iid"], ["single"])
    one, other = (comparison.measure(i, *some_laws(2), todo) for i in (0, 3))
    with pytest.raises(ValueError, match="contexts 0 to 1 are followed by context 3"):
        comparison.summary(todo, [other, one])
    with pytest.raises(ValueError, match="no contexts"):
        compare([], todo)


@pytest.mark.parametrize("then", [2, 5])
def test_joined_parts_neither_leave_a_gap_nor_overlap(then):
    """Contexts 0 to 3, and what follows begins at 2 or at 5 instead of 4."""
    parts = [comparison.Part(i, np.zeros((1, 4)), np.array([False]), np.zeros((0, 4))) for i in (0, then)]
    with pytest.raises(ValueError, match=f"contexts 0 to 3 are followed by context {then}"):
        comparison.joined(parts)


@pytest.mark.parametrize("worst", [1, 3])
def test_the_largest_correction_of_all_granules_is_told(specmath_main, save, monkeypatch, worst):
    """Laws in float32, one of them 5e-5 off: the exact largest |sum - 1|, in whichever granule of two contexts."""
    monkeypatch.setattr(comparison, "ROWS", 2)
    target, draft = (law.astype(np.float32) for law in some_laws())
    draft[worst] *= np.float32(1 + 5e-5)
    sums = np.concatenate([target, draft]).astype(np.float64).sum(axis=-1)
    document = valid(specmath_main("acceptance", save(target=target, draft=draft), "--json", "--n", 1).document)
    assert document["correction"] == pytest.approx(np.abs(sums - 1).max(), rel=1e-9)
    assert document["correction"] > 4e-5


def test_granules_do_not_share_their_draws(monkeypatch):
    """The same contexts once more in a second granule: were the draws shared, the mean would not move at all."""
    monkeypatch.setattr(comparison, "ROWS", 5)
    target, draft = some_laws()
    todo = plan([3], ["without_replacement"], ["sampler_match"])
    options = {"seed": 3, "replicates": 20}
    (_, once), (_, twice) = compare([(target, draft)], todo, **options), compare([(target, draft)] * 2, todo, **options)
    assert once.method == twice.method == "monte-carlo"
    assert once.acceptance != twice.acceptance
    assert twice.contexts == 10


def test_logits(specmath_main, save):
    """Half-precision logits with masks, and the sampler's options, against the library on the same numbers."""
    target, draft = (logits.astype(np.float16) for logits in some_logits())
    target[:, 1], draft[:, 2] = -np.inf, -np.inf
    path = save(target=target, draft=draft)
    plain = valid(specmath_main("acceptance", path, "--logits", "--n", 1, 2, "--json").document)
    assert plain["logits"] == {"temperature": 1.0, "top_k": None, "top_p": None}
    check_rows(plain["rows"], specmath.law_from_logits(target), specmath.law_from_logits(draft))
    options = ("--temperature", 0.7, "--top-k", 4, "--top-p", 0.9)
    cut = valid(specmath_main("acceptance", path, "--logits", "--n", 1, 2, "--json", *options).document)
    assert cut["logits"] == {"temperature": 0.7, "top_k": 4, "top_p": 0.9}
    warped = [specmath.law_from_logits(x, temperature=0.7, top_k=4, top_p=0.9) for x in (target, draft)]
    check_rows(cut["rows"], *warped)
    assert cut["rows"][0]["acceptance"] != plain["rows"][0]["acceptance"]


def test_bfloat16_safetensors(specmath_main, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    target, draft = (torch.tensor(logits).bfloat16() for logits in some_logits())
    path = tmp_path / "dump.safetensors"
    save_file({"target": target, "draft": draft}, path)
    rows = valid(specmath_main("acceptance", path, "--logits", "--json").document)["rows"]
    check_rows(rows, *(specmath.law_from_logits(x.double().numpy()) for x in (target, draft)))
    specmath_main("acceptance", path).refused(str(path), "target: dtype bfloat16", "--logits")


def test_every_kind_of_dump(specmath_main, tmp_path, dump):
    """The same numbers from an .npz file, a folder of .npy files, one .npy file, and columns."""
    target, draft = some_laws()
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "target.npy", np.asfortranarray(target))
    np.save(folder / "draft.npy", draft)
    np.save(tmp_path / "both.npy", np.stack([target, draft]))
    rows = specmath_main("acceptance", dump, "--json").document["rows"]
    for path in (folder, tmp_path / "both.npy"):
        assert valid(specmath_main("acceptance", path, "--json").document)["rows"] == rows
    (folder / "draft.npy").unlink()
    specmath_main("acceptance", folder).refused(f"{folder}: there is no array 'draft'", "holds 'target'")


def test_one_context(specmath_main, save):
    target, draft = some_laws()
    document = valid(specmath_main("acceptance", save(target=target[0], draft=draft[0]), "--json").document)
    assert document["contexts"] == 1
    assert {row[end] for row in document["rows"] for end in ("low", "high", "gap_low", "gap_high")} == {None}
    assert document["rows"][0]["acceptance"] == pytest.approx(np.minimum(target[0], draft[0]).sum())


def test_interval_is_clipped(specmath_main, save):
    """Two contexts, acceptance 0 and 1: the Student interval is far wider than what can be."""
    target, draft = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    row = valid(specmath_main("acceptance", save(target=target, draft=draft), "--json", "--n", 1).document)["rows"][0]
    assert (row["acceptance"], row["low"], row["high"]) == (0.5, 0.0, 1.0)


def test_rules_by_name(specmath_main, dump):
    arguments = ("acceptance", dump, "--rules", "single", "recursive", "optimum", "--n", 1, 2)
    document = valid(specmath_main(*arguments, "--json").document)
    assert [(row["rule"], row["n"]) for row in document["rows"]] == [
        ("optimum", 1),
        ("single", 1),
        ("recursive", 1),
        ("optimum", 2),
        ("recursive", 2),
    ]
    assert [(entry["rule"], entry["n"]) for entry in document["skipped"]] == [("single", 2)]
    assert "no row for single, iid, n = 2: " in specmath_main(*arguments).out


def test_costly_rules_are_computed_on_request(specmath_main, dump, monkeypatch):
    """Left out unless named, for one draft law only, and both forms of output say so."""
    monkeypatch.setattr(comparison, "ON_REQUEST", {("recursive", "iid"): "takes its time"})
    arguments = ("acceptance", dump, "--n", 2, "--drafts", "iid", "without_replacement")
    document = valid(specmath_main(*arguments, "--json").document)
    assert "recursive" not in {row["rule"] for row in document["rows"] if row["drafts"] == "iid"}
    assert "k_seq" in {row["rule"] for row in document["rows"] if row["drafts"] == "iid"}
    assert document["skipped"] == [{"rule": "recursive", "drafts": "iid", "n": 2, "reason": "takes its time"}]
    assert "no row for recursive, iid, n = 2: takes its time" in specmath_main(*arguments).out
    named = valid(specmath_main("acceptance", dump, "--n", 2, "--rules", "recursive", "--json").document)
    assert [row["rule"] for row in named["rows"]] == [OPTIMUM, "recursive"]
    assert named["skipped"] == []


def test_default_numbers_are_those_that_the_law_can_draw(specmath_main, dump):
    """hub drafts exist for n = 2 only, and six tokens give no eight distinct ones: said, unless they are asked for."""
    arguments = ("acceptance", dump, "--drafts", "hub", "top_k", "--rules", "optimum")
    document = valid(specmath_main(*arguments, "--json").document)
    assert [(row["drafts"], row["n"]) for row in document["rows"]] == [("hub", 2), *(("top_k", n) for n in (1, 2, 4))]
    reason = "drafts='hub' is defined for n = 2 only"
    assert [(one["rule"], one["drafts"], one["n"]) for one in document["skipped"]] == [
        *((OPTIMUM, "hub", n) for n in (1, 4, 8)),
        (OPTIMUM, "top_k", 8),
    ]
    printed = specmath_main(*arguments).out
    assert f"no row for optimum, hub, n = 1, 4, 8: {reason}" in printed
    assert "no row for optimum, top_k, n = 8: drafts='top_k' takes n distinct tokens; the draft has only 6" in printed
    with pytest.raises(
        ValueError, match="none of the default n, 1, 2, 4, 8, can be drawn from 1 tokens by drafts='hub'"
    ):
        plan(None, ["hub"], vocabulary=1)


def test_help_says_what_is_left_out(specmath_main):
    shown = " ".join(specmath_main("acceptance", "--help").out.split())
    assert "default all that verify the drafts but optimal for without_replacement" in shown


def test_table_says_what_json_says(specmath_main, dump):
    arguments = ("acceptance", dump, "--drafts", "iid", "without_replacement", "--n", 1, 3)
    rows = specmath_main(*arguments, "--json").document["rows"]
    out = specmath_main(*arguments).out
    table = [line.split() for line in out.splitlines() if line.endswith(("formula", "monte-carlo"))]
    assert len(table) == len(rows)
    for cells, row in zip(table, rows, strict=True):
        assert cells[:4] == [row["drafts"], str(row["n"]), row["rule"], f"{row['acceptance']:.4f}"]
        assert cells[4:7] == [f"{row['low']:.4f}", "..", f"{row['high']:.4f}"]
        assert cells[-1] == row["method"]
    lines = [line for line in out.splitlines() if line.endswith(("formula", "monte-carlo"))]
    assert len({line.index("..") for line in lines}) == 1  # the columns stand under each other
    assert "Student t" in out
    assert "256 replicates a context, seed 0" in out


def spoiled(document: dict, change) -> dict:
    copied = copy.deepcopy(document)
    change(copied)
    return copied


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("schema_version"),
        lambda d: d.update(schema_version=1),
        lambda d: d.update(rows=[]),
        lambda d: d.update(surplus=1),
        lambda d: d["rows"][1].pop("gap"),
        lambda d: d["rows"][1].update(acceptance=1.5),
        lambda d: d["rows"][1].update(low="0.5"),
        lambda d: d["rows"][1].update(method="guess"),
        lambda d: d["rows"][1].update(n=0),
        lambda d: d["rows"][1].update(p=0.5),
        lambda d: d["rows"][0].update(gap=0.25),
        lambda d: d.update(logits={"temperature": -1.0, "top_k": None, "top_p": None}),
        lambda d: d.update(skipped=[{"rule": "single"}]),
    ],
)
def test_schema_rejects_wrong_output(specmath_main, dump, change):
    document = valid(specmath_main("acceptance", dump, "--json", "--n", 1).document)
    with pytest.raises(jsonschema.ValidationError):
        valid(spoiled(document, change))


def test_as_a_process(dump):
    """The module, as people start it; stdout is JSON and nothing else, also with a note on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "specmath", "acceptance", str(dump), "--logits", "--json", "--n", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    valid(json.loads(done.stdout))
    assert "the first rows are laws already" in done.stderr


def test_needs_no_heavy_library(dump):
    program = (
        "import sys; from specmath.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'jax', 'cvxpy', 'safetensors', 'reference', 'matplotlib', 'joblib', 'dask', 'distributed'}; "
        "heavy &= set(sys.modules); "
        "sys.exit(code or (str(heavy) if heavy else 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "acceptance", str(dump)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
