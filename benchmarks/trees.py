"""Accepted tokens per round of the rules for chains and trees: exactly on small instances, by sampling on the pair.

``make bench-trees``. Small instances are enumerated over fractions, and the joint optimum is a linear program, so the
distance of each rule from what is possible is known. ``--write FILE`` keeps the numbers and how they were made.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from specmath import draft_laws, rules
from specmath.rules import Rule
from specmath.transport.joint import joint_optimum

CHAIN, PATHS, BINARY = (-1, 0), (-1, 0, -1, 2), (-1, -1, 0, 0, 1, 1)
DEEP_CHAIN, DEEP_PATHS = (-1, 0, 1), (-1, 0, 1, -1, 3, 4)
GRAIN = 100  # weights of the small laws are whole numbers of about this sum
JOINT = "joint optimum"


@dataclass(frozen=True)
class Method:
    """One column: a rule on drafts of one law and shape."""

    rule: str
    drafts: str
    parents: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.rule}, {self.drafts}"

    def played(self) -> Rule:
        return rules.get(self.rule).under(self.drafts)


def methods(chain: tuple[int, ...], paths: tuple[int, ...], tree: tuple[int, ...]) -> dict[str, list[Method]]:
    """What is compared, by shape; on a chain there is one path of the same depth."""
    distinct = "without_replacement"
    return {
        "one path": [Method("token_wise", "iid", chain), Method("block", "iid", chain)],
        "two paths": [
            Method(name, "iid", paths)
            for name in ("spectr", "optimal_paths", "traversal", "multipath_block", "conditional_transport")
        ],
        "binary tree": [
            *(Method(name, "iid", tree) for name in ("spectr", "optimal_paths", "traversal", "conditional_transport")),
            *(Method(name, distinct, tree) for name in ("optimal_paths", "traversal", "conditional_transport")),
        ],
    }


# small instances


def law(generator: np.random.Generator, size: int, sharpness: float) -> list[Fraction]:
    drawn = np.maximum(np.round(GRAIN * generator.dirichlet(np.full(size, sharpness))), 1)
    return [Fraction(int(weight), int(drawn.sum())) for weight in drawn]


def tables(generator: np.random.Generator, size: int, depth: int) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Target and draft laws after every text up to ``depth`` tokens, one sharpness of each model per instance."""
    sharp = generator.choice([0.3, 1.0, 3.0], size=2)
    texts = [text for length in range(depth + 1) for text in itertools.product(range(size), repeat=length)]
    target, draft = ({text: law(generator, size, s) for text in texts} for s in sharp)
    return target, draft


def accepted(method: Method, target: Callable[..., Any], draft: Callable[..., Any]) -> float:
    rule = method.played()
    found = rules.round_law(rule, target, draft, method.parents, method.drafts, budget=10**6)
    return float(found.mean(lambda emitted: len(emitted) - 1))


def small(size: int, instances: int, seed: int) -> dict[str, Any]:
    """Mean accepted tokens of every method on random instances, and wins and losses against traversal."""
    generator = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    drawn = [tables(generator, size, 2) for _ in range(instances)]
    for shape, listed in methods(CHAIN, PATHS, BINARY).items():
        values: dict[str, list[float]] = {}
        for target, draft in drawn:
            for method in listed:
                values.setdefault(method.name, []).append(accepted(method, target.__getitem__, draft.__getitem__))
            for drafts in dict.fromkeys(method.drafts for method in listed):
                best = joint_optimum(
                    lambda text, t=target: [float(p) for p in t[text]],
                    lambda text, d=draft: [float(q) for q in d[text]],
                    listed[0].parents,
                    drafts,
                )
                values.setdefault(f"{JOINT}, {drafts}", []).append(best.accepted)
        found[shape] = {name: compared(name, values) for name in values}
    return found


def compared(name: str, values: dict[str, list[float]]) -> dict[str, float]:
    """Mean, distance to the joint optimum of the same drafts, and the comparison with traversal on the same drafts."""
    drafts = name.split(", ")[1]
    own = np.array(values[name])
    missing = np.array(values[f"{JOINT}, {drafts}"]) - own
    row = {"mean": own.mean(), "missing": missing.mean(), "most missing": missing.max()}
    if f"traversal, {drafts}" in values:
        gain = own - np.array(values[f"traversal, {drafts}"])
        row |= {"gain": gain.mean(), "wins": float((gain > 1e-9).sum()), "losses": float((gain < -1e-9).sum())}
        row |= {"worst": gain.min(), "best": gain.max()}
    return {key: round(float(value), 5) for key, value in row.items()}


# the pair


def drafted_tree(
    models: Any, text: list[int], method: Method, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens (N,), target laws (N + 1, V) and draft laws (N, V) of one tree drafted after ``text``."""
    from specmath import law_from_logits

    def after(state: Any, path: tuple[int, ...]) -> np.ndarray:
        state.rewind(len(text) - 1)
        logits = np.asarray(state.extend([text[-1], *path])[-1], dtype=np.float64)
        return np.asarray(law_from_logits(logits))

    parents, sampler = method.parents, draft_laws.get(method.drafts)
    draft = np.zeros((len(parents), 256))
    tokens = np.zeros(len(parents), dtype=np.int64)
    paths: dict[int, tuple[int, ...]] = {-1: ()}
    for node in range(-1, len(parents)):
        children = [i for i, parent in enumerate(parents) if parent == node]
        if not children:
            continue
        draft[children] = after(models["draft"], paths[node])
        uniforms = generator.random(max(1, sampler.uniforms(len(children))))
        tokens[children] = sampler.sample(draft[children[0]], len(children), uniforms)
        paths.update({child: (*paths[node], int(tokens[child])) for child in children})
    target = np.stack([after(models["target"], paths[node]) for node in range(-1, len(parents))])
    return tokens, target, draft


def on_pair(contexts: int, trees: int, repeats: int, seed: int, only: str | None = None) -> dict[str, Any]:
    """Mean accepted tokens on texts of the shipped pair; standard errors over contexts."""
    import torch

    from reference import pair
    from reference.pair import prompts

    torch.set_num_threads(1)
    models = pair.load()
    generator = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    by_drafts: dict[tuple[str, tuple[int, ...]], list[Method]] = {}
    shapes = {name: m for name, m in methods(DEEP_CHAIN, DEEP_PATHS, BINARY).items() if only in (None, name)}
    for listed in shapes.values():
        for method in listed:
            by_drafts.setdefault((method.drafts, method.parents), []).append(method)
    sums: dict[tuple[Method, int], list[float]] = {}
    for number, prompt in enumerate(prompts.spread(contexts)):
        text = pair.encode(prompt.prompt)
        states = {"target": models.target.start(), "draft": models.draft.start()}
        for state in states.values():
            state.extend(text)
        for listed in by_drafts.values():
            drawn = [drafted_tree(states, text, listed[0], generator) for _ in range(trees)]
            tokens, target, draft = (np.repeat(np.stack(part), repeats, axis=0) for part in zip(*drawn, strict=True))
            for method in listed:
                rule = method.played()
                uniforms = generator.random((len(tokens), rule.uniforms(tokens.shape[1])))
                parents = (np.array(method.parents),) if rule.layout == "tree" else ()
                emitted = np.asarray(rule.verify(target, draft, tokens, uniforms, *parents, check=False).tokens)
                sums.setdefault((method, number), []).append(float((emitted >= 0).sum(axis=-1).mean() - 1))
    for shape, listed in shapes.items():
        values = {m.name: np.array([np.mean(sums[m, number]) for number in range(contexts)]) for m in listed}
        found[shape] = {name: _pair_row(name, values) for name in values}
    return found


def _pair_row(name: str, values: dict[str, np.ndarray]) -> dict[str, float]:
    def both(label: str, numbers: np.ndarray) -> dict[str, float]:
        error = numbers.std(ddof=1) / np.sqrt(len(numbers))
        return {label: round(float(numbers.mean()), 4), f"{label} error": round(float(error), 4)}

    row = both("mean", values[name])
    base = f"traversal, {name.split(', ')[1]}"
    return row | both("gain", values[name] - values[base]) if base in values and base != name else row


def show(title: str, found: dict[str, Any]) -> None:
    print(f"\n{title}")
    for shape, listed in found.items():
        print(f"  {shape}")
        for name, row in listed.items():
            print(f"    {name:44s}" + "  ".join(f"{key} {value:g}" for key, value in row.items()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/trees.py", description=__doc__)
    parser.add_argument("--instances", type=int, default=20, help="small instances with two tokens (default 20)")
    parser.add_argument("--triples", type=int, default=2, help="small instances with three tokens (default 2)")
    parser.add_argument("--contexts", type=int, default=24, help="prompts of the pair, one context each (default 24)")
    parser.add_argument("--trees", type=int, default=4, help="trees drafted in each context (default 4)")
    parser.add_argument("--repeats", type=int, default=16, help="verifications of each tree (default 16)")
    parser.add_argument("--only", choices=["one path", "two paths", "binary tree"], help="one shape on the pair")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--write", metavar="FILE", help="write the results as JSON; those of other parts in FILE are kept"
    )
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for size, count in ((2, options.instances), (3, options.triples)):
        if count:
            found = small(size, count, options.seed)
            results[f"{size} tokens"] = {"depth": 2, "instances": count, "seed": options.seed, "rows": found}
            show(f"{size} tokens, depth 2, {count} instances: accepted tokens per round, exactly", found)
    if options.contexts:
        found = on_pair(options.contexts, options.trees, options.repeats, options.seed, options.only)
        sizes = {key: getattr(options, key) for key in ("contexts", "trees", "repeats", "seed")}
        results[f"pair, {options.only} only" if options.only else "pair"] = sizes | {"rows": found}
        show(f"shipped pair, {options.contexts} contexts with {options.trees} trees; errors are standard errors", found)
    if options.write:
        file = Path(options.write)
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        settings = {name: value for name, value in vars(options).items() if name != "write" and value is not None}
        command = " ".join(["python benchmarks/trees.py", *(f"--{name} {value}" for name, value in settings.items())])
        kept |= {"made by": command, "python": platform.python_version(), "numpy": np.__version__}
        file.write_text(json.dumps(kept | results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
