"""``specmath record``: decode prompts, and keep the laws of target and draft along them for ``specmath acceptance``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import specmath
from reference.commands.shared import choices, drafting, prompts, sampling, sources
from reference.lines import differs
from specmath.cli.command import Command, UsageError
from specmath.cli.discovery import OWN
from specmath.cli.progress import Bar

if TYPE_CHECKING:
    from reference.decode import Options, Request, Round
    from reference.record import Recording

SCHEMA_VERSION = 1
FAILED = 1
"""Exit code when a text could not be finished; the others are recorded."""

LAW_DTYPES = ("float64", "float32")
DRAFTERS = ("model", "early")
DRAFT_LENGTH = 4
"""Drafted tokens a round while the texts are decoded; what is recorded does not depend on it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: specmath record --prompts prompts.jsonl --out laws.npz --per-text 20"
    group = parser.add_argument_group("output")
    group.add_argument(
        "--out", type=Path, metavar="FILE", help="a file NAME.npz, or a folder, which grows without a copy"
    )
    group.add_argument("--per-text", type=int, metavar="M", help="record at most M places of a text, evenly spaced "
                       "(default: before every emitted token)")  # fmt: skip
    group.add_argument(
        "--law-dtype", default="float64", metavar="NAME", help="of the recorded laws: float64 (default) or float32"
    )
    group.add_argument("--resume", action="store_true", help="go on with an interrupted recording, FILE.part")
    group.add_argument("--json", action="store_true", help="print what was recorded as one JSON object")
    prompts.add_arguments(parser)
    sampling.add_arguments(parser)
    group = parser.add_argument_group("decoding")
    choices.add_drafter(group, "whose laws are recorded beside the target's: model (default: the draft) or early (the "
                         "target's first layers)")  # fmt: skip
    group.add_argument("--rows", type=int, default=8, metavar="R", help="texts decoded in one pass (default 8)")
    sources.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    out = _checked(arguments)
    drafter, layers = drafting.choose_drafter(arguments, DRAFTERS)
    sources.check(arguments, drafter)
    sampling.options(arguments)
    given = prompts.given(arguments)
    models = sources.load(arguments, drafter, layers)
    wanted = _requests(given, models, arguments)
    about = _about(given, wanted[0].options, models, drafter, arguments)
    told = _finished(out, about) if out.exists() else _record(out, given, wanted, models, about, arguments)
    if arguments.json:
        print(json.dumps({"file": str(out), **told}, allow_nan=False))
    else:
        texts = "1 text" if told["texts"] == 1 else f"{told['texts']} texts"
        print(
            f"{out}: {told['contexts']} contexts of {texts}, {told['vocabulary']} tokens\n"
            f"compare the rules on them: specmath acceptance {shlex.quote(str(out))}"
        )
    return FAILED if told["failed"] else 0


def _checked(arguments: argparse.Namespace) -> Path:
    """Where the dump goes; UsageError for a place that is taken, and for numbers out of range."""
    choices.at_least_one("--rows", arguments.rows)
    choices.one_of("--law-dtype", arguments.law_dtype, LAW_DTYPES)
    if arguments.per_text is not None:
        choices.at_least_one("--per-text", arguments.per_text)
    out: Path | None = arguments.out
    if out is None:
        raise UsageError("--out is missing; allowed are a file NAME.npz, or a folder that is not there yet")
    if out.suffix not in ("", ".npz"):
        raise UsageError(f"--out: suffix {out.suffix!r}; allowed are .npz, and none for a folder")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out: there is no folder {out.parent}")
    for taken in (out, _part(out)):
        if taken.exists() and not arguments.resume:
            raise UsageError(f"--out: {taken} is there already; --resume goes on with it, or name another one")
    return out


def _part(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def _requests(given: Sequence[prompts.Prompt], models: sources.Models, arguments: argparse.Namespace) -> list[Request]:
    from reference import drafters
    from reference.commands.shared.texts import requests

    assert models.draft is not None, "both drafters have a model"
    options = partial(sampling.options, arguments, models.words.stop, "coupled")
    found = requests(given, models.target, models.words, options, drafters.chain(models.draft, DRAFT_LENGTH))
    for prompt, request in zip(given, found, strict=True):
        if len(request.prompt) > models.draft.context_length:
            raise UsageError(
                f"{prompt.where}: prompt has {len(request.prompt)} tokens; the context of the draft, whose laws are "
                f"recorded, holds {models.draft.context_length}"
            )
    return found


def _about(
    given: Sequence[prompts.Prompt],
    options: Options,
    models: sources.Models,
    drafter: str,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Everything that the recorded numbers depend on."""
    hidden = ("stop", "randomness", "request")
    return {
        "schema_version": SCHEMA_VERSION,
        "specmath": specmath.__version__,
        "vocabulary": models.target.vocabulary_size,
        "dtype": arguments.law_dtype,
        "prompts": {"count": len(given), "digest": prompts.digest(given)},
        "options": {
            "drafter": drafter,
            "per_text": arguments.per_text,
            **sources.settings(arguments),
            **{name: value for name, value in vars(options).items() if name not in hidden},
            "stop": sorted(options.stop),
        },
        "models": models.as_json(),
    }


def _record(
    out: Path,
    given: Sequence[prompts.Prompt],
    wanted: Sequence[Request],
    models: sources.Models,
    about: dict[str, Any],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Decode and record; what the finished dump tells of itself."""
    from reference.record import open_recording

    part = _part(out)
    with open_recording(part, about, vocabulary=about["vocabulary"], dtype=arguments.law_dtype) as kept:
        with Bar(total=len(wanted) - kept.texts, label="record") as bar:
            try:
                for number, rounds, error in _texts(models, wanted, kept.texts, arguments.rows):
                    line = {"request": number, **given[number].extra}
                    if error is not None:
                        print(f"specmath record: {given[number].where}: {error}", file=sys.stderr)
                        kept.finish_text(line | {"error": error})
                    else:
                        kept.finish_text(line | _along(wanted[number], rounds, models, arguments.per_text, kept))
                    bar.advance()
            except KeyboardInterrupt:
                print(f"{part}: {kept.texts} of {len(wanted)} texts; --resume goes on with it", file=sys.stderr)
                raise
        if not kept.contexts:
            raise ValueError(f"{part}: no text could be decoded, so there is nothing to record; delete it")
        told = about | {"contexts": kept.contexts, "texts": kept.texts - kept.failed, "failed": kept.failed}
        kept.finish(out, told)
    return told


def _texts(
    models: sources.Models, wanted: Sequence[Request], first: int, rows: int
) -> Iterator[tuple[int, list[Round], str | None]]:
    """Number and rounds of each text from ``first`` on as it ends, or why it failed."""
    from reference.commands.shared.texts import ends, rounds
    from reference.decode import Failure

    done: list[Round] = []
    for event in rounds(models.target, wanted[first:], rows):
        error = event.outcome.error if isinstance(event.outcome, Failure) else None
        if not isinstance(event.outcome, Failure):
            done.append(event.outcome)
        if ends(event):
            yield first + event.ticket, done, error
            done = []


def _along(
    request: Request, rounds: Sequence[Round], models: sources.Models, per_text: int | None, kept: Recording
) -> dict[str, Any]:
    """Record the laws along one text; its tokens, and the number of tokens before each recorded place."""
    from reference.record import laws_along, spaced

    assert models.draft is not None
    emitted = [token for one in rounds for token in one.emitted]
    start = len(request.prompt)
    readable = min(len(emitted), models.draft.context_length - start + 1)  # a draft may have the shorter context
    positions = [start + place for place in spaced(readable, per_text)]
    for rows in laws_along(models.target, models.draft, [*request.prompt, *emitted], positions, request.options):
        kept.add(rows)
    return {"prompt": list(request.prompt), "tokens": emitted, "positions": positions}


def _finished(out: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What a finished dump tells of itself; ValueError for any other file, and for a dump of something else."""
    from reference.record.store import ABOUT

    try:
        if out.is_dir():
            told = json.loads((out / ABOUT).read_bytes())
        else:
            with zipfile.ZipFile(out) as archive:
                told = json.loads(archive.read(ABOUT))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        raise ValueError(f"{out}: is there already and no recording; name another one") from None
    differs(str(out), told, about)
    return told


COMMAND = Command("record", OWN["record"][1], add_arguments, run)
