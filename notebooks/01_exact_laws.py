# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Speculative decoding, computed
#
# A draft model proposes tokens, a verification rule decides what to keep. The promise is that the output has exactly
# the target's law. Here the promise is computed, not believed.

# %%
from fractions import Fraction

import numpy as np
from matplotlib import pyplot as plt

import specmath
from specmath import exact, rules

# %% [markdown]
# ## A rule is a program of chance
#
# The same few lines sample, or are enumerated into their exact law. Draw one draft, then verify it:

# %%
target = [Fraction(1, 2), Fraction(3, 10), Fraction(1, 5)]
draft = [Fraction(1, 5), Fraction(3, 10), Fraction(1, 2)]
single = rules.get("single")


def one_round(chance: exact.Chance) -> int:
    token = chance.draw(draft)
    return single.program(chance, target, draft, [token])


law = exact.law(one_round)
assert law == dict(enumerate(target))
law

# %% [markdown]
# ## A rule that is wrong, and how it shows
#
# Redraw from the target after a rejection, instead of from what the drafts left over. It looks harmless.


# %%
def redraws(chance: exact.Chance) -> int:
    token = chance.draw(draft)
    ratio = target[token] / draft[token]
    return token if chance.flip(min(1, ratio)) else chance.draw(target)


bias = exact.law(redraws).total_variation(law)
assert bias == Fraction(15, 100)
bias

# %% [markdown]
# ## How often is a draft kept, and how often could it be?
#
# With n independent drafts the best possible acceptance is an optimal-transport value, found by one sort.

# %%
p, q = np.array(target, dtype=float), np.array(draft, dtype=float)
counts = range(1, 9)
optimal = [float(specmath.optimum(p, q, n).acceptance) for n in counts]
recursive = [float(specmath.acceptance("recursive", p, q, n).values) for n in counts]
k_seq = [float(specmath.acceptance("k_seq", p, q, n).values) for n in counts]
assert all(best >= max(pair) - 1e-12 for best, *pair in zip(optimal, recursive, k_seq, strict=True))

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for values, label, marker in ((optimal, "optimum", "o"), (k_seq, "k_seq", "s"), (recursive, "recursive", "^")):
    axes.plot(counts, values, marker=marker, label=label)
axes.set(xlabel="drafts n", ylabel="acceptance (probability)", xticks=list(counts))
axes.legend(frameon=False)
figure

# %% [markdown]
# ## The cut that proves it
#
# No rule can do better, because of one set of tokens: those the drafts offer too often. The acceptance cannot exceed
# 1 + target(H) - P(all drafts in H).

# %%
best = specmath.optimum(p, q, n=2)
bound = 1 + p[best.cut].sum() - q[best.cut].sum() ** 2
assert np.isclose(bound, best.acceptance)
best.cut, bound
