"""Logs in files: rounds as JSON lines, counts as one JSON object; every complaint names file, line and column."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from specmath.oracle.logs.reported import NAMES

Here = tuple[int, int]
"""Line and column of a file, from 1 on."""
Fields = dict[str, tuple[str, Callable[[Any], bool]]]
"""Name -> what is allowed, and whether a value is."""


@dataclass(frozen=True)
class RoundLog:
    """Rounds of a file.

    Attributes
    ----------
    rounds : in the order of the file; rounds of a text that stands in one line have the text's number as ``request``.
    places : line and column of each.
    metrics : (line, first round, one after the last, reported metrics) of every text that reports some.
    """

    rounds: tuple[dict[str, Any], ...]
    places: tuple[Here, ...]
    metrics: tuple[tuple[int, int, int, dict[str, float | None]], ...] = ()


@dataclass(frozen=True)
class CountLog:
    """Counts of a file: the arguments of `specmath.oracle.logs.checks.check_counts`, and reported metrics."""

    accepted: list[int]
    tested: list[int] | int
    rounds: int | None = None
    emitted: int | None = None
    bound: float | None = None


def read_log(path: Path) -> RoundLog | CountLog:
    """The log in a file.

    Either JSON objects, one after the other or in a list, each a round (`round.schema.json`; needed are drafted,
    accepted, emitted) or a text with ``rounds`` as ``specmath decode --json`` prints it, or one JSON object with
    counts: ``accepted`` and ``tested``, and ``rounds``, ``emitted``, ``bound``.

    Raises ValueError that names file, line and column, and OSError where the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is no UTF-8; allowed are JSON texts") from None
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; allowed are rounds as JSON objects, or an object of counts")
    found = _Reader(path, text)
    found.read()
    if found.counted is not None:
        return found.counted
    if not found.rounds:
        raise ValueError(f"{path}: there are no rounds in it")
    return RoundLog(tuple(found.rounds), tuple(found.places), tuple(found.metrics))


class _Reader:
    """JSON values one after the other, with the place of each in the file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text, self.texts = path, text, 0
        self.lines = [place for place, letter in enumerate(text) if letter == "\n"]
        self.decoder = json.JSONDecoder(parse_constant=_refused)
        self.rounds: list[dict[str, Any]] = []
        self.places: list[Here] = []
        self.metrics: list[tuple[int, int, int, dict[str, float | None]]] = []
        self.counted: CountLog | None = None

    def read(self) -> None:
        """All values of the file; a list stands for what is in it."""
        end = self.skip(0)
        if self.text[end] == "[":
            for value, start in self.elements(end):
                self.value(value, start)
            return
        while end < len(self.text):
            start = end
            value, end = self.parsed(start)
            if isinstance(value, dict) and "tested" in value and "drafted" not in value:
                if start != self.skip(0) or self.skip(end) < len(self.text):
                    self.fail(start, "counts beside other objects; allowed is one object of counts alone")
                self.counted = self.counts(value, start)
                return
            self.value(value, start)
            end = self.skip(end)

    def value(self, value: Any, start: int) -> None:
        if not isinstance(value, dict):
            self.fail(start, f"a {_name(value)}; allowed are objects: rounds, or texts with rounds")
        if "rounds" not in value or "drafted" in value:
            if "error" not in value or "drafted" in value:  # a text that failed has no rounds
                self.round(value, start)
            return
        if not isinstance(value["rounds"], list):
            self.fail(self.key("rounds", start), f"rounds is a {_name(value['rounds'])}; allowed is a list")
        first = len(self.rounds)
        for one, place in self.elements(self.opening("rounds", start)):
            if not isinstance(one, dict):
                self.fail(place, f"a {_name(one)}; allowed are rounds, which are objects")
            self.round({**one, "request": self.texts}, place)
        self.texts += 1
        told = value.get("metrics")
        if isinstance(told, dict):
            known = {name: told[name] for name in NAMES if isinstance(told.get(name, ""), int | float | None)}
            self.metrics.append((self.here(start)[0], first, len(self.rounds), known))

    def round(self, value: dict[str, Any], start: int) -> None:
        for name in NEEDED:
            if value.get(name) is None:
                other = (
                    "" if "drafted" in value or "emitted" in value else "; an object of counts needs accepted, tested"
                )
                self.fail(start, f"a round without {name}; needed are {', '.join(NEEDED)}{other}")
        self.fields(value, start, FIELDS)
        lengths = {name: len(value["drafted"]) for name in ("parents", "draft_logprobs", "target_logprobs")}
        for name, count in {**lengths, "logprobs": len(value["emitted"])}.items():
            if value.get(name) is not None and len(value[name]) != count:
                said = f"{name} has {len(value[name])} entries; allowed are {count}, one a token"
                self.fail(self.key(name, start), said)
        for node, parent in enumerate(value.get("parents") or ()):
            if not -1 <= parent < node:
                said = f"parents[{node}] is {parent}; allowed are -1 and earlier indices"
                self.fail(self.key("parents", start), said)
        self.rounds.append(value)
        self.places.append(self.here(start))

    def counts(self, value: dict[str, Any], start: int) -> CountLog:
        for name in value:
            if name not in COUNTS:
                self.fail(self.key(name, start), f"{name!r} is no count; allowed are {', '.join(COUNTS)}")
        self.fields(value, start, COUNTS)
        if "accepted" not in value:
            self.fail(start, "counts without accepted; needed are accepted and tested")
        tested, count = value["tested"], len(value["accepted"])
        if isinstance(tested, list) and len(tested) != count:
            said = f"tested has {len(tested)} entries; allowed are {count}, or one number"
            self.fail(self.key("tested", start), said)
        return CountLog(**value)

    def fields(self, value: dict[str, Any], start: int, known: Fields) -> None:
        for name, (allowed, fits) in known.items():
            if name in value and not fits(value[name]):
                self.fail(self.key(name, start), f"{name} is {_short(value[name])}; allowed are {allowed}")

    def elements(self, start: int) -> Iterator[tuple[Any, int]]:
        """Elements of the list that begins at ``start``, and where each begins."""
        self.parsed(start)  # the list as a whole is sound
        place = self.skip(start + 1)
        while self.text[place] != "]":
            value, end = self.parsed(place)
            yield value, place
            place = self.skip(end)
            place = self.skip(place + 1) if self.text[place] == "," else place

    def parsed(self, start: int) -> tuple[Any, int]:
        try:
            return self.decoder.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            self.fail(error.pos, f"no JSON: {error.msg}")
        except RecursionError:
            self.fail(start, "no JSON: too many brackets in brackets")
        except ValueError as error:
            found = [self.text.find(word, start) for word in ("NaN", "Infinity")]
            self.fail(min(place for place in found if place >= 0), str(error))

    def skip(self, place: int) -> int:
        while place < len(self.text) and self.text[place] in " \t\r\n":
            place += 1
        return place

    def key(self, name: str, start: int) -> int:
        found = re.compile(rf'"{name}"\s*:').search(self.text, start)
        return start if found is None else found.start()

    def opening(self, name: str, start: int) -> int:
        """Where the list of this name begins; metrics of the same name are numbers."""
        found = re.compile(rf'"{name}"\s*:\s*\[').search(self.text, start)
        assert found is not None
        return found.end() - 1

    def here(self, place: int) -> Here:
        before = bisect_left(self.lines, place)
        return before + 1, place - (self.lines[before - 1] if before else -1)

    def fail(self, place: int, what: str) -> NoReturn:
        line, column = self.here(place)
        raise ValueError(f"{self.path}:{line}:{column}: {what}")


def _whole_number(value: Any, least: float = -math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _tokens(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(_whole_number(one, least) for one in value)


def _logs(value: Any) -> bool:
    number = isinstance(value, list) and all(
        one is None or (isinstance(one, int | float) and not isinstance(one, bool) and one <= 1e-3) for one in value
    )
    return value is None or number


NEEDED = ("drafted", "accepted", "emitted")
FIELDS: Fields = {
    "drafted": ("lists of whole numbers >= 0", _tokens(0)),
    "accepted": ("whole numbers", _whole_number),
    "emitted": ("lists of whole numbers >= 0", _tokens(0)),
    "parents": ("lists of whole numbers >= -1, or null", lambda value: value is None or _tokens(-1)(value)),
    "request": ("whole numbers >= 0, or null", lambda value: value is None or _whole_number(value, 0)),
    "position": ("whole numbers >= 0, or null", lambda value: value is None or _whole_number(value, 0)),
    "stop_reason": ("texts, or null", lambda value: value is None or isinstance(value, str)),
    "draft_logprobs": ("lists of numbers <= 0 and null", _logs),
    "target_logprobs": ("lists of numbers <= 0 and null", _logs),
    "logprobs": ("lists of numbers <= 0 and null", _logs),
}
"""Fields of a round."""

COUNTS: Fields = {
    "accepted": ("lists of whole numbers >= 0", lambda value: bool(value) and _tokens(0)(value)),
    "tested": ("a whole number >= 0, or a list of them", lambda value: _whole_number(value, 0) or _tokens(0)(value)),
    "rounds": ("whole numbers >= 0", lambda value: _whole_number(value, 0)),
    "emitted": ("whole numbers >= 0", lambda value: _whole_number(value, 0)),
    "bound": (
        "numbers from 0 to 1",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1,
    ),
}


def _refused(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number; allowed is null")


def _name(value: Any) -> str:
    return {list: "list", str: "text", bool: "truth value", int: "number", float: "number"}.get(type(value), "null")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
