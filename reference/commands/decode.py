"""``specmath decode``: continue prompts with the shipped pair, as text or with every round as JSON."""

from __future__ import annotations

import argparse
import codecs
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from specmath import metrics
from specmath.cli.command import Command, UsageError
from specmath.cli.progress import progress

if TYPE_CHECKING:
    from reference.decode import Options, Round
    from reference.models.protocol import LanguageModel
    from reference.pair import Pair

SCHEMA_VERSION = 2
RANDOMNESS = ("rejection", "coupled")
DECODERS = ("autoregressive", "chain", "paths")
DEFAULTS: dict[str, dict[str, Any]] = {
    "autoregressive": {},
    "chain": {"draft_length": 4, "rule": "token_wise"},
    "paths": {"draft_length": 4, "rule": "optimal_paths", "n": 2, "drafts": "iid"},
}
"""What each decoder is asked for, and what it takes where the call does not say."""


@dataclass(frozen=True)
class Prompt:
    """A prompt, where it stands, and the ``id`` it came with, if it had one."""

    text: str
    where: str
    extra: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompt", metavar="TEXT", help="text to continue")
    source.add_argument(
        "--prompts",
        metavar="FILE",
        type=Path,
        help='one JSON string or object {"prompt": ..., "id": ...} per line; prints one JSON object per line',
    )
    parser.add_argument(
        "--decoder", default="chain", metavar="NAME", help=f"one of {', '.join(DECODERS)} (default chain)"
    )
    parser.add_argument(
        "--draft-length", type=int, metavar="L", help="tokens of a drafted chain or path (default 4; chain and paths)"
    )
    parser.add_argument("--n", type=int, metavar="N", help="paths drafted a round (default 2; paths only)")
    parser.add_argument(
        "--drafts", metavar="NAME", help="law that draws the first tokens of the n paths (default iid; paths only)"
    )
    parser.add_argument(
        "--rule",
        metavar="NAME",
        help="chain: token_wise (default, the textbook rule) or block (keeps at least as many); paths: a tree rule "
        "(default optimal_paths) or, with --draft-length 1, a node rule such as optimal",
    )
    parser.add_argument("--pair", type=Path, metavar="DIR", help="folder with target/ and draft/ (default: shipped)")
    parser.add_argument(
        "--randomness",
        default="rejection",
        metavar="NAME",
        help="rejection (default: drafts are judged by --rule) or coupled: draft and target share the noise of each "
        "place, and with an exact --arithmetic sampled text is the same with and without a draft (not with paths)",
    )
    parser.add_argument(
        "--arithmetic",
        default="native",
        metavar="NAME",
        help="native (default: the library's kernels), or one whose bits do not depend on how tokens are batched: "
        "exact64, int8; then greedy text is the same with every decoder",
    )
    parser.add_argument("--seed", type=int, default=0, help="key of the random counter (default 0)")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 picks the likeliest token (default 1)")
    parser.add_argument("--top-k", type=int, metavar="K", help="keep the K likeliest tokens")
    parser.add_argument("--top-p", type=float, metavar="P", help="keep the likeliest tokens up to mass P")
    parser.add_argument("--max-tokens", type=int, default=200, metavar="N", help="most tokens to emit (default 200)")
    parser.add_argument("--json", action="store_true", help="print tokens, rounds and metrics as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    from reference import pair
    from reference.decode.options import check_request

    if arguments.decoder not in DECODERS:
        raise UsageError(f"--decoder is {arguments.decoder!r}; allowed are {', '.join(DECODERS)}")
    check_randomness(arguments)
    choose(arguments)
    if arguments.randomness == "coupled":
        arguments.rule = None
    prompts = (
        read_prompts(arguments.prompts) if arguments.prompts is not None else [Prompt(arguments.prompt, "--prompt", {})]
    )
    options = [_options(arguments, request) for request in range(len(prompts))]
    models = _in_arithmetic(pair.load(arguments.pair), arguments.arithmetic)
    _use_one_thread()
    for prompt, own in zip(prompts, options, strict=True):  # all of them before the first is decoded
        try:
            check_request(models.target, models.draft, _tokens(prompt), own)
        except ValueError as error:
            raise UsageError(f"{prompt.where}: {error}") from None
    if arguments.prompts is not None or arguments.json:
        work = list(zip(prompts, options, strict=True))
        for prompt, own in progress(work, total=len(work), label="decode"):
            rounds = list(_rounds(models, prompt, own, arguments))
            print(json.dumps(report(prompt, rounds, own, arguments), allow_nan=False), flush=True)
        return 0
    _show(_rounds(models, prompts[0], options[0], arguments))
    return 0


def check_randomness(arguments: argparse.Namespace) -> None:
    """UsageError for an unknown kind of randomness, and for a rule or several paths where there is nothing to judge."""
    if arguments.randomness not in RANDOMNESS:
        raise UsageError(f"--randomness is {arguments.randomness!r}; allowed are {', '.join(RANDOMNESS)}")
    if arguments.randomness == "coupled":
        if arguments.decoder == "paths":
            raise UsageError("--randomness coupled: allowed with --decoder autoregressive and chain")
        if arguments.rule is not None:
            raise UsageError(f"--rule is {arguments.rule!r}: with --randomness coupled no rule judges the drafts")


def choose(arguments: argparse.Namespace) -> None:
    """Fill in the decoder's defaults; UsageError for options that it does not have or that do not go together."""
    from reference.decode.chain import chain_rule
    from reference.decode.paths import paths_rule

    own = DEFAULTS[arguments.decoder]
    for name in DEFAULTS["paths"]:
        given, option = getattr(arguments, name), "--" + name.replace("_", "-")
        if given is None:
            setattr(arguments, name, own.get(name))
        elif name not in own:
            having = " and ".join(decoder for decoder in DECODERS if name in DEFAULTS[decoder])
            raise UsageError(f"{option} is {given!r}: --decoder {arguments.decoder} has no {option}, {having} only")
        elif name in ("n", "draft_length") and given < 1:
            raise UsageError(f"{option} is {given}; allowed are whole numbers >= 1")
    if arguments.decoder == "chain":
        chain_rule(arguments.rule)
    elif arguments.decoder == "paths":
        paths_rule(arguments.rule, n=arguments.n, draft_length=arguments.draft_length, drafts=arguments.drafts)


def read_prompts(path: Path) -> list[Prompt]:
    """Prompts of a file of JSON lines; blank lines are skipped. UsageError names the line that is none."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a JSON string may hold other line separators
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found.append(_parse(line, f"{path} line {number}"))
    if not found:
        raise UsageError(f"{path}: no prompts; allowed are one JSON string or object with a prompt per line")
    return found


def _parse(line: str, where: str) -> Prompt:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}: not JSON ({error}); allowed are a string or an object with a prompt") from None
    extra = {}
    if isinstance(value, dict):
        unknown = sorted(set(value) - {"prompt", "id"})
        if unknown or "prompt" not in value:
            raise UsageError(f"{where}: fields {sorted(value)}; allowed are prompt and, if wanted, id")
        extra = {"id": value["id"]} if "id" in value else {}
        if isinstance(extra.get("id", ""), bool) or not isinstance(extra.get("id", ""), str | int):
            raise UsageError(f"{where}: id is {extra['id']!r}; allowed are strings and whole numbers")
        value = value["prompt"]
    if not isinstance(value, str) or not value:
        raise UsageError(f"{where}: the prompt is {value!r}; allowed is a string of at least one character")
    return Prompt(value, where, extra)


def _use_one_thread() -> None:
    # The shipped pair is so small that handing rows to a second thread costs more than it saves, and on a busy machine
    # waiting for that thread costs a hundred times more.
    import torch

    torch.set_num_threads(1)


def _options(arguments: argparse.Namespace, request: int) -> Options:
    from reference.decode import Options
    from reference.pair import END

    return Options(
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        request=request,
        stop=frozenset([END]),
    )


def _tokens(prompt: Prompt) -> list[int]:
    from reference.pair import encode

    if not prompt.text:
        raise UsageError("empty; allowed is at least one character")
    return encode(prompt.text)


class Models(NamedTuple):
    """The pair as the decoders see it."""

    target: LanguageModel
    draft: LanguageModel


def _in_arithmetic(models: Pair, name: str) -> Models:
    """The pair with both networks computed in the arithmetic of that name; UsageError for an unknown one."""
    from reference.numerics import ARITHMETICS, PreparedModel

    if name not in ARITHMETICS:
        raise UsageError(f"--arithmetic is {name!r}; allowed are {', '.join(ARITHMETICS)}")
    if name == "native":
        return Models(models.target, models.draft)
    return Models(*(PreparedModel(model.network, name) for model in (models.target, models.draft)))


def _rounds(models: Models, prompt: Prompt, options: Options, arguments: argparse.Namespace) -> Iterator[Round]:
    from reference import decode

    if arguments.randomness == "coupled":
        alone = arguments.decoder == "autoregressive"
        return decode.coupled_rounds(
            models.target,
            _tokens(prompt),
            draft=None if alone else models.draft,
            draft_length=1 if alone else arguments.draft_length,
            options=options,
        )
    if arguments.decoder == "autoregressive":
        return decode.autoregressive_rounds(models.target, _tokens(prompt), options=options)
    if arguments.decoder == "paths":
        return decode.paths_rounds(
            models.target,
            models.draft,
            _tokens(prompt),
            n=arguments.n,
            draft_length=arguments.draft_length,
            drafts=arguments.drafts,
            rule=arguments.rule,
            options=options,
        )
    return decode.chain_rounds(
        models.target,
        models.draft,
        _tokens(prompt),
        draft_length=arguments.draft_length,
        rule=arguments.rule,
        options=options,
    )


def report(prompt: Prompt, rounds: list[Round], options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    """The object of ``decode.schema.json``."""
    from reference.decode import collect
    from reference.pair import decode_tokens

    decoded = collect(rounds)
    return {
        "schema_version": SCHEMA_VERSION,
        **prompt.extra,
        "prompt": prompt.text,
        "text": decode_tokens(decoded.tokens),
        "tokens": list(decoded.tokens),
        "rounds": [one.as_json() for one in rounds],
        "metrics": metrics.summary(rounds),
        "stop_reason": decoded.stop_reason,
        "options": {
            "decoder": arguments.decoder,
            "arithmetic": arguments.arithmetic,
            "randomness": arguments.randomness,
            **{name: getattr(arguments, name) for name in DEFAULTS["paths"]},
            **{name: value for name, value in vars(options).items() if name != "stop"},
            "stop": sorted(options.stop),
        },
    }


def _show(rounds: Iterator[Round]) -> None:
    """Text to stdout as it is committed, then one line of metrics to stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # sampled bytes may not exist in a terminal's own encoding
    reader = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a character may be cut by a round
    done = []
    for one in rounds:
        done.append(one)
        kept = one.emitted[:-1] if one.stop_reason == "stop" else one.emitted
        sys.stdout.write(reader.decode(bytes(kept)))
        sys.stdout.flush()
    sys.stdout.write(reader.decode(b"", final=True) + "\n")
    sys.stdout.flush()
    total = metrics.summary(done)
    rate = total["acceptance_rate"]
    accepted = "" if rate is None else f", {rate:.0%} of {total['drafted_tokens']} drafts accepted"
    print(
        f"{total['emitted_tokens']} tokens in {total['target_calls']} target calls: block efficiency "
        f"{total['block_efficiency']:.2f}{accepted}, ended by {done[-1].stop_reason}, {total['seconds']:.2f} s",
        file=sys.stderr,
    )


COMMAND = Command("decode", "decode prompts with the shipped pair, and show every round", add_arguments, run)
