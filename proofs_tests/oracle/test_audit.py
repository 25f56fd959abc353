"""Verdicts: lossless code passes, and each kind of defect gets its status, check, smallest instance and cause."""

from __future__ import annotations

import inspect
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from specmath import rules
from specmath.exact import Enumerated, Explorer
from specmath.oracle import Instance, Lossy, Verdict, audit, checks, standard
from specmath.oracle.instance import Table, fractions
from specmath.oracle.joint import joint
from specmath.oracle.kinds import Call, extras
from specmath.rules.laws import round_law

# Verifiers, as people write them.


def token_wise(target: Any, draft: Any, tokens: Any) -> Any:
    """Vectorised, with a branch of its own for an empty residual."""
    length = len(tokens)
    at = torch.arange(length)
    passed = torch.rand(length) < target[at, tokens] / draft[at, tokens]
    kept = int(passed.long().cumprod(0).sum())
    law = target[kept]
    if kept < length:
        left = (law - draft[kept]).clamp(min=0)
        law = left if left.sum() > 0 else law
    return torch.cat([tokens[:kept], torch.multinomial(law, 1)])


def looped(target: Any, draft: Any, tokens: Any, residual: Any, test: Any, uniform: Any) -> Any:
    for i, token in enumerate(tokens.tolist()):
        if not test(uniform(), target[i, token], draft[i, token]):
            law = residual(target[i], draft[i])
            return [*tokens[:i].tolist(), torch.multinomial(law if law.sum() > 0 else target[i], 1).item()]
    return [*tokens.tolist(), torch.multinomial(target[-1], 1).item()]


def positive(target: Any, draft: Any) -> Any:
    return (target - draft).clamp(min=0)


def strict(u: Any, p: Any, q: Any) -> Any:
    return u < p / q


def drawn() -> Any:
    return torch.rand(())


def good_loop(target: Any, draft: Any, tokens: Any) -> Any:
    return looped(target, draft, tokens, positive, strict, drawn)


def target_residual(target: Any, draft: Any, tokens: Any) -> Any:
    return looped(target, draft, tokens, lambda p, q: p, strict, drawn)


def weak_test(target: Any, draft: Any, tokens: Any) -> Any:
    return looped(target, draft, tokens, positive, lambda u, p, q: u <= p / q, drawn)


def half_uniforms(target: Any, draft: Any, tokens: Any) -> Any:
    return looped(target, draft, tokens, positive, strict, lambda: torch.rand((), dtype=torch.bfloat16))


def one_uniform(target: Any, draft: Any, tokens: Any) -> Any:
    u = torch.rand(())
    return looped(target, draft, tokens, positive, strict, lambda: u)


def reseeded(target: Any, draft: Any, tokens: Any) -> Any:
    def uniform() -> Any:
        torch.manual_seed(7)
        return torch.rand(())

    return looped(target, draft, tokens, positive, strict, uniform)


def mutates(target: Any, draft: Any, tokens: Any) -> Any:
    emitted = good_loop(target, draft, tokens)
    target.mul_(0.5)
    return emitted


def late_nan(target: Any, draft: Any, tokens: Any) -> Any:
    """No branch for an empty residual: a rejection by rounding divides by zero."""
    for i, token in enumerate(tokens.tolist()):
        if torch.rand(()) >= target[i, token] / draft[i, token]:
            left = positive(target[i], draft[i])
            return [*tokens[:i].tolist(), torch.multinomial(left / left.sum(), 1).item()]
    return [*tokens.tolist(), torch.multinomial(target[-1], 1).item()]


def too_many(target: Any, draft: Any, tokens: Any) -> Any:
    return [*tokens.tolist(), 0, 0]


def gap(target: Any, draft: Any, tokens: Any) -> Any:
    return [0, -1, 0]


def words(target: Any, draft: Any, tokens: Any) -> Any:
    return "two tokens"


def raises(target: Any, draft: Any, tokens: Any) -> Any:
    raise KeyError("cache")


def leaves(target: Any, draft: Any, tokens: Any) -> Any:
    raise SystemExit(3)


def outside(target: Any, draft: Any, tokens: Any) -> Any:
    return [target.shape[-1]]


def normal(target: Any, draft: Any, tokens: Any) -> Any:
    return [int(torch.randn(1) > 0)]


COUNTER: list[int] = []


def remembers(target: Any, draft: Any, tokens: Any) -> Any:
    """The token depends on how often it was called."""
    COUNTER.append(0)
    return [len(COUNTER) % 2]


SMALL = standard("chain", n=1)[:6]
CASES = {  # function: status, failed check, words of the cause
    good_loop: ("lossless", "", ""),
    token_wise: ("lossless", "", ""),
    target_residual: ("biased", "exact_law", "residual taken from the target"),
    one_uniform: ("biased", "exact_law", "one uniform for all positions"),
    reseeded: ("biased", "draft_stream", ""),
    half_uniforms: ("biased", "exact_law", "0.00195"),
    weak_test: ("unsafe", "unsafe_zero", "u <= ratio"),
    mutates: ("unsafe", "inputs_not_mutated", ""),
    too_many: ("failed", "count_range", ""),
    gap: ("failed", "padding", ""),
    words: ("failed", "shape", ""),
    raises: ("failed", "returns", ""),
    leaves: ("failed", "returns", ""),
    outside: ("biased", "support", ""),
}


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_verdict(function: Any) -> None:
    status, check, cause = CASES[function]
    found = audit(function, instances=standard("chain", n=2)[:6])
    failed = {result.name: result for result in found.checks if not result.passed}
    assert found.status == status
    assert (check in failed) == bool(check)
    assert check or not failed
    assert cause in found.cause
    assert found.exit_code == {"lossless": 0, "biased": 1, "unsafe": 1, "failed": 4}[status]
    assert {result.name for result in found.checks} == set(checks("chain"))
    if status == "lossless":
        assert found.instance is None
        assert found.total_variation <= found.tolerance == 3 * 8 * 2.0**-23
    else:
        assert found.instance is not None
        assert found.instance.n <= 2
        assert found.instance.vocabulary == 2
    if status == "biased":
        assert found.total_variation > found.tolerance
        assert f"{found.cells[0].expected:.6g}" in str(found)


def test_counterexample_is_the_smallest() -> None:
    """Residual from the target: one draft, two tokens; and its numbers are those of exact enumeration."""
    found = audit(target_residual)
    instance = found.instance
    assert instance is not None
    assert (instance.n, instance.vocabulary, len({instance.target[c] for c in instance.contexts()})) == (1, 2, 1)

    def defect(chance: Any, target: Any, draft: Any, tokens: Any) -> tuple[int, ...]:
        if chance.flip(min(1, target[0][tokens[0]] / draft[0][tokens[0]])):
            return (tokens[0], chance.draw(target[1]))
        return (chance.draw(target[0]),)

    law = round_law(rules.get("token_wise"), instance.target, instance.draft, instance.parents, "iid", program=defect)
    expected = dict.fromkeys([(0, 0), (0, 1), (1, 0), (1, 1)], 0.0)
    for emitted, probability in law.items():
        for text in expected:
            if text[: len(emitted)] == emitted:
                rest = 1 if len(emitted) == 2 else instance.target[emitted][text[1]]
                expected[text] += float(probability * rest)
    for cell in found.cells:
        assert cell.actual == pytest.approx(expected[cell.text[0]], abs=1e-7)
        assert cell.expected == pytest.approx(
            float(instance.target[()][cell.text[0][0]] * instance.target[cell.text[0][:1]][cell.text[0][1]])
        )
    assert found.total_variation == pytest.approx(sum(abs(c.expected - c.actual) for c in found.cells) / 2, abs=1e-6)


def test_replay() -> None:
    found = audit(target_residual)
    assert found.replay is not None
    again = found.replay()
    assert (again.status, again.total_variation, again.instance) == ("biased", found.total_variation, found.instance)


def test_probability_of_an_impossible_token() -> None:
    """At ratio zero the draft passes where u is 0.0: its draft probability times 2^-24, to the last digit."""
    half = Table({}, fractions(1, 1))
    one = Instance("zero", "chain", Table({}, fractions(1, 0)), half, (-1,))
    seen = joint(Call(weak_test, "torch", "float32", ()), one)
    assert sum(seen.impossible.values()) == 0.5 * 2.0**-24
    assert audit(weak_test, instances=[one]).status == "unsafe"
    assert audit(good_loop, instances=[one]).status == "lossless"


def test_rare_failure_is_unsafe() -> None:
    """A division by zero where the laws are equal up to the last bit: rarer than the tolerance, and not lossless."""
    found = audit(late_nan, instances=standard("chain", n=1)[-1:])
    assert found.status == "unsafe"
    (failed,) = [result for result in found.checks if not result.passed]
    assert failed.name == "returns"
    assert 0 < failed.value < found.tolerance
    assert audit(good_loop, instances=standard("chain", n=1)[-1:]).status == "lossless"


def test_deterministic_drafts() -> None:
    """A ratio test is right for drafts that were drawn, and biased for the argmax; a target-only test for neither."""

    def target_only(target: Any, draft: Any, tokens: Any) -> Any:
        for i, token in enumerate(tokens.tolist()):
            if torch.rand(()) >= target[i, token]:
                left = target[i].clone()
                left[token] = 0
                return [*tokens[:i].tolist(), torch.multinomial(left, 1).item()]
        return [*tokens.tolist(), torch.multinomial(target[-1], 1).item()]

    found = audit(token_wise, drafts="top_k", n=1)
    assert (found.status, "not drawn from the draft law" in found.cause) == ("biased", True)
    assert audit(target_only, drafts="top_k", n=1).status == "lossless"
    assert audit(target_only, drafts="iid", n=1).status == "lossless"


@pytest.mark.parametrize("lenience", [1, 2])
def test_declared_lossy_mode(lenience: int) -> None:
    """A verifier with relaxed laws is what it declares, and biased where it declares something else."""

    def mixed(target: Any, draft: Any, tokens: Any) -> Any:
        target = target.clone()
        target[:-1] = target[:-1] / 2 + draft / 2
        return token_wise(target, draft, tokens)

    def law(weight: Fraction) -> Any:
        return lambda p, q: tuple((1 - weight) * a + weight * b for a, b in zip(p, q, strict=True))

    options: Any = {"arrays": "torch", "n": 2, "minimise": False}
    right = audit(mixed, declared=Lossy("half of the draft", law(Fraction(1, 2))), **options)
    assert (right.status, right.exit_code) == ("lossy-as-declared", 0)
    assert right.total_variation > 0.1
    wrong = audit(mixed, declared=Lossy("a third of the draft", law(Fraction(1, 3))), **options)
    assert (wrong.status, "a third of the draft" in wrong.cause) == ("biased", True)
    assert audit(mixed, **options).status == "biased"


def test_what_cannot_be_followed_is_undecided() -> None:
    found = audit(normal)
    assert (found.status, found.evidence, found.exit_code) == ("undecided", "none", 3)
    assert "randn" in found.cause
    found = audit(good_loop, budget=5)
    assert (found.status, "budget=5" in found.cause) == ("undecided", True)


def test_same_seed() -> None:
    found = audit(remembers, arrays="torch", instances=SMALL)
    assert "same_seed" in [result.name for result in found.checks if not result.passed] or found.status == "undecided"


def by_column(target: Any, draft: Any, tokens: Any, shared: bool) -> Any:
    """A batch; ``shared`` coins are one row for all."""
    passed = torch.rand(tokens.shape[1:] if shared else tokens.shape) < (
        torch.take_along_dim(target[:, :-1], tokens[..., None], 2) / torch.take_along_dim(draft, tokens[..., None], 2)
    ).squeeze(-1)
    rows = []
    for b, kept in enumerate(passed.long().cumprod(1).sum(1).tolist()):
        law = target[b, kept]
        if kept < tokens.shape[1]:
            left = (law - draft[b, kept]).clamp(min=0)
            law = left if left.sum() > 0 else law
        rows.append(torch.cat([tokens[b, :kept], torch.multinomial(law, 1)]))
    return rows


def test_batch() -> None:
    """Rows that share a coin are right one by one, and not together."""
    good = audit(
        lambda target, draft, tokens: by_column(target, draft, tokens, False), kind="batch", n=1, arrays="torch"
    )
    assert good.status == "lossless"
    bad = audit(lambda target, draft, tokens: by_column(target, draft, tokens, True), kind="batch", n=1, arrays="torch")
    assert bad.status == "biased"
    assert "batch_mates" in [result.name for result in bad.checks if not result.passed]


class Coins:
    """A `Chance` that draws from numpy, which the oracle intercepts: any rule's program as foreign code."""

    def flip(self, prob: Any) -> bool:
        return bool(np.random.random() < float(prob))  # noqa: NPY002

    def draw(self, weights: Any) -> int:
        law = np.array([float(weight) for weight in weights])
        return int(np.random.choice(len(law), p=law / law.sum()))  # noqa: NPY002


def as_foreign(name: str) -> Any:
    rule = rules.get(name)

    def node(target: Any, draft: Any, tokens: Any) -> Any:
        return rule.program(Coins(), target.tolist(), draft.tolist(), tuple(tokens.tolist()))

    def chain(target: Any, draft: Any, tokens: Any) -> Any:
        return list(rule.program(Coins(), target.tolist(), draft.tolist(), tuple(tokens.tolist())))

    def tree(target: Any, draft: Any, tokens: Any, parents: Any) -> Any:
        before = [draft[parent + 1].tolist() for parent in parents]
        arguments = target.tolist(), before, tuple(tokens.tolist()), tuple(parents.tolist())
        return list(rule.program(Coins(), *arguments))

    return {"node": node, "chain": chain, "tree": tree}[rule.layout]


@pytest.mark.parametrize("name", ["recursive", "k_seq", "single", "token_wise", "block", "traversal"])
def test_our_own_rules_are_lossless(name: str) -> None:
    """Programs that were proved by enumeration over fractions pass the audit of their source, and its law is theirs."""
    rule = rules.get(name)
    function = as_foreign(name)
    instances = standard(rule.layout, n=1 if name == "single" else None)[:8]
    found = audit(function, kind=rule.layout, arrays="numpy", instances=instances)
    assert found.status == "lossless", str(found)
    one = instances[2]
    seen = joint(Call(function, "numpy", "float64", ()), one)
    law = round_law(rule, one.target, one.draft, one.parents, "iid")
    for emitted, probability in law.items():
        assert seen.emitted[(emitted,)] == pytest.approx(float(probability), abs=1e-12)


@pytest.mark.parametrize(("drafts", "status"), [("iid", "lossless"), ("without_replacement", "biased")])
def test_a_rule_under_the_wrong_drafts_is_biased(drafts: str, status: str) -> None:
    found = audit(as_foreign("recursive"), kind="node", arrays="numpy", n=2, drafts=drafts)
    assert found.status == status


def test_transformers() -> None:
    """The function that transformers ships, unmodified: its law is the target's, and u <= ratio passes at u = 0."""
    utils = pytest.importorskip("transformers.generation.utils")
    names = inspect.signature(utils._speculative_sampling).parameters

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        options = {
            "candidate_input_ids": tokens[None],
            "candidate_logits": draft.log()[None],
            "candidate_length": len(tokens),
            "new_logits": target.log()[None],
        }
        emitted, _ = utils._speculative_sampling(**{name: options[name] for name in names if name in options})
        return emitted[0]

    found = audit(verify, arrays="torch", instances=standard("chain", n=2)[:8])
    assert found.total_variation <= found.tolerance
    assert found.status in ("unsafe", "lossless")
    if "r_i <= probability_ratio" in inspect.getsource(utils._speculative_sampling):
        assert [result.name for result in found.checks if not result.passed] == ["unsafe_zero"]


def test_uniforms_as_an_argument() -> None:
    def scripted(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Any:
        coins = iter(uniforms)
        for i, token in enumerate(tokens):
            if next(coins) * draft[i, token] >= target[i, token]:
                left = np.maximum(target[i] - draft[i], 0)
                return [*tokens[:i], inverted(left if left.any() else target[i], uniforms[-1])]
        return [*tokens, inverted(target[-1], uniforms[-1])]

    def inverted(law: Any, u: Any) -> Any:
        edges = np.cumsum(law)
        return min(int(np.searchsorted(edges, u * edges[-1], side="right")), int(np.flatnonzero(law)[-1]))

    def opaque(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Any:
        """As a compiled kernel: reads the memory of its uniforms."""
        return scripted(target, draft, tokens, np.frombuffer(bytes(memoryview(uniforms)), dtype=uniforms.dtype))

    assert extras(scripted, "numpy") == ("uniforms",)
    symbolic = audit(scripted, arrays="numpy", n=1)
    assert (symbolic.status, symbolic.calls) == ("lossless", ("numpy random float64",))
    by_breakpoints = audit(opaque, arrays="numpy", instances=standard("chain", n=1)[:5])
    assert (by_breakpoints.status, by_breakpoints.calls) == ("lossless", ("uniforms, by breakpoints",))


def test_errors() -> None:
    for options, words in (
        ({"kind": "path"}, "kind is 'path'; allowed are 'node', 'chain'"),
        ({"arrays": "cupy"}, "arrays is 'cupy'"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"drafts": "uniform"}, "drafts is 'uniform'"),
        ({"n": 0}, "n is 0"),
        ({"kind": "node", "n": 5, "drafts": "without_replacement"}, "n is 5: no standard instance"),
        ({"kind": "tree", "declared": Lossy("x", lambda p, q: p)}, "declared is allowed for nodes and chains"),
        ({"kind": "node", "instances": SMALL}, "is of kind 'chain'; allowed is 'node'"),
    ):
        with pytest.raises(ValueError, match=words):
            audit(good_loop, **options)


def test_instances_have_what_finds_defects() -> None:
    """Zeros on either side, equal and disjoint laws, residuals of several tokens, laws that depend on the context."""
    for kind in ("chain", "tree"):
        pairs = [
            (one.target[context], one.draft[context])
            for one in standard(kind)
            for context in one.contexts()
            if one.n > 1
        ]
        assert any(p == q for p, q in pairs)
        assert any(not any(a and b for a, b in zip(p, q, strict=True)) for p, q in pairs)
        assert any(sum(a > b for a, b in zip(p, q, strict=True)) >= 3 for p, q in pairs)
        assert any(0 in p and 0 not in q for p, q in pairs)
        assert any(0 in q and 0 not in p for p, q in pairs)
        assert all(len({one.target[c] for c in one.contexts()}) > 1 for one in standard(kind)[:-1])
        assert max(one.length for one in standard(kind)) >= 3


def test_explorer_is_the_exact_one() -> None:
    """Own code under `Enumerated` and foreign code under the oracle share the search: a choice outside is refused."""
    explorer = Explorer(10)
    assert [outcome for outcome, _ in explorer.paths(lambda: Enumerated(explorer).flip(Fraction(1, 2)))] == [
        True,
        False,
    ]


def test_verdict_prints(capsys: pytest.CaptureFixture[str]) -> None:
    found: Verdict = audit(target_residual)
    text = str(found)
    assert "residual taken from the target" in text
    assert "(start)" in text
    assert text.splitlines()[0] == "biased: target_residual (chain, torch float32, drafts iid)"
    assert not capsys.readouterr().out
