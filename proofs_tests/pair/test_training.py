"""The training script: deterministic, resumable after a kill, and never trained on held-out text."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reference.models.llama import LlamaConfig
from reference.pair import corpus, train

TINY = LlamaConfig(
    vocab_size=256,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=16,
)
RECIPE = train.Recipe(steps=8, rate=1e-2, windows=2, length=16, warmup=2, checkpoint_every=2)
TEXT = np.frombuffer(bytes(range(1, 200)) * 4, dtype=np.uint8)

CHILD = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from proofs_tests.pair.test_training import RECIPE, TEXT, TINY
from reference.pair import train
whole = Path.replace
def replace(part, to):
    whole(part, to)
    print("checkpoint", flush=True)
    sys.stdin.readline()  # wait here, so that the kill always falls between two checkpoints
Path.replace = replace
train.fit("tiny", TINY, RECIPE, TEXT, TEXT, Path(sys.argv[1]))
"""


def weights(work: Path, recipe: train.Recipe = RECIPE) -> dict[str, torch.Tensor]:
    return train.fit("tiny", TINY, recipe, TEXT, TEXT, work).state_dict()


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(cut)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "checkpoint\n"
        child.kill()
    assert child.returncode == -9
    assert torch.load(cut / "tiny.pt", weights_only=True)["step"] == 2
    expected, resumed = weights(whole), weights(cut)
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_the_comparison_of_weights_can_fail(tmp_path: Path) -> None:
    """Control: one step less, or another seed, gives other weights."""
    for name in ("whole", "shorter", "other"):
        (tmp_path / name).mkdir()
    expected = weights(tmp_path / "whole")
    for name, change in (("shorter", {"steps": 7}), ("other", {"seed": 1})):
        found = weights(tmp_path / name, dataclasses.replace(RECIPE, **change))
        assert not all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    weights(tmp_path)
    with pytest.raises(ValueError, match="written by another recipe"):
        weights(tmp_path, dataclasses.replace(RECIPE, rate=2e-2))


def test_every_window_is_used_once_an_epoch() -> None:
    text = np.arange(1, 1 + 6 * RECIPE.length + 1, dtype=np.int64) % 251
    starts = [int(row[0]) for step in range(3) for row in train.batch(text, RECIPE, step)]
    assert sorted(starts) == sorted(int(text[i * RECIPE.length]) for i in range(6))
    assert torch.equal(train.batch(text, RECIPE, 1), train.batch(text, RECIPE, 1))


def test_too_little_text_is_refused() -> None:
    with pytest.raises(ValueError, match="one batch needs"):
        train.batch(TEXT[:20], RECIPE, 0)


def test_held_out_files_are_not_trained_on() -> None:
    found = corpus.documents()
    held = {document.name for document in found if document.held_out}
    trained = {document.name for document in found if not document.held_out}
    assert held
    assert not held & trained
    assert 0.01 < len(held) / len(found) < 0.2
    # The split depends on the name alone: other bytes under the same name stay on the same side.
    one = found[0]
    assert corpus.Document(one.name, "", b"x").held_out == one.held_out


def test_a_changed_library_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x = 1\n")
    (tmp_path / "b.py").write_bytes(b"y = 2\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "left_out.py").write_bytes(b"z = 3\n")
    manifest = tmp_path / "manifest.json"
    first = corpus.documents(tmp_path)
    assert [document.name for document in first] == ["a.py", "b.py"]
    corpus.write_manifest(first, manifest)
    assert corpus.differences(corpus.documents(tmp_path), manifest) == []
    (tmp_path / "a.py").write_bytes(b"x = 2\n")
    (tmp_path / "b.py").unlink()
    (tmp_path / "c.py").write_bytes(b"c\n")
    assert corpus.differences(corpus.documents(tmp_path), manifest) == [
        "missing here: b.py",
        "new here: c.py",
        "changed: a.py",
    ]
