"""Groups of near-duplicates among many prompts, in time that grows little faster than their number.

The relations are those of `likeness`; groups are their connected components.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from instar.acquisition.tasks.likeness import Phrases, Tokens, common, runs

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SHARES = (0.0, 0.25, 0.5)  # of the rare runs of the poorer prompt, asked for in turn; ours
ROWS = 2000  # prompts compared with all others at a time, which bounds the memory; ours


def groups(prompts: Sequence[Tokens]) -> list[int]:
    """Return the number of each prompt's group; near-duplicates, chains included, share one.

    Equal prompts always do. Different ones do if one holds the other or if they share a rare run.
    But a chain through more than a tenth of all prompts shows that its runs are the building blocks
    of a generator: its members are grouped anew by a larger share of their rare runs, and stand
    alone if the chain is still as long.
    """
    numbers = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    found = _grouped(list(numbers))
    return [found[numbers[prompt]] for prompt in prompts]


def _grouped(prompts: Sequence[Tokens]) -> list[int]:
    """Return for each of the different `prompts` the first member of its group."""
    count = len(prompts)
    limit, longest = common(count), max(count // 10, min(20, (count + 1) // 2))
    contained = _contained(prompts, limit)
    pairs, shares = _sharing(prompts, limit)
    names, left = np.arange(count), np.ones(count, dtype=bool)
    for share in SHARES:
        links = np.concatenate([contained, pairs[shares >= share]])
        found = _components(links[left[links].all(axis=1)], count)
        settled = left & (np.bincount(found, minlength=count)[found] <= longest)
        names[settled] = found[settled]
        left &= ~settled
    return [int(name) for name in names]


def _contained(prompts: Sequence[Tokens], limit: int) -> Ints:
    """Return pairs of a prompt and one that contains it, if at most `limit` prompts do."""
    phrases = Phrases(prompts)
    holders: dict[int, set[int]] = {}
    for number, prompt in enumerate(prompts):
        for inner in phrases.inside(prompt):
            holders.setdefault(inner, set()).add(number)
    pairs = [(i, o) for i, found in holders.items() if len(found) <= limit for o in found]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _sharing(prompts: Sequence[Tokens], limit: int) -> tuple[Ints, Floats]:
    """Return pairs of prompts with rare runs in common, and the share of runs they have so."""
    found = [runs(p) for p in prompts]
    hashes = np.array([h for one in found for h in one], dtype=np.int64)
    owners = np.repeat(np.arange(len(found)), [len(one) for one in found])
    _, which, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    rare = counts[which] <= limit
    owners, which = owners[rare], which[rare]
    held = np.bincount(owners, minlength=len(found))
    table = csr_array((np.ones(len(owners)), (owners, which)), shape=(len(found), len(counts)))
    pairs, shares = [np.empty((0, 2), dtype=np.int64)], [np.empty(0)]
    for start in range(0, len(found), ROWS):
        both = coo_array(table[start : start + ROWS] @ table.T)
        ends = np.stack([both.row.astype(np.int64) + start, both.col.astype(np.int64)], axis=1)
        once = ends[:, 0] < ends[:, 1]
        pairs.append(ends[once])
        shares.append(both.data[once] / held[ends[once]].min(axis=1))
    return np.concatenate(pairs), np.concatenate(shares)


def _components(links: Ints, count: int) -> Ints:
    """Return for each of `count` nodes the first node of its connected component."""
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
    number, labels = connected_components(graph, directed=False)
    first = np.full(number, count, dtype=np.int64)
    np.minimum.at(first, labels, np.arange(count))
    named: Ints = first[labels]
    return named
