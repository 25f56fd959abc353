"""Whole rounds of an engine, drafts drawn inside, that can only be sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from specmath.oracle.draws import UnsupportedRandomness
from specmath.oracle.instance import Instance, standard
from specmath.oracle.kinds import Raised
from specmath.oracle.sampled.audit import complete, concluded, judged, texts, worst
from specmath.oracle.sampled.rounds import Drawn, Trial, sample
from specmath.oracle.verdict import Verdict

INSTANCES = (("crossed", 1), ("target zeros", 1), ("three tokens", 2))
"""Standard instances that are sampled, and depths of the chain. On the first one, drafts that share the noise of the
residual have a total variation of about 0.05, which the samples below find."""
SAMPLES, TOLERANCE = 10_000, 0.05


@dataclass(frozen=True)
class Rounds:
    """Rounds of chains by an engine's own draft sampler and its own verification.

    What draft and verification share, such as a stream of random numbers, is seen only this way.

    Attributes
    ----------
    run : ``run(instance, seed) -> emitted tokens``, 1 to K+1 of them.
    """

    run: Callable[[Instance, int], tuple[int, ...]]

    def audit(
        self,
        *,
        n: int | None = None,
        instances: Sequence[Instance] | None = None,
        samples: int = SAMPLES,
        tolerance: float = TOLERANCE,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
        budget: int | None = None,
        minimise: bool = True,
    ) -> Verdict:
        """Whether samples show a bias; status, errors and evidence are those of `specmath.oracle.audit_sampled`.

        ``n`` is the depth of all chains (default: as in `INSTANCES`); ``budget`` and ``minimise`` are those of an exact
        audit, which every adapter is given, and mean nothing here.
        """
        todo = list(instances) if instances is not None else [_standard(name, n or depth) for name, depth in INSTANCES]
        trials = [self._trial(one) for one in todo]
        found, told = sample(trials, samples=samples, tolerance=tolerance, seed=seed, progress=progress)
        shown = worst(found)
        instance = None if shown is None else todo[found.index(shown)]
        return concluded(
            found,
            told,
            judged(found, "chain"),
            cause="",
            function=getattr(self.run, "__qualname__", "rounds"),
            kind="chain",
            arrays="torch",
            dtype="float32",
            drafts="iid",
            instance=instance,
            replay=None
            if instance is None
            else lambda: self.audit(instances=(instance,), samples=samples, tolerance=tolerance, seed=seed),
        )

    def _trial(self, instance: Instance) -> Trial:
        rows = {context: [float(x) for x in instance.target[context]] for context in instance.contexts()}
        reference = {(text,): probability for text, probability in texts(rows.__getitem__, instance.length)}

        def draw(seed: int, uniform: Callable[[], float]) -> Drawn:
            try:
                emitted = self.run(instance, seed)
            except UnsupportedRandomness:  # what stands around the engine does not have something
                raise
            except Exception as error:
                return Drawn(Raised("returns", f"{type(error).__name__}: {error}".split("\n")[0]))
            if not 1 <= len(emitted) <= instance.length:
                return Drawn(Raised("count_range", f"returned {len(emitted)} tokens; expected 1 to {instance.length}"))
            if not all(0 <= token < instance.vocabulary for token in emitted):
                return Drawn(None, (emitted,), wrong="support")
            impossible = not all(rows[emitted[:i]][token] for i, token in enumerate(emitted))
            text = complete(emitted, rows.__getitem__, instance.length, uniform)
            return Drawn((text,), (emitted,), impossible=impossible)

        return Trial(instance.name, reference, draw)


def _standard(name: str, depth: int) -> Instance:
    return next(one for one in standard("chain", n=depth) if one.name == name)
