"""Rows of a batch that share their laws: what is solved on the host is solved once for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, Any]


def alike(*laws: FloatArray) -> list[FloatArray]:
    """Places of the rows that agree in all arrays (rows, ...), one array of places for every distinct row.

    >>> [rows.tolist() for rows in alike(np.array([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]]), np.ones((3, 1)))]
    [[0, 2], [1]]
    """
    table = np.concatenate(laws, axis=-1)
    if not len(table):
        return []
    _, place = np.unique(table, axis=0, return_inverse=True)
    place = place.reshape(-1)
    return np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
