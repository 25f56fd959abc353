"""transformers as installed: the verdict on every way in which it speculates, by the exact law of its own code."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="transformers needs torch")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from specmath.oracle.adapters import Missing, Whole, audit_adapter, hf, hf_generate, hf_models  # noqa: E402
from specmath.oracle.adapters.registry import Adapter  # noqa: E402
from specmath.oracle.generate.audit import audit_generate  # noqa: E402
from specmath.oracle.prompted import text_law  # noqa: E402
from specmath.oracle.verdict import Verdict  # noqa: E402

AUDITED = "5.23.0"
pytestmark = pytest.mark.skipif(
    transformers.__version__ != AUDITED,
    reason=f"verdicts are those of transformers {AUDITED}, and {transformers.__version__} is installed",
)
BY_NAME = {adapter.name.removeprefix("transformers."): adapter for adapter in hf.ADAPTERS}
FALSE_ALARM = 1e-9


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Models of eight numbers wide gain nothing from several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", BY_NAME)
def test_verdict(name: str) -> None:
    adapter = BY_NAME[name]
    options: dict[str, Any] = {"n": 2} if adapter.kind == "chain" else {}
    check(adapter, audit_adapter(adapter.name, minimise=adapter.expected == "biased", **options))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, adapter in BY_NAME.items() if adapter.kind == "chain"])
def test_verdict_of_deeper_chains(name: str) -> None:
    check(BY_NAME[name], audit_adapter(BY_NAME[name].name))


def check(adapter: Adapter, verdict: Verdict) -> None:
    """What the adapter says is what was found."""
    assert verdict.status == adapter.expected, str(verdict)
    assert verdict.function == f"{adapter.name} (transformers {AUDITED})"
    if adapter.expected == "unsafe":  # the law is right, but for a uniform of exactly zero
        assert [check.name for check in verdict.checks if not check.passed] == ["unsafe_zero"]
        assert 0 < verdict.total_variation <= verdict.tolerance
    if adapter.family == "sampler_match":
        assert verdict.status == "lossless"


def defect(residual: bool, swapped: bool, strict: bool = False) -> Any:
    """transformers' rule written again, with mistakes: residual from the target, ratio upside down, or none."""

    def verify(
        candidate_input_ids: Any, candidate_logits: Any, candidate_length: int, new_logits: Any, **_: Any
    ) -> Any:
        drafted = candidate_input_ids[0, -candidate_length:]
        target, draft = new_logits[0].softmax(-1), candidate_logits[0].softmax(-1)
        places = torch.arange(candidate_length)
        ratio = target[places, drafted] / draft[places, drafted]
        ratio = 1 / ratio if swapped else ratio
        drawn = torch.rand_like(ratio)
        accepted = drawn < ratio if strict else drawn <= ratio
        count = int(((~accepted).cumsum(0) < 1).sum())
        law = target[count]
        if count < candidate_length and not residual:
            law = (law - draft[count]).clamp(min=0)
        last = torch.multinomial(law, 1)
        return torch.cat([drafted[:count], last])[None], count

    return verify


@pytest.mark.parametrize(("residual", "swapped"), [(True, False), (False, True)], ids=["residual", "swapped"])
@pytest.mark.parametrize("name", ["speculative_sampling", "assisted_stop", "early_exit", "mtp", "dflash"])
def test_planted(name: str, residual: bool, swapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same adapters find a wrong rule in its place."""
    monkeypatch.setattr(transformers.generation.utils, "_speculative_sampling", defect(residual, swapped))
    options: dict[str, Any] = {"n": 1} if BY_NAME[name].kind == "chain" else {}
    assert audit_adapter(f"transformers.{name}", minimise=False, **options).status == "biased"


@pytest.mark.parametrize("name", ["assisted", "early_exit"])
def test_strict_comparison_is_lossless(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With u < ratio the finding goes away, and nothing else was wrong."""
    monkeypatch.setattr(transformers.generation.utils, "_speculative_sampling", defect(False, False, strict=True))
    assert audit_adapter(f"transformers.{name}", minimise=False).status == "lossless"


def test_planted_logits_of_copied_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompt lookup that reports soft logits for its fixed drafts goes to the ratio test, and is biased."""
    kind = transformers.generation.candidate_generator.PromptLookupCandidateGenerator
    found = kind.get_candidates

    def get_candidates(self: Any, input_ids: Any, **more: Any) -> Any:
        ids, _ = found(self, input_ids, **more)
        count = ids.shape[1] - input_ids.shape[1]
        return ids, torch.zeros(1, count, hf_models.V) if count else None

    monkeypatch.setattr(kind, "get_candidates", get_candidates)
    assert audit_adapter("transformers.prompt_lookup", minimise=False).status == "biased"


@pytest.mark.parametrize("build", [hf_generate.assisted_greedy, hf_generate.universal_greedy])
def test_planted_greedy(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing with the second-likeliest tokens is found without sampling too."""
    kind = type(hf_models.llama(1))
    forward = kind.forward

    def second(self: Any, *given: Any, **words: Any) -> Any:
        found = forward(self, *given, **words)
        if words.get("past_key_values") is not None and found.logits.shape[-1] == hf_models.V:
            best = found.logits.argmax(-1, keepdim=True)
            found.logits = found.logits.scatter(-1, best, -100.0)
        return found

    assert audit_whole(build()).status == "lossless"
    monkeypatch.setattr(kind, "forward", second)
    assert audit_whole(build()).status != "lossless"


def audit_whole(whole: Whole, **options: Any) -> Any:
    """As `audit_adapter` does, for calls that are no adapters."""
    given = {"prompts": whole.prompts, "length": whole.length, "stop": whole.stop, "arrays": "torch"}
    return audit_generate(whole.generate, whole.target, **{**given, "minimise": False, **options})


def universal(words: str, order: Any) -> Whole:
    """The call with another tokenizer, whose `get_vocab` lists words in this order."""
    made = hf_models.tokenizer(words)

    class Listed(type(made)):
        def get_vocab(self) -> dict[str, int]:
            return dict(sorted(super().get_vocab().items(), key=order))

    arguments = {
        "assistant_model": hf_models.drafting(hf_models.llama(2, vocabulary=len(words.split())), 1),
        "tokenizer": hf_models.tokenizer(hf_generate.TARGET_WORDS),
        "assistant_tokenizer": Listed(tokenizer_object=made._tokenizer),
    }
    return hf_generate.whole(hf_models.llama(1), hf_models.Sampling(), arguments=arguments, length=2)


def test_universal_depends_on_the_order_of_get_vocab() -> None:
    """Nothing but the order in which the vocabulary is listed decides between lossless and biased."""
    words = hf_generate.ASSISTANT_WORDS
    assert audit_whole(universal(words, lambda entry: entry[1])).status != "biased"
    falling = audit_whole(universal(words, lambda entry: -entry[1]))
    assert (falling.status, round(falling.total_variation, 3)) == ("biased", 0.124)


def test_universal_with_all_words_known_raises() -> None:
    """An assistant whose words are all known to the target has no cut head, which is then asked for."""
    verdict = audit_whole(universal("a b c", lambda entry: entry[1]))
    assert verdict.status == "failed"
    assert "assistant_overlap_token_ids" in str(verdict)


def test_gemma_4_assistant_cannot_be_built() -> None:
    """Its config demands that all layers share keys and values; the layers demand one that does not."""
    size = {**hf_models.SIZE, "vocab_size": 4, "head_dim": 8, "hidden_size_per_layer_input": 0}
    text = transformers.Gemma4TextConfig(
        **size, num_hidden_layers=2, layer_types=hf_models.TYPES, vocab_size_per_layer_input=0
    )
    config = transformers.Gemma4AssistantConfig(text_config=text, backbone_hidden_size=8)
    assert config.text_config.num_kv_shared_layers == config.text_config.num_hidden_layers
    with pytest.raises(ValueError, match="layer types producing a cache"):
        transformers.Gemma4AssistantForCausalLM(config)


def test_signatures() -> None:
    """Arguments of older versions are filled in; unknown ones are named."""

    known = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in hf.KNOWN]

    def made(*names: str, without: int | None = None) -> Any:
        more = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]

        def verifier(*given: Any) -> None: ...

        kept = [one for i, one in enumerate(known) if i != without]
        verifier.__signature__ = inspect.Signature([*kept, *more])  # type: ignore[attr-defined]
        return verifier

    old, older = made("is_done_candidate"), made("last_assistant_token_is_eos")
    other, lacking = made("tree"), made(without=2)
    assert hf.bound(old, {}) == {"is_done_candidate": False}
    assert hf.bound(older, {}) == {"last_assistant_token_is_eos": False}
    with pytest.raises(Missing, match="with tree"):
        hf.bound(other, {})
    with pytest.raises(Missing, match="without candidate_length"):
        hf.bound(lacking, {})
    with pytest.raises(Missing, match="without assistant_ensemble_weight"):
        hf.bound(old, {"assistant_ensemble_weight": 0.5})


@pytest.mark.slow
@pytest.mark.parametrize("build", [hf_generate.universal, hf_generate.single_position])
def test_real_samples(build: Any) -> None:
    """The same calls on real random numbers: they do not follow the target, and do follow the law that was found.

    Pearson's chi-square over all texts, false-alarm rate 1e-9 for either; the power against the law that was found is
    above 0.999 with the number of samples chosen from its noncentrality.
    """
    from scipy import stats

    whole = build()
    prompt = whole.prompts[0]
    expected = text_law(whole.target, prompt, whole.length, whole.stop)
    from specmath import oracle

    whole.generate(prompt, whole.length)  # the first call makes a cut-down head, whose initial weights are drawn
    law = oracle.law_of(lambda: whole.generate(prompt, whole.length))
    found = {text: float(share) for text, share in law.items()}
    distance = sum((found.get(text, 0.0) - p) ** 2 / p for text, p in expected.items())
    degrees = len(expected) - 1
    limit = stats.chi2.isf(FALSE_ALARM, degrees)
    count = 1000
    while stats.ncx2.sf(limit, degrees, count * distance) < 0.999:
        count += 500
        assert count <= 20_000
    torch.manual_seed(0)
    seen = Counter(tuple(whole.generate(prompt, whole.length).tolist()) for _ in range(count))
    assert chi_square(seen, expected, count) < FALSE_ALARM
    assert chi_square(seen, found, count) > FALSE_ALARM


def chi_square(seen: Counter[Any], law: dict[Any, float], count: int) -> float:
    """p-value; texts that are expected fewer than five times are joined."""
    from scipy import stats

    frequent = {text: p for text, p in law.items() if p * count >= 5}
    pairs = [(seen[text], p * count) for text, p in frequent.items()]
    rest = count - math.fsum(expected for _, expected in pairs)
    if rest >= 5:
        pairs.append((count - sum(seen[text] for text in frequent), rest))
    elif set(seen) - set(law):
        return 0.0
    return float(stats.chi2.sf(sum((o - e) ** 2 / e for o, e in pairs), len(pairs) - 1))
