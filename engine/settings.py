"""What is fixed when a collection is created: dimension, metric, dtype, codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.engine.errors import ArgumentError, one_of
from ramet.engine.text.analysis import LANGUAGES
from ramet.index.kernels import plan
from ramet.index.metrics import METRICS, Metric

MAX_DIM = 16_384
"""Integer sums of byte products stay within 32 bits up to here."""

DTYPES = ("float32", "float16", "int8", "uint8")
CODES = ("auto", "none", "sq8")
DURABILITIES = ("commit", "batch")
_KINDS = {"float32": plan.FLOAT32, "float16": plan.FLOAT16, "int8": plan.INT8, "uint8": plan.UINT8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Fixed properties of a collection."""

    dim: int
    metric_name: str
    dtype_name: str
    codes: str
    """``none``: posting lists hold the vectors; ``sq8``: 8-bit codes, full-precision rows apart."""
    language: str = "en"
    """How documents are taken apart into words (`ramet.engine.text.analysis`)."""
    durability: str = "commit"
    """``commit``: a commit is on disk when it returns; ``batch``: at the next sync point (``docs/durability.md``)."""

    @classmethod
    def checked(
        cls,
        dim: object,
        metric: object,
        dtype: object,
        codes: object,
        durability: object = "commit",
        language: object = "en",
    ) -> Settings:
        """Settings from a caller's arguments.

        Raises
        ------
        ArgumentError
            Naming the argument that is wrong.
        """
        if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)) or not 1 <= dim <= MAX_DIM:
            raise ArgumentError("dim", f"must be an integer from 1 to {MAX_DIM}, got {dim!r}")
        try:
            name = dtype if isinstance(dtype, str) else np.dtype(dtype).name  # type: ignore[call-overload]
        except TypeError as error:
            raise ArgumentError("dtype", f"{dtype!r} is not a dtype; use one of {', '.join(DTYPES)}") from error
        name = one_of(name, "dtype", DTYPES)
        wanted = one_of(codes, "codes", CODES)
        floating = name.startswith("float")
        if wanted == "sq8" and not floating:
            raise ArgumentError("codes", f"'sq8' is for float vectors; {name} vectors are 8-bit already, use 'none'")
        if wanted == "auto":
            wanted = "sq8" if floating else "none"
        return cls(
            dim=int(dim),
            metric_name=one_of(metric, "metric", tuple(METRICS)),
            dtype_name=name,
            codes=wanted,
            language=one_of(language, "language", LANGUAGES),
            durability=one_of(durability, "durability", DURABILITIES),
        )

    @property
    def metric(self) -> Metric:
        """Row of the metric table."""
        return METRICS[self.metric_name]

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy dtype of the vectors."""
        return np.dtype(self.dtype_name)

    @property
    def vector_bytes(self) -> int:
        """Bytes of one full-precision vector."""
        return self.dim * self.dtype.itemsize

    @property
    def kind(self) -> int:
        """What a posting list holds, as kernels number it."""
        return plan.SQ8 if self.codes == "sq8" else _KINDS[self.dtype_name]

    @property
    def n_factors(self) -> int:
        """Factor columns of a posting list."""
        if self.codes == "sq8":
            return 3
        if self.dtype_name.endswith("int8"):
            return 2
        return 1 if self.metric_name == "cosine" else 0

    def to_storage(self) -> dict[str, Any]:
        """The settings as storage keeps them, with the sizes that it needs."""
        return {
            "dim": self.dim,
            "metric": self.metric_name,
            "dtype": self.dtype_name,
            "codes": self.codes,
            "language": self.language,
            "durability": self.durability,
            "n_factors": self.n_factors,
            "code_bytes": self.dim if self.codes == "sq8" else self.vector_bytes,
            "cell_bytes": 4 * self.dim,
            "vector_bytes": self.vector_bytes if self.codes == "sq8" else 0,
        }

    @classmethod
    def from_storage(cls, stored: dict[str, Any]) -> Settings:
        """Settings of an existing collection."""
        return cls(
            dim=stored["dim"],
            metric_name=stored["metric"],
            dtype_name=stored["dtype"],
            codes=stored["codes"],
            language=stored["language"],
            durability=stored["durability"],
        )
