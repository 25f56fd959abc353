"""``specmath decode``: continue prompts, as text with the kept drafts in colour, or with every round as JSON."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reference.commands.shared import choices, drafting, lines, prompts, sampling, sources
from reference.lines import as_line
from specmath.cli.command import Command
from specmath.cli.discovery import OWN
from specmath.cli.progress import Bar

if TYPE_CHECKING:
    from reference.decode import Event, Request, Round

FAILED = 1
"""Exit code when a text could not be finished, for example because a model's logits held NaN."""


@dataclass(frozen=True)
class Job:
    """All that a call asks for, checked: a request for each prompt, the models, and what results tell of them."""

    given: Sequence[prompts.Prompt]
    requests: Sequence[Request]
    models: sources.Models
    plan: drafting.Drafting
    settings: Mapping[str, Any]

    def told(self) -> list[dict[str, Any]]:
        """For each prompt what its result says whatever comes out."""
        from reference.commands.shared.results import described

        chosen, models = self.plan.as_json() | dict(self.settings), self.models.as_json()
        return [
            described(prompt, request.options, chosen, models)
            for prompt, request in zip(self.given, self.requests, strict=True)
        ]

    def events(self, first: int = 0) -> Iterator[Event]:
        """The rounds of the requests from ``first`` on, which is ticket 0, in order."""
        from reference.commands.shared.texts import rounds

        return rounds(self.models.target, self.requests[first:], self.plan.rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'example: specmath decode --prompt "def mean(values):" --decoder tree --tree 3,2,1 --temperature 0.8'
    )
    prompts.add_arguments(parser, shown="; texts are printed as --json prints them, with every round")
    choices.add_arguments(parser)
    sampling.add_arguments(parser)
    sources.add_arguments(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print a JSON object a text: tokens, rounds and metrics")
    group.add_argument("--out", type=Path, metavar="FILE", help="write these objects to FILE, a line as each text ends")
    group.add_argument("--resume", action="store_true", help="go on with --out where it ends")


def run(arguments: argparse.Namespace) -> int:
    plan = drafting.choose(arguments)
    sources.check(arguments, plan.drafter)
    sampling.options(arguments)
    given = prompts.given(arguments)
    lines.check(arguments.out, arguments.resume)
    job = _job(given, plan, arguments)
    if arguments.out is not None:
        return _keep(job, arguments.out)
    if arguments.json or arguments.prompts is not None:
        return _print(job)
    return _show(job)


def _job(given: Sequence[prompts.Prompt], plan: drafting.Drafting, arguments: argparse.Namespace) -> Job:
    """Load the models and check every prompt; UsageError names the one that cannot be decoded."""
    from reference.commands.shared.texts import requests

    models = sources.load(arguments, plan.drafter, plan.layers)
    plan.check_room(target=models.target, draft=models.draft)
    drafter = plan.build(models.draft if models.draft is not None else models.target)
    options = partial(sampling.options, arguments, models.words.stop, plan.randomness)
    wanted = requests(given, models.target, models.words, options, drafter, plan.rule)
    return Job(given, wanted, models, plan, sources.settings(arguments))


def _results(job: Job, told: Sequence[dict[str, Any]], first: int = 0) -> Iterator[tuple[dict[str, Any], list[Round]]]:
    """The result of each text as it ends, with its rounds (none for one that failed)."""
    from reference.commands.shared.results import failure, result
    from reference.commands.shared.texts import ends
    from reference.decode import Failure

    rounds: list[Round] = []
    for event in job.events(first):
        own = told[first + event.ticket]
        if isinstance(event.outcome, Failure):
            yield failure(own, event.outcome), []
            rounds = []
        else:
            rounds.append(event.outcome)
            if ends(event):
                yield result(own, rounds, job.models.words), rounds
                rounds = []


def _print(job: Job) -> int:
    """JSON lines on stdout."""
    told, failed = job.told(), 0
    stream = io.StringIO() if sys.stdout.isatty() else None  # lines and bar would mix; the lines are progress enough
    with Bar(total=len(told), label="decode", stream=stream) as bar:
        for number, (one, _) in enumerate(_results(job, told)):
            sys.stdout.write(as_line(one))
            sys.stdout.flush()
            failed += _failed(job.given[number], one)
            bar.advance()
    return FAILED if failed else 0


def _keep(job: Job, path: Path) -> int:
    """JSON lines in a file, going on where it ends, and a line about it on stderr."""
    from reference.commands.shared.results import summed_up

    told, rounds, begun = job.told(), [], time.perf_counter()
    with ExitStack() as stack:
        kept = stack.enter_context(lines.open_lines(path, told))
        done, failed = kept.done, kept.failed
        bar = stack.enter_context(Bar(total=len(told) - done, label="decode"))
        try:
            for one, own in _results(job, told, done):
                kept.write(one)
                rounds += own
                failed += _failed(job.given[done], one)
                done += 1
                bar.advance()
        except KeyboardInterrupt:
            print(f"{path}: {done} of {len(told)} texts; --resume goes on with it", file=sys.stderr)
            raise
    before = f" ({kept.done} were there)" if kept.done else ""
    more = f"; {summed_up(rounds)}, {time.perf_counter() - begun:.1f} s" if rounds else ""
    print(f"{path}: {done} texts{before}{more}", file=sys.stderr)
    return FAILED if failed else 0


def _show(job: Job) -> int:
    """Text on stdout as it is committed, and lines about it on stderr."""
    from reference.commands.shared.results import summed_up
    from reference.commands.shared.terminal import LEGEND, Shower, in_colour
    from reference.commands.shared.texts import ends
    from reference.decode import Failure

    colour = in_colour(sys.stdout) and job.plan.kind != "none"
    shower, rounds, failed = None, [], 0
    for event in job.events():
        prompt = job.given[event.ticket]
        if shower is None:
            if len(job.given) > 1:
                print(f"==> {_heading(prompt)} <==")
            shower, rounds = Shower(job.models.words, colour=colour), []
        if isinstance(event.outcome, Failure):
            shower.end()
            failed += _failed(prompt, {"error": event.outcome.error})
        else:
            rounds.append(event.outcome)
            shower.show(event.outcome)
            if not ends(event):
                continue
            shower.end()
            spent = sum(one.seconds for one in rounds)
            reason = event.outcome.stop_reason
            print(f"{summed_up(rounds)}, ended by {reason}, {spent:.2f} s", file=sys.stderr)
        shower = None
    if colour:
        print(LEGEND, file=sys.stderr)
    return FAILED if failed else 0


def _heading(prompt: prompts.Prompt) -> str:
    text = json.dumps(prompt.content, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _failed(prompt: prompts.Prompt, one: dict[str, Any]) -> bool:
    if "error" in one:
        print(f"specmath decode: {prompt.where}: {one['error']}", file=sys.stderr)
    return "error" in one


COMMAND = Command("decode", OWN["decode"][1], add_arguments, run)
