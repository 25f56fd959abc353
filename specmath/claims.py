"""What this library claims, one record per claim; every claim has an exact proof, a statistical test and a control.

>>> from specmath import claims
>>> claims.get("lossless/single/iid").source
'leviathan2023fast, Algorithm 1; chen2023accelerating, Algorithm 2'
"""

from __future__ import annotations

from dataclasses import dataclass

from specmath import draft_laws, rules

KINDS = ("exact", "statistical", "control")
"""What every claim must have: a proof by enumeration, a test with stated error, a planted defect that is caught."""


@dataclass(frozen=True)
class Claim:
    """One statement and where it comes from; tests refer to it by ``id``."""

    id: str
    statement: str
    source: str


def _of_rules() -> list[Claim]:
    found = []
    for name in rules.names():
        rule = rules.get(name)
        if rule.lossless:
            found += [
                Claim(
                    f"lossless/{name}/{drafts}",
                    f"Tokens emitted by rule {name!r} on {drafts!r} drafts, completed by the target, follow the "
                    "target's law.",
                    rule.source,
                )
                for drafts in rule.drafts
            ]
        found.append(
            Claim(
                f"verify/{name}",
                f"With independent uniforms, verify of rule {name!r} has the law of its program, for all laws and "
                + ("drafted tokens." if rule.same_plan else "drafted tokens, once both select by the same plan."),
                rule.source,
            )
        )
        if rule.formula is not None:
            found.append(
                Claim(
                    f"acceptance/{name}",
                    f"The formula of rule {name!r} is P(emitted token is one of the drafted ones).",
                    rule.source,
                )
            )
    return found


def _of_draft_laws() -> list[Claim]:
    found = []
    for name in draft_laws.names():
        source = draft_laws.get(name).source
        found.append(Claim(f"sample/{name}", f"sample of draft law {name!r} has the law of its program.", source))
        found.append(
            Claim(
                f"inside/{name}", f"inside of draft law {name!r} is P(all drafts lie in the set), for all sets.", source
            )
        )
    return found


_IDENTITIES = [
    Claim(
        "identity/optimum",
        "The largest acceptance of n drafts (a linear program) is 1 + min over sets H of "
        "target(H) - P(all drafts in H); for iid and without-replacement drafts the minimum is at a prefix of the "
        "order of rising target / draft.",
        "hu2025optimal; proof in docs/theory/optimal_acceptance.md",
    ),
    Claim(
        "identity/never-above-optimum",
        "No rule accepts more often than the optimum of its draft law.",
        "sun2023spectr",
    ),
    Claim(
        "identity/without-replacement-above-iid",
        "The optimum without replacement is at least the optimum of iid drafts.",
        "proof in docs/theory/optimal_acceptance.md",
    ),
    Claim(
        "identity/greedy-optimal",
        "The greedy rule reaches the optimum of greedy drafts; sampler match reaches that of top_k drafts.",
        "hu2025optimal, Section 5",
    ),
    Claim(
        "identity/spechub-is-greedy",
        "SpecHub's acceptance is that of the greedy rule with n = 2, the optimum of its pairs.",
        "sun2024spechub",
    ),
    Claim(
        "identity/k-seq-guarantee",
        "K-SEQ accepts with probability at least (1 - (1 - 1/n)^n) times the optimum of iid drafts.",
        "sun2023spectr",
    ),
    Claim(
        "identity/uniform-draft-example",
        "Uniform draft on three tokens, target (1/3, t, 2/3 - t), n = 2: optimum, K-SEQ and recursive rejection have "
        "closed forms.",
        "khisti2025multidraft, Figure 2",
    ),
    Claim(
        "identity/block-at-least-token-wise",
        "Block verification accepts at least as many tokens on average as token-wise verification.",
        "proof in docs/theory/sequences.md",
    ),
    Claim(
        "identity/block-one-hot",
        "With one-hot drafts block verification accepts as many tokens on average as token-wise verification.",
        "proof in docs/theory/sequences.md",
    ),
    Claim(
        "identity/traversal-chain-is-block",
        "On a chain traversal verification emits with the law of block verification.",
        "weng2025traversal",
    ),
    Claim(
        "identity/traversal-level-is-recursive",
        "On one level of siblings traversal verification emits and accepts with the law of recursive rejection without "
        "replacement.",
        "weng2025traversal",
    ),
    Claim(
        "priority/marginal",
        "The law of the draft that graded priority selects is the marginal that it states, without replacement and for "
        "different drafters.",
        "proof in docs/theory/graded_priority.md",
    ),
    Claim(
        "priority/optimal",
        "For every draft law there are heights with which graded priority accepts at the optimum; the solver finds "
        "them.",
        "proof in docs/theory/graded_priority.md",
    ),
    Claim(
        "relax/total-variation-front",
        "Over all targets within total variation e, the largest optimal acceptance of any law of n drafts is the "
        "smaller of 1 and the optimum plus e; the way there is towards the law of the draft that an optimal plan "
        "selects.",
        "yin2024theoretical, Theorem 5 (one draft); proof in docs/theory/relaxed.md",
    ),
    Claim(
        "relax/mentored-optimal",
        "The relaxed target of mentored decoding has KL(target || relaxed) within the budget, and no such law is "
        "accepted more often by the single-draft rule.",
        "tranthien2023optimal; proof in docs/theory/relaxed.md",
    ),
    Claim(
        "transport/gradient",
        "Where the smallest cut is unique, the derivative of the optimal acceptance is 1 on the cut in the target, and "
        "that of -P(all drafts in the cut) in the draft.",
        "milgrom2002envelope; hu2025optimal (the cut)",
    ),
    Claim(
        "identity/traversal-example",
        "target (.3, .4, .3), draft (.6, .3, .1): the path (0, 1) is kept with probability 2/3, token by token 1/2.",
        "weng2025traversal",
    ),
    Claim(
        "identity/conditional-transport-chain-is-block",
        "On a chain conditional transport emits with the law of block verification.",
        "proof in docs/theory/trees.md",
    ),
    Claim(
        "identity/conditional-transport-above-node-wise",
        "On i.i.d. trees of depth two conditional transport accepts at least as many tokens on average as optimal "
        "selection node by node; on one level both reach the optimum.",
        "proof in docs/theory/trees.md",
    ),
    Claim(
        "identity/joint-optimum",
        "No rule for trees accepts more tokens on average than the joint optimum, a linear program over whole rounds; "
        "on a chain block verification reaches it.",
        "proof in docs/theory/trees.md; sun2025block, Theorem 2",
    ),
    Claim(
        "coupling/optimal",
        "The swap coupling's marginal r can be reached by selecting one of n iid drafts, and sum min(target, r) is the "
        "optimum.",
        "proof in docs/theory/optimal_coupling.md",
    ),
    Claim(
        "coupling/marginal",
        "Given uniform scores of the other drafts, the swap coupling selects a token with the marginal that it states.",
        "proof in docs/theory/optimal_coupling.md",
    ),
    Claim(
        "equivalence/coupled",
        "With an order-independent arithmetic a coupled text, its log-probabilities, and the keys, values and logits "
        "behind it have the bits of plain decoding, whatever the drafter, tree, batch or interruption; and its tokens "
        "follow the target's law.",
        "daliri2024coupling; proof in docs/theory/equivalence.md",
    ),
    Claim(
        "equivalence/rejection",
        "Under rejection the text that the decoder emits follows the target's law.",
        "leviathan2023fast, Appendix A.1; proof in docs/theory/contract.md",
    ),
    Claim(
        "oracle/exact-law",
        "The law that the oracle finds for a function is the law of its real calls; on the corpus it calls every right "
        "function lossless, and every defect fails the check named for it.",
        "docs/theory/oracle.md; docs/theory/teeth.md",
    ),
    Claim(
        "trees/heaviest",
        "No draft tree of n nodes has a larger sum of path weights than the n heaviest paths, which are a tree.",
        "proof in docs/theory/draft_trees.md; wang2025opt",
    ),
    Claim(
        "trees/by-rank",
        "Where a child's acceptance depends on its rank alone, the dynamic program gives the largest expected number "
        "of tokens of all trees of every size and depth.",
        "chen2024sequoia; proof in docs/theory/draft_trees.md",
    ),
    Claim(
        "speed/draft-length",
        "For drafts accepted independently the speed-up has one peak over the draft length, drafting pays if and only "
        "if the acceptance exceeds the cost ratio, and the peak is beside the root given by Lambert's W.",
        "leviathan2023fast, Theorem 3.8; proof in docs/theory/speed.md",
    ),
    Claim(
        "speed/allocation",
        "The allocation by falling survival, one sort for each longest length, has the largest goodput of all draft "
        "lengths of a batch, whatever a pass over so many tokens costs.",
        "proof in docs/theory/speed.md",
    ),
    Claim(
        "stopping/optimal",
        "No policy that sees survival and latent state, with or without a lag, emits more tokens per cost than the "
        "solver's.",
        "huang2024specdecpp, Section 3 (the decision process); proof in docs/theory/stopping.md",
    ),
    Claim(
        "stopping/threshold-form",
        "For every number of drafted tokens and latent state there is a boundary such that drafting on is best if and "
        "only if the survival is above it.",
        "proof in docs/theory/stopping.md",
    ),
    Claim(
        "stopping/renewal-threshold",
        "With independent acceptances that are seen at once, stopping is best if and only if P(rejected) is at least "
        "1 - c X / a.",
        "proof in docs/theory/stopping.md",
    ),
    Claim(
        "stopping/sufficient-condition",
        "Stopping is best wherever P(rejected) is at least (c2 + delta) / (c1 + c2 + delta), with delta = ahead / rate "
        "- target cost.",
        "huang2024specdecpp, Theorem 3.1; proof in docs/theory/stopping.md",
    ),
    Claim(
        "coupling/uniform-scores",
        "The scores of the swap coupling are uniform: partners have equal needs before them.",
        "proof in docs/theory/optimal_coupling.md",
    ),
]

_CLAIMS = {claim.id: claim for claim in [*_of_rules(), *_of_draft_laws(), *_IDENTITIES]}


def names() -> tuple[str, ...]:
    """Ids of all registered claims."""
    return tuple(_CLAIMS)


def get(id: str) -> Claim:
    """The claim of that id; ValueError lists the ids there are."""
    if id not in _CLAIMS:
        raise ValueError(f"claim is {id!r}; allowed are {', '.join(map(repr, _CLAIMS))}")
    return _CLAIMS[id]


__all__ = ["KINDS", "Claim", "get", "names"]
