"""Adapters for transformers: the function that verifies a chain, and every way in which `generate` speculates."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specmath.oracle.adapters import hf_generate as whole
from specmath.oracle.adapters.place import Missing, put_on_path
from specmath.oracle.adapters.registry import Adapter, Family, Whole
from specmath.oracle.audit import Lossy

VERSIONS = "5.22.0, 5.23.0"
HOME = "https://pypi.org/project/transformers"
UTILS = "transformers/generation/utils.py"
WEIGHT = 0.75
"""Weight of the target in the ensemble that is audited; exact in every dtype."""

FINISHED = {"is_done_candidate": False, "last_assistant_token_is_eos": False}
"""Arguments that older versions took, with the value for a text that has not ended."""


def speculative_sampling(source: Path | None, **options: Any) -> Callable[..., Any]:
    """``f(target (K+1, V), draft (K, V), tokens (K,)) -> emitted`` around transformers' ``_speculative_sampling``.

    Its arguments are bound by name, because their order and number changed between versions. `Missing` names an
    argument that is not known, or says what is absent.
    """
    put_on_path("transformers", source)
    try:
        from transformers.generation import utils
    except ImportError as error:
        raise Missing(f"transformers cannot be imported: {error}") from error
    verifier = getattr(utils, "_speculative_sampling", None)
    if verifier is None:
        raise Missing(f"{UTILS} has no _speculative_sampling")
    more = bound(verifier, options)

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        # Logits as transformers has them: (1, K+1, V) of the target, (1, K, V) of the draft.
        emitted, _ = verifier(
            candidate_input_ids=tokens[None],
            candidate_logits=draft.log()[None],
            candidate_length=tokens.shape[0],
            new_logits=target.log()[None],
            **more,
        )
        return emitted[0]

    return verify


KNOWN = ("candidate_input_ids", "candidate_logits", "candidate_length", "new_logits")


def bound(verifier: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The further arguments for a ``_speculative_sampling`` of this version; `Missing` for an unknown signature."""
    parameters = inspect.signature(verifier).parameters
    lacking = [name for name in (*KNOWN, *options) if name not in parameters]
    open_ends = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        name for name, one in parameters.items() if one.default is inspect.Parameter.empty and one.kind not in open_ends
    ]
    unknown = [name for name in needed if name not in KNOWN and name not in FINISHED]
    if lacking or unknown:
        what = f"without {', '.join(lacking)}" if lacking else f"with {', '.join(unknown)}"
        raise Missing(f"_speculative_sampling{inspect.signature(verifier)}: a signature {what} is not known")
    return {**{name: value for name, value in FINISHED.items() if name in needed}, **options}


def _ensemble(target: Any, draft: Any) -> list[Any]:
    return [WEIGHT * float(p) + (1 - WEIGHT) * float(q) for p, q in zip(target, draft, strict=True)]


CANDIDATES = "transformers/generation/candidate_generator.py"
ZERO = "u <= ratio: a uniform of exactly 0 accepts what the target cannot emit"


VERIFIERS = (
    Adapter(
        name="transformers.speculative_sampling",
        package="transformers",
        versions=VERSIONS,
        home=HOME,
        family="ratio",
        kind="chain",
        load=speculative_sampling,
        place=f"{UTILS}: _speculative_sampling",
        randomness="global torch",
        expected="unsafe",
        note="compares with u <= ratio, so that u = 0 accepts what the target cannot emit; equal laws give 0/0",
    ),
    Adapter(
        name="transformers.speculative_sampling_ensemble",
        package="transformers",
        versions=VERSIONS,
        home=HOME,
        family="lossy",
        kind="chain",
        load=lambda source: speculative_sampling(source, assistant_ensemble_weight=WEIGHT),
        place=f"{UTILS}: _speculative_sampling with assistant_ensemble_weight",
        randomness="global torch",
        declared=Lossy(f"ensemble, {WEIGHT:g} target and {1 - WEIGHT:g} draft", _ensemble),
        expected="lossy-as-declared",
        note="a documented mode that trades the law for acceptance (DIVERSE)",
    ),
)

# (name, build, family, status, class of the candidate generator, note)
CALLS: tuple[tuple[str, Callable[[], Whole], Family, str, str, str], ...] = (
    ("assisted", whole.assisted, "ratio", "unsafe", "AssistedCandidateGenerator", ZERO),
    ("assisted_confident", whole.assisted_confident, "ratio", "unsafe", "AssistedCandidateGenerator", ZERO),
    ("assisted_own_sampling", whole.assisted_own_sampling, "ratio", "lossless", "AssistedCandidateGenerator", ""),
    ("assisted_stop", whole.assisted_stop, "ratio", "unsafe", "AssistedCandidateGenerator", ZERO),
    ("assisted_greedy", whole.assisted_greedy, "sampler_match", "lossless", "AssistedCandidateGenerator", ""),
    ("prompt_lookup", whole.prompt_lookup, "sampler_match", "lossless", "PromptLookupCandidateGenerator", ""),
    ("early_exit", whole.early_exit, "ratio", "unsafe", "EarlyExitCandidateGenerator", ZERO),
    (
        "universal",
        whole.universal,
        "ratio",
        "biased",
        "UniversalSpeculativeDecodingGenerator",
        "the logits that it reports are those of other tokens unless get_vocab() lists words by their numbers",
    ),
    (
        "universal_greedy",
        whole.universal_greedy,
        "sampler_match",
        "lossless",
        "AssistedCandidateGeneratorDifferentTokenizers",
        "",
    ),
    (
        "single_position",
        whole.single_position,
        "ratio",
        "biased",
        "SinglePositionMultiTokenCandidateGenerator",
        "drafts the likeliest token and reports soft logits, without the sampling parameters",
    ),
    ("mtp", whole.mtp, "ratio", "unsafe", "MTPCandidateGenerator", ZERO),
    ("dflash", whole.dflash, "ratio", "lossless", "DFlashTokenCandidateGenerator", ""),
)

ADAPTERS = VERIFIERS + tuple(
    Adapter(
        name=f"transformers.{name}",
        package="transformers",
        versions=VERSIONS,
        home=HOME,
        family=family,
        kind="generate",
        load=whole.loader(build),
        place=f"{CANDIDATES}: {place}",
        randomness="global torch",
        expected=expected,
        note=note,
    )
    for name, build, family, expected, place, note in CALLS
)
