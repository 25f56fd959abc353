"""Made-up engines with the signatures of real ones, right or with one planted defect, as source text for a folder."""

from __future__ import annotations

from pathlib import Path

V1 = """
import torch

from vllm.logger import init_logger
from vllm.model_executor.warmup.jit_warmup_triton_helper import triton_kernel_dispatcher_with_warmup
from vllm.triton_utils import tl, triton
from vllm.v1.outputs import SamplerOutput

logger = init_logger(__name__)
NOTHING: tl.constexpr = -1


class Wrapper(SamplerOutput):
    def shape(self) -> SamplerOutput | None:
        return logger.info("never")


def generate_uniform_probs(count):
    return torch.rand(count, dtype=torch.float64)


def sample_recovered_tokens(ids, cu, tokens, draft, target):
    noise = torch.empty(cu.shape[0], target.shape[1])
    noise.exponential_()
    _recover(ids, cu, tokens, draft, target, noise.reciprocal())
    return ids


@triton.jit(do_not_specialize=["vocab_size"])
def recover_kernel(ids_ptr, cu_ptr, tokens_ptr, draft_ptr, target_ptr, noise_ptr, vocab_size,
                   NO_DRAFT: tl.constexpr, BLOCK_SIZE: tl.constexpr):
    request, step = tl.program_id(0), tl.program_id(1)
    first = 0 if request == 0 else tl.load(cu_ptr + request - 1)
    if step >= tl.load(cu_ptr + request) - first:
        return
    row = first + step
    cols = tl.arange(0, BLOCK_SIZE)
    real = cols < vocab_size
    p = tl.load(target_ptr + row * vocab_size + cols, mask=real, other=0.0)
    if NO_DRAFT:
        left = tl.where(cols == tl.load(tokens_ptr + row), 0.0, p)
    else:
        q = tl.load(draft_ptr + row * vocab_size + cols, mask=real, other=0.0)
        left = tl.maximum(p - q, 0.0)
    score = RESIDUAL * tl.load(noise_ptr + request * vocab_size + cols, mask=real, other=0.0)
    _, best = tl.max(score, axis=0, return_indices=True)
    tl.store(ids_ptr + row, tl.minimum(best, vocab_size - 1))


@triton_kernel_dispatcher_with_warmup(kernel=recover_kernel, warmup_inputs=None)
def _recover(ids, cu, tokens, draft, target, noise):
    return (cu.shape[0], 4), dict(vocab_size=target.shape[1], NO_DRAFT=draft is None, BLOCK_SIZE=4096)


@triton.jit
def accept_kernel(out_ptr, cu_ptr, tokens_ptr, draft_ptr, target_ptr, recovered_ptr, uniform_ptr, bonus_ptr,
                  width, vocab_size, NO_DRAFT: tl.constexpr):
    request = tl.program_id(0)
    first = 0 if request == 0 else tl.load(cu_ptr + request - 1)
    count = tl.load(cu_ptr + request) - first
    going = True
    for step in range(count):
        if going:
            token = tl.load(tokens_ptr + first + step)
            p = tl.load(target_ptr + (first + step) * vocab_size + token)
            q = 1.0 if NO_DRAFT else tl.load(draft_ptr + (first + step) * vocab_size + token)
            going = tl.load(uniform_ptr + first + step) * q < p
            emitted = token if going else tl.load(recovered_ptr + first + step)
            tl.store(out_ptr + request * width + step, emitted)
    if going:
        tl.store(out_ptr + request * width + count, tl.load(bonus_ptr + request))


def rejection_sample(draft_token_ids, num_draft_tokens, max_spec_len, cu_num_draft_tokens, draft_probs, target_logits,
                     bonus_token_ids, sampling_metadata, something_new=None):
    target = target_logits.softmax(dim=-1, dtype=torch.float32)
    out = torch.full((len(num_draft_tokens), max_spec_len + 1), NOTHING, dtype=torch.int32)
    uniforms = generate_uniform_probs(len(draft_token_ids))
    ids = torch.empty_like(draft_token_ids)
    sample_recovered_tokens(ids, cu_num_draft_tokens, draft_token_ids, draft_probs, target)
    accept_kernel[(len(num_draft_tokens),)](
        out, cu_num_draft_tokens, draft_token_ids, draft_probs, target, ids, uniforms, bonus_token_ids,
        max_spec_len + 1, target.shape[1], NO_DRAFT=draft_probs is None, num_warps=1,
    )
    return out
"""

V2_UTILS = """
import random

import torch

from vllm.v1.worker.gpu.sample.gumbel import number


def rejection_sample(target_logits, draft_logits, draft_sampled, cu_num_logits, pos, idx_mapping, expanded_idx_mapping,
                     expanded_local_pos, temperature, seed, num_speculative_steps, use_block_verification=False):
    n = len(draft_sampled) - 1
    target, draft = target_logits.softmax(-1), draft_logits[0].softmax(-1)
    out, count = torch.zeros(1, n + 1, dtype=torch.int64), 0
    for i in range(n + 1):
        at = int(seed[0]), int(pos[i])
        left = target[i]
        if i < n:
            token = int(draft_sampled[i + 1])
            if number(*at, "accept") * draft[i, token] < target[i, token]:
                out[0, i] = token
                continue
            left = (target[i] - draft[i]).clamp(min=0)
        out[0, i] = int(torch.searchsorted(left.cumsum(0), number(*at, "residual") * left.sum(), right=True))
        break
    return out, torch.tensor([i + 1])
"""

V2_GUMBEL = """
import random

import torch


def number(seed, position, stream):
    return random.Random(f"{seed} {position} {STREAM}").random()


def gumbel_sample(logits, expanded_idx_mapping, temperature, seed, pos, apply_temperature, is_drafting,
                  logits_cache=None, logits_cache_col=None):
    logits_cache[0, int(logits_cache_col)] = logits[0]
    law = logits[0].softmax(-1)
    return torch.searchsorted(law.cumsum(0), torch.tensor(number(int(seed[0]), int(pos[0]), "draft")), right=True)
"""

SGLANG = """
import triton
import triton.language as tl


@triton.jit
def chain_kernel(out, path, count, tokens, at, coins, last_coin, target, draft, slots: tl.constexpr,
                 vocabulary: tl.constexpr, BLOCK_V: tl.constexpr):
    row = tl.program_id(0)
    accepted = 0
    going = True
    place = tl.load(at + row * slots)
    tl.store(path + row * slots, place)
    for step in tl.static_range(1, slots):
        if going:
            token = tl.load(tokens + row * slots + step)
            p = tl.load(target + (row * slots + accepted) * vocabulary + token)
            q = tl.load(draft + (row * (slots - 1) + accepted) * vocabulary + token)
            going = tl.load(coins + row * slots + step - 1) * q < p
            if going:
                accepted += 1
                tl.store(out + place, token)
                place = tl.load(at + row * slots + step)
                tl.store(path + row * slots + accepted, place)
    tl.store(count + row, accepted)
    total = 0.0
    for start in range(0, vocabulary, BLOCK_V):
        cols = start + tl.arange(0, BLOCK_V)
        p = tl.load(target + (row * slots + accepted) * vocabulary + cols, mask=cols < vocabulary, other=0.0)
        inside = (cols < vocabulary) & (accepted < slots - 1)
        q = tl.load(draft + (row * (slots - 1) + accepted) * vocabulary + cols, mask=inside, other=0.0)
        total += tl.sum(tl.maximum(p - q, 0.0))
    edge, done = 0.0, False
    last = vocabulary - 1
    for start in range(0, vocabulary, BLOCK_V):
        if not done:
            cols = start + tl.arange(0, BLOCK_V)
            p = tl.load(target + (row * slots + accepted) * vocabulary + cols, mask=cols < vocabulary, other=0.0)
            inside = (cols < vocabulary) & (accepted < slots - 1)
            q = tl.load(draft + (row * (slots - 1) + accepted) * vocabulary + cols, mask=inside, other=0.0)
            left = tl.maximum(p - q, 0.0)
            above = edge + tl.cumsum(left, axis=0) > tl.load(last_coin + row) * SCALE
            if tl.max(above, axis=0):
                last = start + tl.argmax(above.to(tl.int32), axis=0)
                done = True
            edge += tl.sum(left)
    tl.store(out + place, last)


def chain_speculative_sampling_triton(predicts, accept_index, accept_token_num, candidates, retrive_index,
                                      retrive_next_token, retrive_next_sibling, uniform_samples,
                                      uniform_samples_for_final_sampling, target_probs, draft_probs, threshold_single,
                                      threshold_acc, deterministic, *, block_verification=False):
    rows, slots = candidates.shape
    chain_kernel[(rows,)](
        predicts, accept_index, accept_token_num, candidates, retrive_index, uniform_samples,
        uniform_samples_for_final_sampling, target_probs, draft_probs, slots, target_probs.shape[-1], BLOCK_V=4096,
    )
"""

EAGLE = """
import random

import torch
from transformers.generation.logits_process import LogitsProcessorList


def evaluate_posterior(logits, candidates, logits_processor: LogitsProcessorList):
    path, alive = 0, torch.ones(len(candidates), dtype=torch.bool)
    for depth in range(1, candidates.shape[1]):
        law = torch.softmax(logits_processor(None, logits[path, depth - 1][None])[0], 0)
        found = None
        for token in dict.fromkeys(candidates[alive, depth].tolist()):
            if token < 0:
                continue
            if random.random() < law[token]:
                found = token
                break
            law = law.clone()
            law[token] = LEFT
            if not law.sum() > 0:  # the last of all tokens, rejected by rounding
                found = token
                break
            law = law / law.sum()
        if found is None:
            return torch.tensor(path), depth - 1, law
        alive &= candidates[:, depth] == found
        path = int(alive.nonzero()[0])
    law = torch.softmax(logits_processor(None, logits[path, -1][None])[0], 0)
    return torch.tensor(path), candidates.shape[1] - 1, law
"""

MEDUSA = """
import torch
import torch.nn.functional as F


def get_nucleus_one_token(logit, temperature, top_p):
    return torch.multinomial(F.softmax(POWER * logit / temperature, dim=-1), 1)


def get_nucleus_posterior_mask(logits, candidates, temperature, top_p):
    laws = F.softmax(logits[:, :-1] / temperature, dim=-1)
    return candidates[:, 1:] == torch.multinomial(laws.flatten(0, 1), 1).view(laws.shape[:2])


def evaluate_posterior(logits, candidates, temperature, posterior_threshold=0.3, posterior_alpha=0.09, top_p=0.8,
                       sampling="typical", fast=True):
    if sampling == "nucleus":
        kept = get_nucleus_posterior_mask(logits, candidates, temperature, top_p).int()
    else:
        laws = torch.softmax(logits[:, :-1] / temperature, dim=-1)
        entropy = -torch.sum(laws * torch.log(laws + 1e-5), dim=-1)
        limit = torch.minimum(torch.tensor(posterior_threshold), torch.exp(-entropy) * posterior_alpha)
        kept = (laws.gather(-1, candidates[:, 1:, None])[:, :, 0] COMPARED limit).int()
    lengths = kept.cumprod(dim=1).sum(dim=1)
    return torch.argmax(lengths), lengths.max()
"""

VERSIONS = {"vllm": "9.9.1", "sglang": "9.9.2", "eagle": "9.9.3", "medusa": "9.9.4"}
PLACES = {
    "vllm": {
        "vllm/v1/sample/rejection_sampler.py": V1,
        "vllm/v1/worker/gpu/spec_decode/rejection_sampler_utils.py": V2_UTILS,
        "vllm/v1/worker/gpu/sample/gumbel.py": V2_GUMBEL,
    },
    "sglang": {"sglang/kernels/ops/speculative/reject_sampling.py": SGLANG},
    "eagle": {"eagle/model/utils.py": EAGLE},
    "medusa": {"medusa/model/utils.py": MEDUSA},
}
RIGHT = {"RESIDUAL": "left", "SCALE": "total", "LEFT": "0.0", "STREAM": "stream", "POWER": "1", "COMPARED": ">"}
DEFECTS = {
    "residual taken from the target": ("vllm.v1", {"RESIDUAL": "p"}),
    "residual not scaled": ("sglang.chain", {"SCALE": "1.0"}),
    "rejected token tried again": ("eagle.evaluate_posterior", {"LEFT": "law[token]"}),
    "next token from a sharper law": ("medusa.nucleus", {"POWER": "2"}),
    "tokens below the threshold accepted": ("medusa.typical", {"COMPARED": "<"}),
    "one stream for drafts, tests and residual": ("vllm.v2", {"STREAM": "''"}),
}
"""Defect -> (adapter that must see it, what is written in place of the right words)."""


def write(engine: str, folder: Path, **words: str) -> Path:
    """The engine's files below ``folder``, with ``words`` in place of the right ones."""
    for place, text in PLACES[engine].items():
        for name, right in RIGHT.items():
            text = text.replace(name, words.get(name, right))
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / engine / "__init__.py").write_text(
        f'__version__ = "{VERSIONS[engine]}"\nraise RuntimeError("not installed")\n'
    )
    return folder
