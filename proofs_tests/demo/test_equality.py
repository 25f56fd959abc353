"""The equality check: it compares the logits that decided the tokens, it sees every bit, and planted defects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reference.demo.equality as equality_module
from reference import decode, pair
from reference.decode import Decoded, Round
from reference.demo.decoders import coupled
from reference.demo.decoding import Made, Text, run
from reference.demo.equality import Compared, Equality, check, compare, likeness
from reference.demo.grid import KEY, cells, drawing
from reference.demo.marks import characters, ends_below
from reference.demo.planted import DEFECTS, Planted
from reference.demo.settings import Settings
from reference.models.tiny import TinyModel
from reference.pair import Pair
from reference.pair.prompts import Prompt, spread
from specmath.logits import law_from_logits

SETTINGS = Settings(prompts=3, equality_tokens=16)


@pytest.fixture(scope="module")
def models(home: Path) -> Pair:
    return pair.load(home)


@pytest.fixture(scope="module")
def made(models: Pair) -> list[Made]:
    return run(models.target, coupled(models, SETTINGS), spread(3), SETTINGS)


@pytest.fixture(scope="module")
def equality(models: Pair, made: list[Made]) -> Equality:
    return check(made, models, spread(3), SETTINGS)


def reported(text: Text) -> np.ndarray:
    """Log-probabilities that follow from the recorded logits."""
    laws = law_from_logits(text.logits.astype(np.float64))
    return np.log(laws[np.arange(len(text.decoded.tokens)), list(text.decoded.tokens)])


def test_recorded_logits_decided_the_tokens(made: list[Made]) -> None:
    """One row a token, from which the reported log-probabilities follow bit by bit; the row beside does not do."""
    for one in made:
        for text in one.texts:
            assert len(text.logits) == len(text.decoded.tokens)
            assert reported(text).tolist() == list(text.decoded.logprobs), one.decoder.name
            shifted = replace(text, logits=np.roll(text.logits, 1, axis=0))
            assert reported(shifted).tolist() != list(text.decoded.logprobs)


def test_decoders_did_work(made: list[Made]) -> None:
    """Drafts were kept and rejected, and a batch held several texts: otherwise equality would be no wonder."""
    for one in made[1:]:
        rounds = [record for text in one.texts for record in text.decoded.rounds]
        assert sum(record.accepted for record in rounds) > 5, one.decoder.name
        assert any(record.accepted < len(record.drafted) for record in rounds), one.decoder.name
    batched = made[-1]
    assert batched.decoder.rows > 1
    assert batched.passes < sum(len(text.decoded.rounds) for text in batched.texts)


def test_every_promise_is_kept_and_every_defect_seen(equality: Equality) -> None:
    assert equality.failures == []
    assert equality.shares()["exact64"] == (3, 3)
    assert [one.defect for one in equality.compared if one.defect] == list(DEFECTS)
    assert all(one.passed for one in equality.compared if one.defect)
    contrast = [one for one in equality.compared if one.arithmetic == "native"]
    assert contrast
    assert all(one.passed is None for one in contrast)


def test_a_target_without_a_defect_is_not_taken_for_one(models: Pair, made: list[Made], monkeypatch) -> None:
    """The planted target without its mistake decodes the autoregressive text, and that is reported as not seen."""
    monkeypatch.setattr(equality_module, "DEFECTS", {"nothing": Planted})
    found = check(made, models, spread(3), SETTINGS)
    assert found.failures == ["defect not seen by the equality check: nothing"]


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_in_all_decoders(models: Pair, defect: str) -> None:
    """A chain's slots are its positions, it has no siblings, and its path lies where it belongs. Trees differ."""
    broken: TinyModel = DEFECTS[defect](models.target)  # type: ignore[assignment]
    decoders = [one for one in coupled(models, SETTINGS) if one.name != "batched"]
    first, chain, *trees = run(broken, decoders, spread(3), SETTINGS)
    assert compare(chain, first.texts, "exact64").equal
    for tree in trees:
        assert not compare(tree, first.texts, "exact64").equal, tree.decoder.name


def of(tokens: tuple[int, ...], logits: np.ndarray, logprobs: tuple[float, ...] | None = None) -> Text:
    """A text of one round."""
    logs = logprobs or (-1.0,) * len(tokens)
    one = Round(
        request=0,
        round=0,
        position=1,
        drafted=tokens[:1],
        parents=(-1,),
        draft_logprobs=(-1.0,),
        target_logprobs=(-1.0,),
        accepted=1,
        emitted=tokens,
        logprobs=logs,
        stop_reason="length",
        target_calls=1,
        draft_calls=1,
        seconds=0.0,
    )
    decoded = Decoded(tokens=tokens, rounds=(one,), stop_reason="length")
    return Text("x", Prompt("x", "x", "x"), (0,), decode.Options(), decoded, logits)


def test_every_bit_counts() -> None:
    rows = np.array([[1.0, 0.0], [2.0, 3.0], [4.0, 5.0]])
    judge = of((1, 2, 3), rows)
    same = likeness(judge, judge)
    assert (same.same_text, same.same_logprobs, same.leading, same.same_logits.all()) == (True, True, 3, True)
    for place, value in (((0, 1), -0.0), ((1, 0), np.nextafter(2.0, 3.0)), ((2, 1), np.nan)):
        other = rows.copy()
        other[place] = value
        found = likeness(of((1, 2, 3), other), judge)
        assert found.same_text
        assert np.flatnonzero(~found.same_logits).tolist() == [place[0]]
    assert not likeness(of((1, 2, 3), rows, (-1.0, np.nextafter(-1.0, 0), -1.0)), judge).same_logprobs
    stopped = replace(judge, decoded=replace(judge.decoded, stop_reason="stop"))
    assert not likeness(stopped, judge).same_text


def test_logits_count_up_to_the_token_that_differs() -> None:
    rows = np.arange(8.0).reshape(4, 2)
    judge, other = of((1, 2, 3, 4), rows), of((1, 9, 3, 4), rows + np.array([[0], [1], [1], [1]]))
    found = likeness(other, judge)
    assert (found.leading, found.same_logits.tolist(), found.same_text) == (1, [True, False], False)
    assert cells(found) == ["drafted", "other", "other", "other"]
    short = likeness(of((1, 2), rows[:2]), judge)
    assert (short.leading, short.same_logits.tolist(), short.same_text) == (2, [True, True], False)
    assert cells(short) == ["drafted", "own"]
    moved = likeness(of((1, 2, 3, 4), rows + 1), judge)
    assert cells(moved) == ["moved"] * 4


def test_share_counts_texts_that_agree_everywhere() -> None:
    """Each decoder misses another text: each has two of three right, all together one."""
    rows = np.zeros((1, 2))
    right, wrong = likeness(of((1,), rows), of((1,), rows)), likeness(of((0,), rows), of((1,), rows))
    found = Equality(
        (
            Compared("a", "exact64", True, (right, wrong, right)),
            Compared("b", "exact64", True, (right, right, wrong)),
            Compared("c", "exact64", True, (wrong, wrong, wrong), "planted"),
        )
    )
    assert found.shares() == {"exact64": (1, 3)}
    assert len(found.failures) == 2
    assert found.failures[0].startswith("a, exact64: of 3 texts 1 differ")


def test_picture_has_a_box_for_every_token(equality: Equality) -> None:
    drawn = drawing(equality)
    due = [kind for one in equality.compared for text in one.likenesses for kind in cells(text)]
    for kind in KEY:
        boxes = [part.split('d="')[1].split('"')[0] for part in drawn.split(f'<path class="{kind}" ')[1:]]
        assert sum(part.count("M") for part in boxes) == due.count(kind)
    assert due.count("moved") > 0 < due.count("drafted")


@pytest.mark.parametrize(
    ("parents", "drafted", "emitted", "accepted", "due"),
    [
        ((-1, 0), (5, 6), (5, 6, 7), 2, True),
        ((-1, 0), (5, 6), (5, 7), 1, False),
        ((-1, -1), (5, 6), (7,), 0, False),
        ((-1, -1, 0), (5, 6, 7), (6, 8), 1, True),  # nothing hangs below the second candidate
        ((-1, -1, 0), (5, 6, 7), (5, 8), 1, False),
    ],
)
def test_what_ends_below_the_kept_path(parents, drafted, emitted, accepted, due) -> None:
    one = replace(of(emitted, np.zeros((1, 1))).decoded.rounds[0], parents=parents, drafted=drafted, accepted=accepted)
    assert ends_below(one) == due


def test_characters_keep_their_places() -> None:
    assert characters([104, 0, 195, 169, 10, 33]) == "h····!"
