"""Which published implementations are ready for the audit, how they are found, and how one is judged."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from specmath.oracle.adapters.place import Missing, Nowhere, version
from specmath.oracle.adapters.rounds import Rounds
from specmath.oracle.audit import Lossy, audit
from specmath.oracle.draws import UnsupportedRandomness
from specmath.oracle.verdict import Verdict, no_verdict

GROUP = "specmath.adapters"
OWN = {
    "reference": "reference.adapters:ADAPTERS",
    "hf": "specmath.oracle.adapters.hf:ADAPTERS",
    "vllm": "specmath.oracle.adapters.vllm:ADAPTERS",
    "vllm_v2": "specmath.oracle.adapters.vllm_v2:ADAPTERS",
    "sglang": "specmath.oracle.adapters.sglang:ADAPTERS",
    "eagle": "specmath.oracle.adapters.eagle:ADAPTERS",
    "medusa": "specmath.oracle.adapters.medusa:ADAPTERS",
    "mcsd": "specmath.oracle.adapters.mcsd:ADAPTERS",
    "sequoia": "specmath.oracle.adapters.sequoia:ADAPTERS",
    "jaymody": "specmath.oracle.adapters.jaymody:ADAPTERS",
    "feifeibear": "specmath.oracle.adapters.feifeibear:ADAPTERS",
}
"""Our own entry points, the same as in pyproject.toml: they serve a source tree that was never installed."""

FAMILIES = ("ratio", "target_only", "sampler_match", "lossy")
Family = Literal["ratio", "target_only", "sampler_match", "lossy"]


@dataclass(frozen=True)
class Whole:
    """A whole generate call and the law it should have, for `specmath.oracle.audit_generate`.

    Attributes
    ----------
    generate : ``generate(prompt, n_tokens) -> new tokens``, at most ``n_tokens``.
    target : ``target(text) -> law (V,)`` of the next token after a text that begins with the prompt.
    prompts : prompts to begin with.
    length : tokens asked for.
    stop : the token after which nothing may follow, None if there is none.
    draft : ``draft(text) -> law (V,)`` where there is one; it is shown beside the target's.
    together : ``together(prompts, n_tokens) -> rows`` where several prompts can be decoded in one call.
    """

    generate: Callable[..., Any]
    target: Callable[[tuple[int, ...]], Any]
    prompts: tuple[tuple[int, ...], ...] = ((0,),)
    length: int = 3
    stop: int | None = None
    draft: Callable[[tuple[int, ...]], Any] | None = None
    together: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Adapter:
    """A published implementation, and what has to be known to audit it.

    Attributes
    ----------
    name : "package.what it is".
    package : the distribution that it belongs to.
    versions : versions that it was run with.
    family : "ratio" (accept with min(1, target/draft), else the residual), "target_only" (tests drafts
        against the target alone, as if q were 1), "sampler_match" (draws from the target and keeps a draft that is the
        token drawn) or "lossy".
    kind : "node", "chain", "tree", "batch" or "generate".
    load : ``load(source)`` imports what is installed, or what the path points to (a wheel, an unpacked folder, a
        clone), and returns a function of the plain signature of its kind, a `Whole` or `Rounds`; raises `Missing`.
    place : "file: function" in the package.
    randomness : where its random numbers come from ("global torch", "generator", "uniforms", "seed and counter", ...).
    drafts : law of the drafts, a name of `specmath.draft_laws`; nothing for kind "generate".
    arrays, dtype : library and dtype of the laws that it is given.
    n : candidates at a node, or depth of a chain; None for several.
    declared : the law of a deliberate lossy mode.
    expected : status of the audit with the versions named.
    note : what else is worth knowing.
    home : where its source is published.
    """

    name: str
    package: str
    versions: str
    family: Family
    kind: str
    load: Callable[[Path | None], Any]
    place: str
    randomness: str
    drafts: str = "iid"
    arrays: str = "torch"
    dtype: str = "float32"
    n: int | None = None
    declared: Lossy | None = None
    expected: str = "lossless"
    note: str = ""
    home: str = ""

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family is {self.family!r}; allowed are {', '.join(map(repr, FAMILIES))}")
        if (self.family == "lossy") != (self.declared is not None):
            raise ValueError(f"declared: {self.name} is of family {self.family!r}; 'lossy' has a declared law")


def adapters() -> dict[str, Adapter]:
    """All adapters by name, sorted: ours and those of others.

    They are found in the entry-point group ``specmath.adapters``: an entry names a module-level tuple ``ADAPTERS``.
    Importing such a module imports no foreign package. One that cannot be imported, and a name that is taken already,
    is left out with a RuntimeWarning that says so.

    >>> adapters()["transformers.speculative_sampling"].family
    'ratio'
    """
    found: dict[str, Adapter] = {}
    for owner, value in entry_points_of():
        for adapter in _tuple(owner, value):
            if adapter.name in found:
                warnings.warn(f"{owner}: the adapter {adapter.name!r} exists already", RuntimeWarning, stacklevel=2)
            else:
                found[adapter.name] = adapter
    return dict(sorted(found.items()))


def entry_points_of() -> list[tuple[str, str]]:
    """(distribution, ``module:attribute``) of everything that is registered, ours first."""
    from importlib.metadata import entry_points

    known = dict.fromkeys(OWN.values(), "specmath")
    for point in entry_points(group=GROUP):
        known.setdefault(point.value, point.dist.name if point.dist is not None else "an unknown distribution")
    return [(owner, value) for value, owner in known.items()]


def _tuple(owner: str, value: str) -> tuple[Adapter, ...]:
    place, _, attribute = value.partition(":")
    try:
        if place.partition(".")[0] == "reference":
            from specmath.cli.discovery import refuse_foreign_reference

            refuse_foreign_reference()
        found = getattr(importlib.import_module(place), attribute or "ADAPTERS")
        if not all(isinstance(one, Adapter) for one in found):
            raise TypeError(f"{value} holds something that is no Adapter")
    except Exception as error:  # a package of somebody else's must not take ours away
        warnings.warn(f"the adapters {value} of {owner} are left out: {error}", RuntimeWarning, stacklevel=3)
        return ()
    return tuple(found)


def get(name: str) -> Adapter:
    """The adapter of this name. ValueError names those there are."""
    known = adapters()
    if name not in known:
        raise ValueError(f"there is no adapter {name!r}; there are {', '.join(known)}")
    return known[name]


def audit_adapter(name: str, *, source: Path | str | None = None, **options: Any) -> Verdict:
    """Audit a published implementation by the exact law of its unmodified code.

    ``options`` are those of `specmath.oracle.audit` (n, drafts, dtype, instances, budget, minimise, progress), of
    `specmath.oracle.audit_generate` (length, budget, minimise, progress), or of `Rounds.audit` (n, samples, tolerance,
    seed, progress) where rounds can only be sampled; they replace the adapter's own. ``source`` is
    a wheel, an unpacked folder or a clone to take instead of what is installed. The verdict's function is the adapter's
    name with the version.

    Raises
    ------
    Missing
        If the implementation is absent or unknown.
    ValueError
        For a name that is unknown, and options that the audit refuses.
    """
    adapter = get(name)
    loaded = adapter.load(None if source is None else Path(source))
    if "samples" in options and not isinstance(loaded, Rounds):
        raise ValueError(f"samples is {options['samples']}; {name} is audited by its exact law, without samples")
    if isinstance(loaded, Whole):
        verdict = _generate(adapter, loaded, options)
    elif isinstance(loaded, Rounds):
        _known(adapter, options, list(inspect.signature(loaded.audit).parameters))
        try:
            verdict = loaded.audit(**{"n": adapter.n, **options})
        except UnsupportedRandomness as error:
            words = {"kind": adapter.kind, "arrays": adapter.arrays, "dtype": adapter.dtype, "drafts": adapter.drafts}
            verdict = replace(no_verdict(name, words, str(error)), status="undecided")
    else:
        known = {
            "kind": adapter.kind,
            "arrays": adapter.arrays,
            "dtype": adapter.dtype,
            "drafts": adapter.drafts,
            "n": adapter.n,
            "declared": adapter.declared,
        }
        verdict = audit(loaded, **{**known, **options})
    return _named(verdict, titled(adapter, source))


def _known(adapter: Adapter, options: dict[str, Any], allowed: Sequence[str]) -> None:
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise ValueError(f"{unknown[0]} is no option for {adapter.name}; allowed are {', '.join(allowed)}")


def _generate(adapter: Adapter, whole: Whole, options: dict[str, Any]) -> Verdict:
    from specmath.oracle.generate.audit import audit_generate

    allowed = [name for name in inspect.signature(audit_generate).parameters if name not in ("generate", "target")]
    _known(adapter, options, allowed)
    known = {
        "prompts": whole.prompts,
        "length": whole.length,
        "stop": whole.stop,
        "draft": whole.draft,
        "together": whole.together,
        "arrays": adapter.arrays,
        "dtype": adapter.dtype,
        "declared": adapter.declared,
    }
    return audit_generate(whole.generate, whole.target, **{**known, **options})


def _named(verdict: Verdict, title: str) -> Verdict:
    again = verdict.replay
    replay = None if again is None else lambda: _named(again(), title)
    return replace(verdict, function=title, replay=replay)


def titled(adapter: Adapter, source: Path | str | None = None) -> str:
    """The adapter's name, and the version of the package where it is known."""
    found = version(adapter.package, None if source is None else Path(source))
    return f"{adapter.name} ({adapter.package} {found})" if found else adapter.name


@dataclass(frozen=True)
class State:
    """Whether an adapter can be audited here.

    Attributes
    ----------
    present : whether it can.
    what : the version, or the reason why not.
    nowhere : the reason is that its package is neither installed nor named.
    """

    adapter: Adapter
    present: bool
    what: str
    nowhere: bool = False


def states(source: Path | str | None = None) -> list[State]:
    """The state of every adapter, found by loading it."""
    found = []
    for adapter in adapters().values():
        try:
            adapter.load(None if source is None else Path(source))
        except Missing as reason:
            found.append(State(adapter, False, str(reason), isinstance(reason, Nowhere)))
        except Exception as error:  # foreign code may fail in any way while it is imported
            found.append(State(adapter, False, f"cannot be loaded: {type(error).__name__}: {error}".split("\n")[0]))
        else:
            here = version(adapter.package, None if source is None else Path(source)) or "version unknown"
            found.append(State(adapter, True, here))
    return found
