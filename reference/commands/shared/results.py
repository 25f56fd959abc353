"""What a decoded text becomes: an object of ``decode.schema.json``, and one line about all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import specmath
from reference.commands.shared.prompts import Prompt
from reference.commands.shared.words import Words
from reference.decode import Failure, Options, Round, collect
from specmath import metrics

SCHEMA_VERSION = 3


def described(prompt: Prompt, options: Options, chosen: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a result that are known before the text is decoded, and must be the same when a file is resumed."""
    return {
        "schema_version": SCHEMA_VERSION,
        "specmath": specmath.__version__,
        **prompt.as_json(),
        "options": {
            **chosen,
            **{name: value for name, value in vars(options).items() if name not in ("stop", "randomness")},
            "stop": sorted(options.stop),
        },
        "models": models,
    }


def result(told: Mapping[str, Any], rounds: Sequence[Round], words: Words) -> dict[str, Any]:
    """The object of a finished text."""
    decoded = collect(rounds)
    kept = decoded.tokens[:-1] if decoded.stop_reason == "stop" else decoded.tokens
    found = {
        "text": words.decode(kept),
        "tokens": list(decoded.tokens),
        "stop_reason": decoded.stop_reason,
        "metrics": metrics.summary(rounds),
    }
    return _between(told, found) | {"rounds": [one.as_json() for one in rounds]}


def failure(told: Mapping[str, Any], failed: Failure) -> dict[str, Any]:
    """The object of a text that could not be finished."""
    return _between(told, {"error": failed.error})


def _between(told: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What was found stands behind the prompt, before the options."""
    last = ("options", "models")
    return {name: told[name] for name in told if name not in last} | found | {name: told[name] for name in last}


def summed_up(rounds: Sequence[Round]) -> str:
    """Tokens, target calls and what was accepted, in one line."""
    total = metrics.summary(rounds)
    rate = total["acceptance_rate"]
    accepted = "" if rate is None else f", {rate:.0%} of {total['drafted_tokens']} drafts accepted"
    return (
        f"{total['emitted_tokens']} tokens in {total['target_calls']} target calls: block efficiency "
        f"{total['block_efficiency']:.2f}{accepted}"
    )
