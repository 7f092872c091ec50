"""A query prepared for the kernels: padded floats, bytes for the byte products, and the sums that undo offsets."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.plan import COSINE, INT8

SCALE, SUM, SUM8, NORM2 = 0, 1, 2, 3
N_SCALARS = 4


@njit(cache=True, nogil=True)
def prepare(query, metric, floats, signed, scalars):
    """Fill the buffers of one query.

    Parameters
    ----------
    query : float32 array (dim,)
    metric : int
        Under ``COSINE`` the query is scaled to unit length first.
    floats : float32 array (dim,), written
    signed : int8 array (>= dim, multiple of 64), written
        The query at 8 bits, symmetric; zero behind ``dim``.
    scalars : float32 array (4,), written
        ``SCALE``: query ~ SCALE * signed; ``SUM``: sum of floats; ``SUM8``: sum of signed; ``NORM2``: squared norm.
    """
    dim = query.size
    norm = 0.0
    for j in range(dim):
        norm += np.float64(query[j]) * np.float64(query[j])
    factor = np.float32(1.0)
    if metric == COSINE and norm > 0.0:
        factor = np.float32(1.0 / np.sqrt(norm))
        norm = 1.0
    largest = np.float32(0.0)
    total = 0.0
    for j in range(dim):
        value = query[j] * factor
        floats[j] = value
        largest = max(largest, abs(value))
        total += value
    scale = largest / np.float32(127.0)
    inverse = np.float32(0.0) if scale == 0 else np.float32(1.0) / scale
    total8 = 0
    for j in range(dim):
        code = np.int32(np.floor(floats[j] * inverse + np.float32(0.5)))
        signed[j] = code
        total8 += code
    for j in range(dim, signed.size):
        signed[j] = 0
    scalars[SCALE] = scale
    scalars[SUM] = total
    scalars[SUM8] = total8
    scalars[NORM2] = norm


@njit(cache=True, nogil=True)
def prepare_bytes(query, kind, operand):
    """The query as exact bytes for int8 and uint8 lists.

    ``vpdpbusd`` multiplies unsigned by signed bytes. Against int8 rows the query is shifted up by 128 and becomes the
    unsigned operand; against uint8 rows it is shifted down by 128 and becomes the signed one. The row's sum, kept as a
    factor, undoes the shift.

    Parameters
    ----------
    query : float32 array (dim,)
        Integers in the range of the dtype.
    kind : int
        ``INT8`` or ``UINT8``.
    operand : uint8 array (>= dim, multiple of 64), written
        Zero behind ``dim``.

    Returns
    -------
    int
        Squared norm of the query, exact.
    """
    norm = 0
    for j in range(query.size):
        value = np.int64(query[j])
        norm += value * value
        operand[j] = np.uint8((value + 128 if kind == INT8 else value - 128) & 255)
    for j in range(query.size, operand.size):
        operand[j] = 0
    return norm
