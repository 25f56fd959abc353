"""Golden vectors: laws, drafts and uniforms with the tokens that must come out, as JSON that every language reads.

``python -m specmath.oracle.golden_make --out FOLDER`` writes one file per rule; the package holds them, too. Floats are
written in hexadecimal ("0x1.8p-2"), so that all bits survive. All laws have denominator 16: float32 and float64 hold
them without rounding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from specmath.exact import Law
from specmath.oracle.uniforms_in import law_of_arguments, outcome_of

SCHEMA_VERSION = 1
Kind = Literal["corner", "at", "near", "close", "spread"]
Dtype = Literal["float32", "float64"]


@dataclass(frozen=True)
class Vector:
    """Uniforms and what comes out.

    Attributes
    ----------
    uniforms : one per coin of the case, in [0, 1).
    emitted : emitted tokens, without padding.
    accepted : index of the deepest accepted draft, -1 if none.
    kind : "corner" (0.0 and the largest values below one), "at" (exactly at a threshold, or one float below it), "near"
        and "close" (2**-20 and 2**-36 beside one), "spread".
    least : least precision in which the outcome does not depend on rounding.
    """

    uniforms: tuple[float, ...]
    emitted: tuple[int, ...]
    accepted: int
    kind: Kind
    least: Dtype


@dataclass(frozen=True)
class Case:
    """One set of drafted tokens.

    Attributes
    ----------
    name : of the case, unique in its rule.
    drafts : the draft law that drew the tokens.
    target, draft : rows of laws, as `Rule.verify` takes them; a node has one of each.
    tokens, parents : the drafted tokens, and for trees their parents.
    coins : what each uniform decides.
    law : law of the emitted tokens given the drafts, over Fractions; in float, within 1e-12, where the rule has a
        factor that is found by iteration; None for rules whose plan is not unique.
    vectors : uniforms and tokens.
    """

    name: str
    drafts: str
    target: NDArray[np.float64]
    draft: NDArray[np.float64]
    tokens: tuple[int, ...]
    parents: tuple[int, ...] | None
    coins: tuple[str, ...]
    law: Law | None
    vectors: tuple[Vector, ...]


@dataclass(frozen=True)
class Golden:
    """All cases of one rule; ``same_plan`` as in `Rule`: False means that other right implementations may differ."""

    rule: str
    layout: str
    source: str
    same_plan: bool
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Mismatch:
    """One vector, or one law (``vector`` is None), that an implementation does not reproduce."""

    case: str
    vector: Vector | None
    wanted: Any
    found: Any

    def __str__(self) -> str:
        if self.vector is None:
            return f"{self.case}: law {self.found}, wanted {self.wanted}"
        coins = [short_hex(value) for value in self.vector.uniforms]
        return f"{self.case}: uniforms {coins} ({self.vector.kind}) give {self.found}, wanted {self.wanted}"


def names() -> tuple[str, ...]:
    """Rules that the package holds golden vectors of.

    >>> "token_wise" in names()
    True
    """
    return tuple(sorted(path.name.removesuffix(".json") for path in _folder().iterdir() if path.name.endswith(".json")))


def load(name: str | Path) -> Golden:
    """Golden vectors of a rule, by its name or from a file.

    Raises ValueError for a rule without a file, and for a file of another schema version.

    >>> found = load("token_wise")
    >>> found.layout, found.cases[0].coins
    ('chain', ('draft 0', 'draft 1', 'final'))
    """
    if isinstance(name, Path):
        text = name.read_text(encoding="utf-8")
    elif name in names():
        text = (_folder() / f"{name}.json").read_text(encoding="utf-8")
    else:
        raise ValueError(f"name is {name!r}; allowed are {', '.join(map(repr, names()))}, or a Path")
    return from_json(json.loads(text))


def check(golden: Golden, function: Callable[..., Any], *, dtype: Dtype = "float64") -> tuple[Mismatch, ...]:
    """Run an implementation on all vectors that ``dtype`` decides; what differs, empty if nothing does.

    ``function(target, draft, tokens, uniforms, parents, drafts)`` gets numpy arrays as in `Case` (floats in ``dtype``,
    parents None but for trees) and the name of the draft law, and returns the emitted tokens, padded with -1 or not; a
    node's token may be a plain number.

    >>> from specmath import rules
    >>> verify = rules.get("token_wise").verify
    >>> check(load("token_wise"), lambda **given: verify(**given).tokens)
    ()
    """
    found = []
    for case in golden.cases:
        for vector in case.vectors:
            if dtype == "float32" and vector.least == "float64":
                continue
            emitted = emitted_of(function(**_arguments(case, np.array(vector.uniforms, dtype=dtype), dtype)))
            if emitted != vector.emitted:
                found.append(Mismatch(case.name, vector, vector.emitted, emitted))
    return tuple(found)


def check_laws(golden: Golden, function: Callable[..., Any], *, dtype: Dtype = "float64") -> tuple[Mismatch, ...]:
    """Exact law of an implementation on every case against the exact law of the rule; arguments as in `check`.

    Uniforms are integrated out by breakpoints (`law_of_arguments`); laws agree within 8 eps of ``dtype`` per uniform,
    or within 1e-12 where the case's law is known to that. What each uniform decides is the implementation's own
    business, as long as it takes as many.
    """
    found = []
    for case in golden.cases:
        if case.law is None:
            continue
        law = law_of_arguments(
            lambda uniforms, case=case: emitted_of(function(**_arguments(case, uniforms, dtype))),
            uniforms={"uniforms": (len(case.coins),)},
            dtype=dtype,
            checks=128,
        )
        known = 0.0 if all(isinstance(mass, Fraction) for mass in case.law.values()) else 1e-12
        if law.total_variation(case.law) > max(8 * float(np.finfo(dtype).eps) * len(case.coins), known):
            found.append(Mismatch(case.name, None, dict(case.law), {out: float(mass) for out, mass in law.items()}))
    return tuple(found)


def emitted_of(value: Any) -> tuple[int, ...]:
    """Emitted tokens without padding.

    >>> emitted_of(np.array([3, 1, -1])), emitted_of(2)
    ((3, 1), (2,))
    """
    found = outcome_of(value)
    tokens = found if isinstance(found, tuple) else (found,)
    return tuple(int(token) for token in tokens if token >= 0)  # type: ignore[operator,arg-type]


def _arguments(case: Case, uniforms: Any, dtype: str) -> dict[str, Any]:
    node = case.parents is None and len(case.target) == 1
    laws = [law[0] if node else law for law in (case.target, case.draft)]
    return {
        "target": laws[0].astype(dtype),
        "draft": laws[1].astype(dtype),
        "tokens": np.array(case.tokens),
        "uniforms": uniforms,
        "parents": None if case.parents is None else np.array(case.parents),
        "drafts": case.drafts,
    }


def as_json(golden: Golden) -> dict[str, Any]:
    """What the files hold; see ``golden.schema.json``."""
    return {
        "schema_version": SCHEMA_VERSION,
        "rule": golden.rule,
        "layout": golden.layout,
        "source": golden.source,
        "same_plan": golden.same_plan,
        "cases": [
            {
                "name": case.name,
                "drafts": case.drafts,
                "vocabulary": case.target.shape[-1],
                "target": [_hexes(row) for row in case.target],
                "draft": [_hexes(row) for row in case.draft],
                "tokens": list(case.tokens),
                "parents": None if case.parents is None else list(case.parents),
                "coins": list(case.coins),
                "law": None if case.law is None else _law_as_json(case.law),
                "vectors": [
                    {
                        "uniforms": _hexes(vector.uniforms),
                        "emitted": list(vector.emitted),
                        "accepted": vector.accepted,
                        "kind": vector.kind,
                        "least": vector.least,
                    }
                    for vector in case.vectors
                ],
            }
            for case in golden.cases
        ],
    }


def from_json(record: Mapping[str, Any]) -> Golden:
    """The inverse of `as_json`. Raises ValueError for another schema version."""
    if record.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {record.get('schema_version')!r}; this version reads {SCHEMA_VERSION}")
    cases = []
    for case in record["cases"]:
        law = case["law"]
        cases.append(
            Case(
                name=case["name"],
                drafts=case["drafts"],
                target=np.array([_floats(row) for row in case["target"]]),
                draft=np.array([_floats(row) for row in case["draft"]]),
                tokens=tuple(case["tokens"]),
                parents=None if case["parents"] is None else tuple(case["parents"]),
                coins=tuple(case["coins"]),
                law=None if law is None else Law({tuple(one["emitted"]): _probability(one) for one in law}),
                vectors=tuple(
                    Vector(
                        uniforms=tuple(_floats(vector["uniforms"])),
                        emitted=tuple(vector["emitted"]),
                        accepted=vector["accepted"],
                        kind=vector["kind"],
                        least=vector["least"],
                    )
                    for vector in case["vectors"]
                ),
            )
        )
    return Golden(record["rule"], record["layout"], record["source"], record["same_plan"], tuple(cases))


def _law_as_json(law: Law) -> list[dict[str, Any]]:
    return [
        {
            "emitted": list(emitted),
            "probability": str(law[emitted]) if isinstance(law[emitted], Fraction) else None,
            "value": short_hex(float(law[emitted])),
        }
        for emitted in sorted(law)
    ]


def _probability(one: Mapping[str, Any]) -> Fraction | float:
    return float.fromhex(one["value"]) if one["probability"] is None else Fraction(one["probability"])


def _hexes(values: Sequence[float] | NDArray[np.float64]) -> list[str]:
    return [short_hex(float(value)) for value in values]


def short_hex(value: float) -> str:
    """A float in hexadecimal, without zeros at the end.

    >>> short_hex(0.75), short_hex(0.0), float.fromhex(short_hex(0.1)) == 0.1
    ('0x1.8p-1', '0x0p+0', True)
    """
    digits, _, power = value.hex().partition("p")
    return digits.rstrip("0").rstrip(".") + "p" + power if "." in digits else digits + "p" + power


def _floats(values: Sequence[str]) -> list[float]:
    return [float.fromhex(value) for value in values]


def _folder() -> Any:
    return files("specmath") / "data" / "golden"


def dumps(golden: Golden) -> str:
    """One line per case and vector: files that can be read and compared."""
    record = as_json(golden)
    cases = record.pop("cases")
    lines = []
    for case in cases:
        vectors = case.pop("vectors")
        head = json.dumps(case)[:-1]
        lines.append(head + ', "vectors": [\n' + ",\n".join(json.dumps(vector) for vector in vectors) + "\n]}")
    return json.dumps(record)[:-1] + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n"
