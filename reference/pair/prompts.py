"""Prompts written for this project: beginnings that a byte model of Python's library can continue, and a few it cannot.

>>> len(kinds()), len(load()) >= 95
(12, True)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("prompts.jsonl")


@dataclass(frozen=True)
class Prompt:
    """One prompt: ``id`` is its kind and a number, ``kind`` what sort of text it begins, ``prompt`` the text itself."""

    id: str
    kind: str
    prompt: str


def load(path: Path = FILE) -> tuple[Prompt, ...]:
    """All prompts of a file of JSON lines, in its order. ValueError names a line without id, kind and prompt.

    >>> load()[0].id
    'function-1'
    """
    found = []
    # A JSON string may hold line separators of its own, hence no splitlines().
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line:
            try:
                found.append(Prompt(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path} line {number}: allowed are id, kind and prompt ({error})") from None
    return tuple(found)


def kinds(prompts: Sequence[Prompt] | None = None) -> tuple[str, ...]:
    """The kinds that occur, in the order of their first prompt."""
    return tuple(dict.fromkeys(one.kind for one in (load() if prompts is None else prompts)))


def spread(count: int, prompts: Sequence[Prompt] | None = None) -> tuple[Prompt, ...]:
    """``count`` prompts that visit the kinds in turn: the first of every kind, then the second of every kind, ...

    Raises ValueError unless ``count`` lies between 1 and the number of prompts.

    >>> [one.id for one in spread(3)]
    ['function-1', 'class-1', 'comment-1']
    """
    found = load() if prompts is None else tuple(prompts)
    if not 1 <= count <= len(found):
        raise ValueError(f"prompts is {count}; allowed are 1 to {len(found)}")
    seen: dict[str, int] = {}
    ranked = []
    for place, one in enumerate(found):
        seen[one.kind] = seen.get(one.kind, 0) + 1
        ranked.append((seen[one.kind], place, one))
    return tuple(one for _, _, one in sorted(ranked, key=lambda entry: entry[:2])[:count])
