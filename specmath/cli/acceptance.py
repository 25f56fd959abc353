"""``specmath acceptance FILE``: the acceptance of every rule against the optimum on a dump of laws or logits."""

from __future__ import annotations

import argparse
import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from specmath import draft_laws, rules
from specmath.cli.checkpoint import open_checkpoint
from specmath.cli.chunk import Work
from specmath.cli.clusters import BACKENDS, CLUSTERS, Workers, check_address
from specmath.cli.command import Command, UsageError
from specmath.cli.discovery import OWN
from specmath.cli.dump import SUFFIXES, open_dump
from specmath.cli.laws import Pair, Sampler, pair
from specmath.cli.progress import progress
from specmath.cli.sweep import chunk_size, sweep
from specmath.cli.table import Table, document, text
from specmath.comparison import COUNTS, ON_REQUEST, granule, plan, summary
from specmath.logits import check_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "specmath acceptance FILE [options]"  # in this order: --n and its like take all words that follow
    parser.epilog = "example: specmath acceptance dump.npz --logits --temperature 0.8 --n 1 2 4 --drafts iid greedy"
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",  # its absence is reported in run, with a hint at where it went
        help="arrays target and draft, both (contexts, vocabulary): a .npz or .safetensors file, a folder with "
        "target.npy and draft.npy, or one .npy file (2, contexts, vocabulary)",
    )
    parser.add_argument(
        "--n",
        nargs="+",
        type=_count,
        metavar="N",
        help=f"candidates at a node (default {' '.join(map(str, COUNTS))}, or what of these can be drawn)",
    )
    parser.add_argument(
        "--drafts",
        nargs="+",
        default=["iid"],
        metavar="LAW",
        help=f"how the candidates are drawn: {', '.join(draft_laws.names())} (default iid)",
    )
    parser.add_argument(
        "--rules",
        nargs="+",
        metavar="RULE",
        help=f"of {', '.join(rules.names('node'))}; default all that verify the drafts but {_on_request()}, which "
        "takes its time: name it to see it",
    )
    parser.add_argument("--logits", action="store_true", help="the arrays are logits: take the softmax, in float64")
    parser.add_argument("--temperature", type=_number, metavar="T", help="with --logits: default 1")
    parser.add_argument("--top-k", type=_count, metavar="K", help="with --logits: keep the K likeliest tokens")
    parser.add_argument("--top-p", type=_number, metavar="P", help="with --logits: keep the likeliest tokens of mass P")
    parser.add_argument("--seed", type=_seed, default=0, metavar="S", help="for rules without a formula (default 0)")
    parser.add_argument(
        "--replicates",
        type=_count,
        default=256,
        metavar="R",
        help="draws per context for rules without a formula (default 256)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, as acceptance.schema.json tells")
    _add_sweep_arguments(parser)


def _on_request() -> str:
    return " and ".join(f"{rule} for {drafts}" for rule, drafts in ON_REQUEST)


def _add_sweep_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("large files", "The numbers depend on none of these options.")
    group.add_argument(
        "--resume",
        metavar="FOLDER",
        help="keep finished chunks in this folder, and go on from those it holds; it is made if need be",
    )
    group.add_argument(
        "--chunk",
        type=_count,
        metavar="C",
        help="contexts read, sent and kept at once, rounded up to what is computed together (default: 131072 entries)",
    )
    group.add_argument(
        "--jobs", type=_count, metavar="J", help="workers to start (default 1; of a local cluster: one a core)"
    )
    group.add_argument(
        "--backend", choices=BACKENDS, help="how joblib runs them: processes (default), threads, or a cluster"
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a running cluster, such as tcp://host:8786 (dask) or auto (ray); default: one on this machine",
    )
    group.add_argument(
        "--send-rows", action="store_true", help="send rows to the workers: for those that do not see the file"
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.file is None:
        words = [*arguments.drafts, *(arguments.rules or ())]
        taken = next((word for word in words if Path(word).suffix in SUFFIXES), None)
        where = f"; {taken} was read as part of a list: put FILE first" if taken else ""
        raise UsageError(f"FILE is missing{where} (see specmath acceptance --help)")
    sampler = _sampler(arguments)
    if arguments.replicates < 2:
        raise UsageError("--replicates is 1; allowed are whole numbers >= 2")
    todo = plan(arguments.n, arguments.drafts, arguments.rules)
    workers = _workers(arguments)
    path = Path(arguments.file)
    try:
        with open_dump(path) as arrays, ExitStack() as stack:
            dump = pair(path, arrays, sampler)
            dump.note_laws()
            if arguments.n is None:  # what the rest of the defaults is depends on the vocabulary
                todo = plan(None, arguments.drafts, arguments.rules, vocabulary=dump.vocabulary)
            work = Work(dump.source, dump.vocabulary, todo, arguments.seed, arguments.replicates)
            kept = None
            if arguments.resume is not None:
                kept = stack.enter_context(open_checkpoint(Path(arguments.resume), _described(dump, work)))
            elif work.source.mapped is not None and dump.target.checksum:  # streams are checked when they are read
                for _ in progress(dump.pieces(), total=dump.piece_count, label="checking"):
                    pass
            chunk = chunk_size(dump.vocabulary, arguments.chunk)
            parts = sweep(dump, work, chunk=chunk, workers=workers, checkpoint=kept)
    except UsageError:
        raise
    except ValueError as error:
        raise ValueError(_in_file(arguments, str(error))) from error
    table = Table(
        arguments.file,
        dump.contexts,
        dump.vocabulary,
        sampler,
        arguments.seed,
        arguments.replicates,
        max(part.correction for part in parts) if sampler is None else None,
        todo,
        summary(todo, parts),
    )
    print(json.dumps(document(table), indent=2, allow_nan=False) if arguments.json else text(table))
    return 0


def _workers(arguments: argparse.Namespace) -> Workers:
    if arguments.scheduler is not None:
        if arguments.backend not in CLUSTERS:
            raise UsageError(f"--scheduler is allowed with --backend {' or '.join(CLUSTERS)} only")
        if arguments.backend == "dask" and arguments.jobs is not None:
            raise UsageError("--jobs is allowed without --scheduler only: a running Dask cluster has its workers")
        if arguments.backend == "dask":
            check_address(arguments.scheduler)
    if arguments.send_rows and arguments.backend is None and arguments.jobs is None:
        raise UsageError("--send-rows is allowed with --jobs or --backend only")
    return Workers(arguments.jobs, arguments.backend, arguments.scheduler, arguments.send_rows)


def _described(dump: Pair, work: Work) -> dict[str, Any]:
    """Everything the numbers depend on."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in progress(dump.pieces(), total=dump.piece_count, label="reading"):
        digest.update(piece)
    return {
        **work.versions,
        "content": digest.hexdigest(),
        "shape": [dump.contexts, dump.vocabulary],
        "dtypes": [f"{one.dtype} {one.code.str}{' columns' * one.fortran}" for one in (dump.target, dump.draft)],
        "logits": None if dump.sampler is None else asdict(dump.sampler),
        "rows": [list(job) for job in work.todo.jobs],
        "seed": work.seed,
        "replicates": work.replicates,
        "granule": granule(dump.vocabulary),
    }


def _in_file(arguments: argparse.Namespace, message: str) -> str:
    """The message, with the name of the dump in front where it names neither a file nor an option."""
    path = Path(arguments.file)
    known = (f"{path}: ", f"{path}/", *([str(Path(arguments.resume))] if arguments.resume else []), "--")
    return message if message.startswith(known) else f"{path}: {message}"


def _sampler(arguments: argparse.Namespace) -> Sampler | None:
    given = [
        option
        for option, value in (
            ("--temperature", arguments.temperature),
            ("--top-k", arguments.top_k),
            ("--top-p", arguments.top_p),
        )
        if value is not None
    ]
    if not arguments.logits:
        if given:
            raise UsageError(f"{given[0]} is allowed with --logits only: laws are taken as they are")
        return None
    temperature = 1.0 if arguments.temperature is None else arguments.temperature
    check_options(temperature, arguments.top_k, arguments.top_p)
    return Sampler(temperature, arguments.top_k, arguments.top_p)


def _count(word: str) -> int:
    return _whole(word, 1)


def _seed(word: str) -> int:
    return _whole(word, 0)


def _whole(word: str, least: int) -> int:
    try:
        value = int(word)
    except ValueError:
        hint = "; put FILE first" if Path(word).suffix in SUFFIXES else ""
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number{hint}") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{word} is too small; allowed are whole numbers >= {least}")
    return value


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number") from None


COMMAND = Command("acceptance", OWN["acceptance"][1], add_arguments, run)
