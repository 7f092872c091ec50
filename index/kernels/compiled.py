"""`njit` for the kernels: compiled code that cannot be kept on disk is compiled again by the next process.

Numba raises what the operating system says when it cannot write to its cache, from the call that happened to compile.
But a full disk, or a home directory that may not be written, is no reason for a query to fail.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` with a cache that may fail to save; it warns once for each kernel and signature."""

    def decorate(kernel: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(kernel)
        cache = dispatcher._cache  # Numba has no public way to this
        save = cache.save_overload

        def save_if_possible(signature: Any, compiled: Any) -> None:
            try:
                save(signature, compiled)
            except OSError as error:
                warnings.warn(
                    f"the compiled {kernel.__name__} cannot be kept for the next process: {error}; make room, or set "
                    "NUMBA_CACHE_DIR to a directory that can be written",
                    RuntimeWarning,
                    stacklevel=2,
                )

        cache.save_overload = save_if_possible
        return dispatcher

    return decorate
