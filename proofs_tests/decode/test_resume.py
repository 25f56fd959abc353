"""A text that is saved at a round's border, stored as JSON and resumed ends as if nothing had been."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from proofs_tests.decode.harness import table, timeless
from proofs_tests.decode.zoo import COUPLED, REJECTION, Patience
from reference import decode, drafters
from reference.decode import Saved

TARGET, DRAFT = table(3, 4), table(5, 4)
KINDS = [
    ("autoregressive", lambda draft: None, None, "coupled"),
    ("autoregressive", lambda draft: None, None, "rejection"),
]
KINDS += [(name, make, None, "coupled") for name, make in COUPLED.items()]
KINDS += [(name, make, rule, "rejection") for name, (make, rule) in REJECTION.items()]


def stored(saved: Saved) -> Saved:
    """Through a file and back."""
    found = Saved.from_json(json.loads(json.dumps(saved.as_json(), allow_nan=False)))
    assert found == saved
    return found


@pytest.mark.parametrize(("name", "make", "rule", "randomness"), KINDS)
def test_a_text_resumed_at_any_border_is_the_same(name, make, rule, randomness):
    """Rounds and all: drafts, accepted counts, log-probabilities. With a drafter that was made anew."""
    options = decode.Options(max_tokens=26, seed=9, request=2, temperature=0.8, randomness=randomness)
    prompt = [0, 1, 0]
    stream = decode.stream(TARGET, prompt, drafter=make(DRAFT), rule=rule, options=options)
    saved = [stream.save()]
    rounds = []
    for one in stream:
        rounds.append(one)
        saved.append(stream.save())
    whole = timeless(decode.collect(rounds))
    for border, state in enumerate(saved[:-1]):
        rest = decode.resume(TARGET, stored(state), drafter=make(DRAFT), rule=rule)
        assert rest.save() == state
        assert timeless(decode.collect([*rounds[:border], *rest])) == whole
    assert len(rounds) > 4


@pytest.mark.parametrize("changes", [{"seed": 8}, {"request": 1}, {"temperature": 1.0}])
def test_a_text_resumed_with_other_options_is_seen(changes):
    """Planted: the comparison above tells a seed, a number of the text and a temperature apart."""
    options = decode.Options(max_tokens=40, seed=9, temperature=0.3)
    stream = decode.stream(TARGET, [0], options=options)
    first = [next(stream) for _ in range(3)]
    state = stream.save()
    whole = decode.collect([*first, *stream]).tokens
    assert decode.collect([*first, *decode.resume(TARGET, state)]).tokens == whole
    other = dataclasses.replace(state, options=dataclasses.replace(options, **changes))
    assert decode.collect([*first, *decode.resume(TARGET, other)]).tokens != whole


def test_a_policy_without_its_memory_is_seen():
    """Planted: what the policy remembers is lost, and the text goes on with other draft lengths."""
    options = decode.Options(max_tokens=60, seed=9, randomness="rejection")
    model = table(3, 4)
    drafter = drafters.chain(model, 4, policy=Patience())  # equal models: everything is accepted
    stream = decode.stream(model, [0], drafter=drafter, options=options)
    rounds = [next(stream) for _ in range(4)]
    state = stream.save()
    rest = list(stream)
    assert state.memory == {"allowed": 4}
    for memory, same in ((state.memory, True), (None, False)):
        resumed = decode.resume(model, stored(dataclasses.replace(state, memory=memory)), drafter=drafter)
        assert ([one.drafted for one in resumed] == [one.drafted for one in rest]) == same
    assert [len(one.drafted) for one in rounds] == [1, 2, 3, 4]


def test_a_text_that_has_ended_cannot_go_on():
    options = decode.Options(max_tokens=5, seed=1)
    stream = decode.stream(TARGET, [0], options=options)
    list(stream)
    with pytest.raises(ValueError, match=r"saved: the text has ended \(length\); allowed is one that can go on"):
        decode.resume(TARGET, stream.save())
    token = stream.save().emitted[-1]
    stopped = Saved(prompt=(0,), emitted=(token,), rounds=1, options=decode.Options(stop=frozenset([token])))
    with pytest.raises(ValueError, match=r"saved: the text has ended \(stop\)"):
        decode.resume(TARGET, stopped)
    full = Saved(prompt=(0,), emitted=(0, 0), rounds=2, options=decode.Options(max_tokens=9))
    with pytest.raises(ValueError, match=r"saved: the text has ended \(context\)"):
        decode.resume(table(3, 4, context_length=3), full)


def test_a_stop_token_in_the_prompt_ends_nothing():
    options = decode.Options(max_tokens=3, stop=frozenset([2]))
    decode.resume(TARGET, Saved(prompt=(2,), emitted=(), rounds=0, options=options))


GOOD = Saved(prompt=(0,), emitted=(1, 2), rounds=2, options=decode.Options(stop=frozenset([3]))).as_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": []}, "prompt is empty"),
        ({"emitted": [7]}, r"saved.emitted\[0\] is 7; allowed are token ids from 0 to 3"),
        ({"emitted": ["1"]}, r"saved.emitted\[0\] is '1'; allowed are whole numbers"),
        ({"options": {"seed": -1}}, "seed is -1"),
        ({"options": {"warmth": 1}}, "warmth"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_a_stored_text_that_is_none_is_refused(changes, message):
    assert decode.resume(TARGET, Saved.from_json(json.loads(json.dumps(GOOD)))).save().emitted == (1, 2)
    with pytest.raises((ValueError, TypeError), match=message):
        decode.resume(TARGET, Saved.from_json({**GOOD, **changes}))


def test_the_rule_is_remembered_and_no_other_is_taken():
    drafter, options = drafters.chain(table(5, 4), 3), decode.Options(max_tokens=12, seed=3)
    whole = decode.stream(TARGET, [0], drafter=drafter, rule="block", options=options)
    next(whole)
    saved = Saved.from_json(json.loads(json.dumps(whole.save().as_json())))
    assert saved.rule == "block"
    rest = [one.emitted for one in whole]
    assert [one.emitted for one in decode.resume(TARGET, saved, drafter=drafter)] == rest
    for other in ("token_wise", None):
        with pytest.raises(ValueError, match="the saved text was judged by"):
            decode.resume(TARGET, dataclasses.replace(saved, rule=other), drafter=drafter, rule="block")
    with pytest.raises(ValueError, match="unknown here; hand in the rule"):
        decode.resume(TARGET, dataclasses.replace(saved, rule="mine"), drafter=drafter)
    with pytest.raises(ValueError, match=r"saved.rounds is 'x'"):
        dataclasses.replace(saved, rounds="x")
    with pytest.raises(ValueError, match="schema_version is not 1"):
        Saved.from_json({**GOOD, "schema_version": 7})


@pytest.mark.parametrize("name", ["prompt", "emitted", "options"])
def test_a_stored_text_without_a_field_is_refused(name):
    left = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(ValueError, match=f"saved: without '{name}'; allowed is what as_json gave"):
        Saved.from_json(left)


CHILD = """
import json, os, sys
from proofs_tests.decode.harness import table
from proofs_tests.decode.zoo import REJECTION
from reference import decode
from reference.models.table import TableModel

law = table(3, 4).law

def stuck(prefix):
    if len(prefix) > 24:  # in the middle of a round, for ever
        print("stuck", flush=True)
        sys.stdin.read()
    return law(prefix)

make, rule = REJECTION["block, patient"]
options = decode.Options(max_tokens=60, seed=5, randomness="rejection")
stream = decode.stream(TableModel(stuck, 4), [0], drafter=make(table(5, 4)), rule=rule, options=options)
for one in stream:
    with open(sys.argv[1] + ".new", "w") as file:
        json.dump(stream.save().as_json(), file)
    os.replace(sys.argv[1] + ".new", sys.argv[1])
"""


def test_a_killed_process_is_resumed_by_another(tmp_path: Path):
    """Killed inside a round, while it waits for its model; what it stored last is where the text goes on."""
    file = tmp_path / "text.json"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "stuck\n"
    finally:
        child.kill()
        child.wait(60)
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()
    assert child.returncode != 0
    make, rule = REJECTION["block, patient"]
    options = decode.Options(max_tokens=60, seed=5, randomness="rejection")
    whole = list(decode.stream(TARGET, [0], drafter=make(DRAFT), rule=rule, options=options))
    saved = Saved.from_json(json.loads(file.read_text()))
    assert 10 < len(saved.emitted) < 24
    rest = list(decode.resume(TARGET, saved, drafter=make(DRAFT), rule=rule))
    assert 0 < len(rest) < len(whole)
    again = decode.collect([*whole[: saved.rounds], *rest])
    assert timeless(again) == timeless(decode.collect(whole))
    assert saved.emitted == again.tokens[: len(saved.emitted)]
