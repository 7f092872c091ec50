"""Ramet: vector search from inverted lists on disk.

The names below are resolved on first use (PEP 562), so `import ramet` loads no third-party package and costs
little. The rooms import each other's modules directly, never through this face.
"""

from typing import TYPE_CHECKING, Any

from ramet._error import RametError

if TYPE_CHECKING:
    from ramet.engine.chunking import Chunk as Chunk
    from ramet.engine.chunking import chunk as chunk
    from ramet.engine.collection import Collection as Collection
    from ramet.engine.database import Database as Database
    from ramet.engine.database import connect as connect
    from ramet.engine.embedding import Embedder as Embedder
    from ramet.engine.embedding import TextEmbedder as TextEmbedder
    from ramet.engine.embedding_static import StaticEmbedder as StaticEmbedder
    from ramet.engine.errors import AnalysisMismatchError as AnalysisMismatchError
    from ramet.engine.errors import ArgumentError as ArgumentError
    from ramet.engine.errors import CollectionExistsError as CollectionExistsError
    from ramet.engine.errors import ConflictError as ConflictError
    from ramet.engine.errors import MissingEmbedderError as MissingEmbedderError
    from ramet.engine.errors import MissingPackageError as MissingPackageError
    from ramet.engine.errors import ModelMismatchError as ModelMismatchError
    from ramet.engine.errors import NotEmptyError as NotEmptyError
    from ramet.engine.errors import NotOwnerError as NotOwnerError
    from ramet.engine.errors import UnknownCollectionError as UnknownCollectionError
    from ramet.engine.errors import UnknownIdError as UnknownIdError
    from ramet.engine.errors import UnknownTenantError as UnknownTenantError
    from ramet.engine.explain import Explanation as Explanation
    from ramet.engine.hits import AddReport as AddReport
    from ramet.engine.hits import BuildReport as BuildReport
    from ramet.engine.hits import CompactReport as CompactReport
    from ramet.engine.hits import CurvePoint as CurvePoint
    from ramet.engine.hits import Hit as Hit
    from ramet.engine.hits import Hits as Hits
    from ramet.engine.hits import Record as Record
    from ramet.engine.hits import Records as Records
    from ramet.engine.hits import UpsertReport as UpsertReport
    from ramet.engine.warm import warmup as warmup
    from ramet.storage.errors import AccessError as AccessError
    from ramet.storage.errors import ClosedError as ClosedError
    from ramet.storage.errors import CorruptionError as CorruptionError
    from ramet.storage.errors import ExistsError as ExistsError
    from ramet.storage.errors import ForkError as ForkError
    from ramet.storage.errors import FormatError as FormatError
    from ramet.storage.errors import MissingError as MissingError
    from ramet.storage.errors import ReadOnlyError as ReadOnlyError
    from ramet.storage.errors import StorageError as StorageError
    from ramet.storage.errors import StorageFullError as StorageFullError
    from ramet.storage.errors import WriterBusyError as WriterBusyError
    from ramet.storage.findings import Problem as Problem
    from ramet.storage.findings import VerifyReport as VerifyReport

__version__ = "0.1.0"

# Public name -> module that defines it. The imports above say the same to type checkers; tests/test_face.py compares.
_HOME = {
    "AccessError": "ramet.storage.errors",
    "AddReport": "ramet.engine.hits",
    "AnalysisMismatchError": "ramet.engine.errors",
    "ArgumentError": "ramet.engine.errors",
    "BuildReport": "ramet.engine.hits",
    "Chunk": "ramet.engine.chunking",
    "ClosedError": "ramet.storage.errors",
    "Collection": "ramet.engine.collection",
    "CollectionExistsError": "ramet.engine.errors",
    "CompactReport": "ramet.engine.hits",
    "ConflictError": "ramet.engine.errors",
    "CorruptionError": "ramet.storage.errors",
    "CurvePoint": "ramet.engine.hits",
    "Database": "ramet.engine.database",
    "Embedder": "ramet.engine.embedding",
    "ExistsError": "ramet.storage.errors",
    "Explanation": "ramet.engine.explain",
    "ForkError": "ramet.storage.errors",
    "FormatError": "ramet.storage.errors",
    "Hit": "ramet.engine.hits",
    "Hits": "ramet.engine.hits",
    "MissingEmbedderError": "ramet.engine.errors",
    "MissingError": "ramet.storage.errors",
    "MissingPackageError": "ramet.engine.errors",
    "ModelMismatchError": "ramet.engine.errors",
    "NotEmptyError": "ramet.engine.errors",
    "NotOwnerError": "ramet.engine.errors",
    "Problem": "ramet.storage.findings",
    "ReadOnlyError": "ramet.storage.errors",
    "Record": "ramet.engine.hits",
    "Records": "ramet.engine.hits",
    "StaticEmbedder": "ramet.engine.embedding_static",
    "StorageError": "ramet.storage.errors",
    "StorageFullError": "ramet.storage.errors",
    "TextEmbedder": "ramet.engine.embedding",
    "UnknownCollectionError": "ramet.engine.errors",
    "UnknownIdError": "ramet.engine.errors",
    "UnknownTenantError": "ramet.engine.errors",
    "UpsertReport": "ramet.engine.hits",
    "VerifyReport": "ramet.storage.findings",
    "WriterBusyError": "ramet.storage.errors",
    "chunk": "ramet.engine.chunking",
    "connect": "ramet.engine.database",
    "warmup": "ramet.engine.warm",
}

__all__ = [
    "AccessError",
    "AddReport",
    "AnalysisMismatchError",
    "ArgumentError",
    "BuildReport",
    "Chunk",
    "ClosedError",
    "Collection",
    "CollectionExistsError",
    "CompactReport",
    "ConflictError",
    "CorruptionError",
    "CurvePoint",
    "Database",
    "Embedder",
    "ExistsError",
    "Explanation",
    "ForkError",
    "FormatError",
    "Hit",
    "Hits",
    "MissingEmbedderError",
    "MissingError",
    "MissingPackageError",
    "ModelMismatchError",
    "NotEmptyError",
    "NotOwnerError",
    "Problem",
    "RametError",
    "ReadOnlyError",
    "Record",
    "Records",
    "StaticEmbedder",
    "StorageError",
    "StorageFullError",
    "TextEmbedder",
    "UnknownCollectionError",
    "UnknownIdError",
    "UnknownTenantError",
    "UpsertReport",
    "VerifyReport",
    "WriterBusyError",
    "__version__",
    "chunk",
    "connect",
    "warmup",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'ramet' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value  # so that the next access does not come here
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
