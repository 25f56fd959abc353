"""Medusa's nucleus sampling with top_p 1, against the target's own law. Needs torch, and a clone of Medusa.

``python medusa_nucleus.py PATH/TO/MEDUSA [SAMPLES]``. One drafted token, drawn from a draft law of 1/4 and 3/4; the
target's law is 1/2 and 1/2. After a rejection the next token is drawn as Medusa does it, by `get_nucleus_one_token`.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch


def module(clone: str) -> Any:
    """medusa/model/utils.py alone, without the package around it."""
    spec = importlib.util.spec_from_file_location("medusa_utils", Path(clone) / "medusa" / "model" / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def main() -> None:
    medusa, samples = module(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    target, draft = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    logits = target.log().expand(1, 2, 2).clone()
    torch.manual_seed(0)

    def token() -> int:
        drafted = int(torch.multinomial(draft, 1))
        candidates = torch.tensor([[0, drafted]])
        _, accepted = medusa.evaluate_posterior(logits, candidates, 1.0, top_p=1.0, sampling="nucleus")
        if int(accepted) == 1:
            return drafted
        return int(medusa.get_nucleus_one_token(target.log()[None].clone(), 1.0, 1.0))

    seen = Counter(token() for _ in range(samples))
    statistic = sum((seen[i] - samples / 2) ** 2 / (samples / 2) for i in range(2))
    print(f"tokens 0 and 1: {seen[0]} and {seen[1]} of {samples}, expected one half each")
    print(f"chi-square {statistic:.1f} on 1 degree of freedom, p {math.erfc(math.sqrt(statistic / 2)):.1e}")


if __name__ == "__main__":
    main()
