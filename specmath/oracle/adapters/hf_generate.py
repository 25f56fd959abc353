"""Whole `generate` calls of transformers on tiny models, one for every way in which it speculates."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from specmath.oracle.adapters import hf_models
from specmath.oracle.adapters.hf_models import Sampling, drafting, llama
from specmath.oracle.adapters.place import Missing, put_on_path
from specmath.oracle.adapters.registry import Whole

NARROW = Sampling(temperature=0.8, top_k=2)
"""Two tokens after every text: few paths, and zeros that drafts run into."""
NUCLEUS = Sampling(temperature=0.5, top_p=0.8)
GREEDY = Sampling(greedy=True)
PROMPT = (0, 1)
STOP = 2


def whole(
    model: Any,
    sampling: Sampling,
    *,
    config: dict[str, Any] | None = None,
    arguments: dict[str, Any] | None = None,
    prompt: tuple[int, ...] = PROMPT,
    length: int = 3,
    stop: int | None = None,
    draft: Callable[[tuple[int, ...]], Any] | None = None,
    keep: Any = None,
) -> Whole:
    """``model.generate`` with this sampling; ``config`` goes into its GenerationConfig, ``arguments`` into the call.

    ``keep`` is held for as long as the function is.
    """
    import torch
    from transformers import GenerationConfig

    words = {**sampling.words(), "pad_token_id": 0, "eos_token_id": stop, **(config or {})}
    more = arguments or {}

    def generate(prompt: tuple[int, ...], n_tokens: int, _keep: Any = keep) -> Any:
        ids = torch.tensor([prompt])
        # A config of its own for every call: what a call leaves in it is not met by the next one.
        options = GenerationConfig(max_new_tokens=n_tokens, **words)
        text = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=options, **more)
        return text[0, len(prompt) :]

    return Whole(generate, hf_models.following(model, sampling), (prompt,), length, stop, draft)


def assisted() -> Whole:
    """A separate assistant that always drafts two tokens."""
    assistant = drafting(llama(2), 2)
    return whole(
        llama(1), NARROW, arguments={"assistant_model": assistant}, draft=hf_models.following(assistant, NARROW)
    )


def assisted_confident() -> Whole:
    """The same, and drafting stops after a token of probability below 0.4."""
    return whole(llama(1), NARROW, arguments={"assistant_model": drafting(llama(2), 2, confidence=0.4)})


def assisted_own_sampling() -> Whole:
    """An assistant whose own generation config has another temperature and another top k."""
    assistant = drafting(llama(2), 1, temperature=2.0, top_k=3)
    return whole(llama(1), NUCLEUS, arguments={"assistant_model": assistant})


def assisted_stop() -> Whole:
    """A stop token in the vocabulary, which may be drafted anywhere in the block."""
    return whole(llama(1), NARROW, arguments={"assistant_model": drafting(llama(2), 2)}, stop=STOP)


def assisted_greedy() -> Whole:
    """Without sampling: the drafts are compared with the target's likeliest tokens."""
    return whole(llama(1), GREEDY, arguments={"assistant_model": drafting(llama(2), 2)})


def prompt_lookup() -> Whole:
    """Drafts copied from the text so far."""
    return whole(llama(1), NARROW, config={"prompt_lookup_num_tokens": 2}, prompt=(0, 1, 0))


def early_exit() -> Whole:
    """The target's own first layer drafts."""
    return whole(drafting(llama(1, layers=2), 1), NARROW, config={"assistant_early_exit": 1})


TARGET_WORDS = "a b c d"
ASSISTANT_WORDS = "x a b c d"


def universal() -> Whole:
    """Another tokenizer, with sampling: the assistant's head is cut down to the words that both know.

    Which logit stands for which token depends on the order in which ``get_vocab()`` of the assistant's tokenizer lists
    its words. A fast tokenizer lists them in another order every time; here they come by falling number, so that the
    numbers of an audit can be repeated.
    """
    arguments = {
        "assistant_model": drafting(llama(2, vocabulary=5), 1),
        "tokenizer": hf_models.tokenizer(TARGET_WORDS),
        "assistant_tokenizer": hf_models.tokenizer(ASSISTANT_WORDS, falling=True),
    }
    return whole(llama(1), Sampling(), arguments=arguments, length=2)


def universal_greedy() -> Whole:
    """Another tokenizer, without sampling: drafts go through text."""
    arguments = {
        "assistant_model": drafting(llama(2, vocabulary=5), 2),
        "tokenizer": hf_models.tokenizer(TARGET_WORDS),
        "assistant_tokenizer": hf_models.tokenizer(ASSISTANT_WORDS),
    }
    return whole(llama(1), GREEDY, arguments=arguments)


def single_position() -> Whole:
    """Gemma 4 and its assistant."""
    target, assistant = hf_models.single_position()
    return whole(target, Sampling(), arguments={"assistant_model": assistant})


def mtp() -> Whole:
    """A model that drafts with prediction layers of its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # the layers are loaded anew by every call
    stack = ExitStack()
    return whole(hf_models.self_drafting(stack), NARROW, config={"use_mtp": True}, keep=stack)


def dflash() -> Whole:
    """An assistant that drafts a block in one pass."""
    target, assistant = hf_models.dflash()
    config = {"speculation_type": "dflash"}
    return whole(target, NARROW, config=config, arguments={"assistant_model": assistant})


def loader(build: Callable[[], Whole]) -> Callable[[Path | None], Whole]:
    """``load(source)`` of an adapter around one of the functions above. What cannot be built is `Missing`."""

    def load(source: Path | None) -> Whole:
        put_on_path("transformers", source)
        try:
            import transformers  # noqa: F401
        except ImportError as error:
            raise Missing(f"transformers cannot be imported: {error}") from error
        try:
            return build()
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise Missing(f"cannot be built with this transformers: {type(error).__name__}: {error}") from error

    return load
