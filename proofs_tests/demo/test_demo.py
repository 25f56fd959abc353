"""The demo on a random pair: numbers fit the schema, the page stands alone, and planted defects end with exit 1."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from reference import pair
from reference.commands import demo
from reference.demo import exact_laws, story
from reference.demo.decoders import coupled, rejecting
from reference.demo.marks import ruled
from reference.demo.planted import DEFECTS
from reference.demo.settings import Settings
from reference.demo.story import TESTED, Story, tell
from reference.demo.table import notes
from specmath import rules
from specmath.cli import main
from specmath.draws import categorical
from specmath.rules.rule import Verdict

SCHEMA = json.loads((files("specmath") / "schemas" / "demo.schema.json").read_text())
UNRULED = ["chain", "tree", "best-first", "batched"]
SHORT = {"prompts": 2, "max_tokens": 12, "path_tokens": 12, "equality_tokens": 12, "contexts": 4, "replicates": 4}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def printed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """The JSON object and the page of one run through the command line."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("out") / "new"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(
            [*["demo", "--prompts", "2", "--max-tokens", "12", "--json", "--pair"], str(home), "--out", str(folder)]
        )
    assert code == 0
    assert [path.name for path in folder.iterdir()] == ["report.html"]
    return json.loads(out.getvalue()), (folder / "report.html").read_text()


def test_json_fits_the_schema(printed: tuple[dict, str]) -> None:
    jsonschema.validate(printed[0], SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(printed[0] | {"schema_version": 0}, SCHEMA)


def test_json_tells_the_whole_story(printed: tuple[dict, str]) -> None:
    found = printed[0]
    assert found["passed"]
    assert not found["failures"]
    assert [one["decoder"] for one in found["decoders"]] == [
        "autoregressive",
        "chain",
        "tree",
        "best-first",
        "batched",
        "chain/token_wise",
        "chain/block",
        "tree/recursive",
        "paths/optimal n=2",
        "paths/optimal n=4",
        "paths/optimal_paths n=2",
    ]
    first = found["decoders"][0]
    assert first["block_efficiency"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert first["emitted_tokens"] == first["target_calls"] == first["passes"]
    for one in found["decoders"]:
        assert (one["passes"] < one["target_calls"]) == (one["rows"] > 1)
        assert (one["randomness"] == "coupled") == (one["decoder"] in ("autoregressive", *UNRULED))
    assert {one["claim"] for one in found["claims"]} == {"acceptance", "attained", "surprise"}
    for one in found["attained"]:
        for place in one["places"]:
            assert place["measured"]["value"] == pytest.approx(place["accepted"] / place["rounds"])
            assert all(value <= place["optimum"] + 1e-9 for value in place["others"].values())
    assert [(one["n"], one["draft_length"]) for one in found["attained"]] == [(2, 1), (4, 1), (2, 4)]
    shown = {(one["rule"], one["drafts"]) for one in found["exact"] if one["defect"] is None}
    assert shown == {(name, drafts) for name in rules.names() for drafts in rules.get(name).drafts}
    assert all(one["total_variation"] == "0" for one in found["exact"] if one["defect"] is None)
    assert sum(one["defect"] is not None and one["total_variation"] != "0" for one in found["exact"]) >= 3
    counts = {(row["drafts"], row["n"]) for row in found["rows"]}
    assert {("iid", 1), ("iid", 2), ("iid", 4), ("iid", 8), ("without_replacement", 4), ("greedy", 2)} <= counts
    for row in found["rows"]:
        assert row["gap"] >= -1e-9 - 5 * row["monte_carlo_error"]


def test_json_tells_of_equality(printed: tuple[dict, str]) -> None:
    found = printed[0]["equality"]
    assert found["identical"][0] == {"arithmetic": "exact64", "texts": 2, "identical": 2, "share": 1.0}
    assert [one["arithmetic"] for one in found["identical"]] == ["exact64", "native"]
    own = [one for one in found["compared"] if one["arithmetic"] == "exact64" and not one["defect"]]
    assert [one["decoder"] for one in own] == UNRULED
    assert all(one["passed"] and one["logit_rows"] == one["equal_logit_rows"] == 40 for one in own)
    contrast = [one for one in found["compared"] if one["arithmetic"] == "native"]
    assert [(one["decoder"], one["passed"]) for one in contrast] == [(name, None) for name in UNRULED]
    assert [one["passed"] for one in found["compared"] if one["defect"]] == [True] * len(DEFECTS)


class Page(HTMLParser):
    """Identifiers, references, and tags that load something."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.unclosed: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while (inner := self.open.pop()) != tag:
                self.unclosed.append(inner)
        else:
            self.unclosed.append(f"/{tag}")

    def _attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "iframe", "object", "embed", "base", "img"}:
            self.loads.append(tag)
        for name, value in attrs:
            value = value or ""
            if name == "id":
                self.ids.append(value)
            elif name in {"href", "src"} or name.endswith(":href"):
                (self.references if value.startswith("#") else self.loads).append(value.removeprefix("#"))
            elif name == "aria-labelledby":
                self.references.append(value)
            self.references += re.findall(r"url\(#([^)]+)\)", value)


def problems(text: str) -> list[str]:
    """What would keep a page from standing alone."""
    seen = Page(text)
    found = [f"loads {what}" for what in seen.loads]
    found += [f"never closed: {tag}" for tag in [*seen.unclosed, *seen.open]]
    found += [f"two elements have the id {name}" for name in seen.ids if seen.ids.count(name) > 1]
    found += [f"no element has the id {name}" for name in seen.references if name not in seen.ids]
    found += [f"address {address}" for address in re.findall(r"(?:https?:)?//\w[^\s\"'<]*", text)]
    found += re.findall(r"@import[^;]*|url\((?!#)[^)]*\)", text)
    return found


def test_page_says_what_has_no_row(printed: tuple[dict, str]) -> None:
    (note,) = notes()
    assert note.startswith("no row for optimal, without_replacement, n = 1, 2, 4: ")
    assert escape(note) in printed[1]
    assert not [row for row in printed[0]["rows"] if (row["rule"], row["drafts"]) == ("optimal", "without_replacement")]


def test_page_stands_alone(printed: tuple[dict, str]) -> None:
    assert problems(printed[1]) == []
    assert printed[1].count("<svg") == 6


@pytest.mark.parametrize(
    "addition",
    [
        '<script src="a.js"></script>',
        '<img src="b.png">',
        '<a href="https://example.org">x</a>',
        '<use href="#nothing"/>',
        '<p id="decoders"></p>',
        "<style>@import 'x.css';</style>",
        "<div>",
    ],
)
def test_problems_are_seen(printed: tuple[dict, str], addition: str) -> None:
    assert problems(printed[1].replace("</main>", f"{addition}</main>"))


def test_page_colours_follow_the_theme(printed: tuple[dict, str]) -> None:
    """No colour of a figure is fixed but through a variable that both themes set."""
    drawn = "".join(re.findall(r"<svg.*?</svg>", printed[1], flags=re.DOTALL))
    assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", drawn)
    light, dark = printed[1].split("@media (prefers-color-scheme: dark)")[:2]
    for name in set(re.findall(r"var\(--([\w-]+)\)", printed[1])):
        assert f"--{name}:" in light, name
        assert f"--{name}:" in dark.split("* { box-sizing")[0], name


def told(home: Path, **changes) -> Story:
    return tell(pair.load(home), Settings(**SHORT), **changes)


def test_what_is_broken_ends_with_one(home: Path, monkeypatch, tmp_path: Path, capsys) -> None:
    """A rule that is not lossless, and a batch whose texts are one token short."""

    def broken(chance, target, draft, tokens):
        return tokens[0]

    (batched,) = (one for one in coupled(pair.load(home), Settings(**SHORT)) if one.name == "batched")
    changed = {"changed": {"single": broken}, "decoders": {"batched": replace(batched, max_tokens=11)}}
    monkeypatch.setattr(story, "tell", lambda models, settings, note: told(home, **changed))
    assert main(["demo", "--pair", str(home), "--out", str(tmp_path)]) == demo.NOT_BORNE_OUT == 1
    out, error = capsys.readouterr()
    assert "single on iid drafts: TV = " in error
    assert "batched, exact64: of 2 texts 2 differ from autoregressive ones, 2 in log-probabilities; 0 of 22" in error
    assert "exact64: 0 of 2 texts identical with all decoders" in out
    assert "ANOTHER TEXT" in out
    assert "2 check(s) failed" in (tmp_path / "report.html").read_text()


def test_defect_that_is_no_defect_is_reported(home: Path, monkeypatch) -> None:
    from reference.demo import defects

    harmless = replace(defects.DEFECTS[0], program=rules.get("single").program)
    monkeypatch.setattr(defects, "DEFECTS", (harmless,))
    assert [one.passed for one in exact_laws.check_all() if one.defect] == [False]


def accept_all() -> rules.Rule:
    """Token-wise verification that never rejects."""
    rule = rules.get("token_wise")

    def step(target, draft, tokens, uniforms) -> Verdict:
        uniforms = uniforms.copy()
        uniforms[..., :-1] = 0.0  # the last one draws the bonus token
        return rule.step(target, draft, tokens, uniforms)

    return replace(rule, step=step)


def ignores_candidates() -> rules.Rule:
    """A node rule that is lossless and useless: it draws from the target and says that nothing was accepted."""

    def step(target, draft, tokens, uniforms) -> Verdict:
        return Verdict(categorical(target, uniforms[..., -1]), np.full_like(tokens[..., 0], -1))

    return replace(rules.get("recursive"), step=step)


def test_decoder_with_wrong_acceptance_fails_the_claim(home: Path) -> None:
    """About 240 tests of mean chance 0.6 that are all accepted: 12 deviations from what is due. And 180 rounds of mean
    optimum above 0.7 none of which is accepted: the martingale's bound on the p-value is below 1e-40."""
    models, settings = (
        pair.load(home),
        Settings(prompts=8, max_tokens=40, path_tokens=24, equality_tokens=4, contexts=1, replicates=2),
    )
    broken = {TESTED: accept_all(), "paths/optimal n=2": ignores_candidates()}
    changed = {
        one.name: replace(one, rule=broken[one.name]) for one in rejecting(models, settings) if one.name in broken
    }
    found = tell(models, settings, decoders=changed)
    assert found.acceptance is not None
    assert not found.acceptance.passed
    assert any(line.startswith(f"{TESTED}: accepted share 1.0000") for line in found.failures)
    assert [one.decoder for one in found.attained if not one.judgement.passed] == ["paths/optimal n=2"]
    assert any(line.startswith("paths/optimal n=2: accepted share 0.0000, the optimum is") for line in found.failures)


def test_marks_fit_the_text(home: Path) -> None:
    text = told(home).texts[TESTED][0]
    signs = "".join(line for line in ruled(text) if set(line) <= set(" =x+."))
    accepted = sum(one.accepted for one in text.decoded.rounds)
    assert signs.count("=") <= accepted <= len(text.decoded.tokens)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--prompts", "0"], "prompts is 0"),
        (["--prompts", "1000"], "prompts is 1000"),
        (["--max-tokens", "0"], "max_tokens is 0"),
        (["--path-tokens", "0"], "path_tokens is 0"),
        (["--equality-tokens", "0"], "equality_tokens is 0"),
        (["--draft-length", "-1"], "draft_length is -1"),
        (["--seed", "-1"], "seed is -1"),
        (["--pair", "nowhere"], "nowhere/target/config.json"),
        (["--out", "file/inside"], "file"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], what: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert main(["demo", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert what in error
    assert not list(tmp_path.rglob("report.*"))


def test_missing_matplotlib_is_told(tmp_path: Path, monkeypatch, capsys) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith(("specmath.plot", "reference.demo"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 2
    assert 'pip install "specmath[plot]"' in capsys.readouterr().err
