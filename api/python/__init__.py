"""Ramet: vector search from inverted lists on disk.

The names below are resolved on first use (PEP 562), so `import ramet` loads no third-party package and costs
little. The rooms import each other's modules directly, never through this face.
"""

from typing import TYPE_CHECKING, Any

from ramet._error import RametError

if TYPE_CHECKING:
    from ramet.api.client.async_collection import AsyncRemoteCollection as AsyncRemoteCollection
    from ramet.api.client.async_database import AsyncRemoteDatabase as AsyncRemoteDatabase
    from ramet.api.client.async_rag import AsyncRemoteAnswerStream as AsyncRemoteAnswerStream
    from ramet.api.client.async_rag import AsyncRemoteRag as AsyncRemoteRag
    from ramet.api.client.collection import RemoteCollection as RemoteCollection
    from ramet.api.client.connecting import connect as connect
    from ramet.api.client.connecting import connect_async as connect_async
    from ramet.api.client.database import RemoteDatabase as RemoteDatabase
    from ramet.api.client.errors import ServerError as ServerError
    from ramet.api.client.errors import ServerRefusedError as ServerRefusedError
    from ramet.api.client.errors import ServerResponseError as ServerResponseError
    from ramet.api.client.errors import ServerTimeoutError as ServerTimeoutError
    from ramet.api.client.errors import ServerUnavailableError as ServerUnavailableError
    from ramet.api.client.rag import RemoteAnswerStream as RemoteAnswerStream
    from ramet.api.client.rag import RemoteRag as RemoteRag
    from ramet.engine.chunking import Chunk as Chunk
    from ramet.engine.chunking import chunk as chunk
    from ramet.engine.collection import Collection as Collection
    from ramet.engine.database import Database as Database
    from ramet.engine.embedding import Embedder as Embedder
    from ramet.engine.embedding import TextEmbedder as TextEmbedder
    from ramet.engine.embedding_static import StaticEmbedder as StaticEmbedder
    from ramet.engine.embedding_tokens import TokenEmbedder as TokenEmbedder
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
    from ramet.engine.hits import Reads as Reads
    from ramet.engine.hits import Record as Record
    from ramet.engine.hits import Records as Records
    from ramet.engine.hits import UpsertReport as UpsertReport
    from ramet.engine.jobs.building import build_job as build_job
    from ramet.engine.jobs.building import plan_job as plan_job
    from ramet.engine.jobs.errors import JobError as JobError
    from ramet.engine.jobs.errors import JobExistsError as JobExistsError
    from ramet.engine.jobs.errors import JobMismatchError as JobMismatchError
    from ramet.engine.jobs.errors import JobRunningError as JobRunningError
    from ramet.engine.jobs.errors import RejectedRecordError as RejectedRecordError
    from ramet.engine.jobs.estimate import JobPlan as JobPlan
    from ramet.engine.jobs.report import JobReport as JobReport
    from ramet.engine.jobs.stages import JobEvent as JobEvent
    from ramet.engine.rag.agent import Agent as Agent
    from ramet.engine.rag.answer import Answer as Answer
    from ramet.engine.rag.answer import Usage as Usage
    from ramet.engine.rag.calibration import calibrate_llm as calibrate_llm
    from ramet.engine.rag.citations import Citation as Citation
    from ramet.engine.rag.cost import CostModel as CostModel
    from ramet.engine.rag.cost import Measured as Measured
    from ramet.engine.rag.cost import Prices as Prices
    from ramet.engine.rag.errors import LlmError as LlmError
    from ramet.engine.rag.errors import LlmRefusedError as LlmRefusedError
    from ramet.engine.rag.errors import LlmResponseError as LlmResponseError
    from ramet.engine.rag.errors import LlmTimeoutError as LlmTimeoutError
    from ramet.engine.rag.errors import LlmUnavailableError as LlmUnavailableError
    from ramet.engine.rag.learning import train_agent as train_agent
    from ramet.engine.rag.llm.extractive import Extractive as Extractive
    from ramet.engine.rag.llm.gguf import GgufLlm as GgufLlm
    from ramet.engine.rag.llm.named import llm_of as llm_of
    from ramet.engine.rag.llm.openai import OpenAiLlm as OpenAiLlm
    from ramet.engine.rag.llm.protocol import Completion as Completion
    from ramet.engine.rag.llm.protocol import Llm as Llm
    from ramet.engine.rag.pool import Candidate as Candidate
    from ramet.engine.rag.pool import Pool as Pool
    from ramet.engine.rag.prepared import AnswerStream as AnswerStream
    from ramet.engine.rag.prepared import AsyncAnswerStream as AsyncAnswerStream
    from ramet.engine.rag.prepared import PreparedAnswer as PreparedAnswer
    from ramet.engine.rag.prompt import Prompt as Prompt
    from ramet.engine.rag.prompt import Reader as Reader
    from ramet.engine.rag.prompt import Template as Template
    from ramet.engine.rag.rag import Rag as Rag
    from ramet.engine.rag.selection import SelectedChunk as SelectedChunk
    from ramet.engine.rag.selection import Selection as Selection
    from ramet.engine.rag.training import AgentReport as AgentReport
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
    "Agent": "ramet.engine.rag.agent",
    "AgentReport": "ramet.engine.rag.training",
    "AnalysisMismatchError": "ramet.engine.errors",
    "Answer": "ramet.engine.rag.answer",
    "AnswerStream": "ramet.engine.rag.prepared",
    "ArgumentError": "ramet.engine.errors",
    "AsyncAnswerStream": "ramet.engine.rag.prepared",
    "AsyncRemoteAnswerStream": "ramet.api.client.async_rag",
    "AsyncRemoteCollection": "ramet.api.client.async_collection",
    "AsyncRemoteDatabase": "ramet.api.client.async_database",
    "AsyncRemoteRag": "ramet.api.client.async_rag",
    "BuildReport": "ramet.engine.hits",
    "Candidate": "ramet.engine.rag.pool",
    "Chunk": "ramet.engine.chunking",
    "Citation": "ramet.engine.rag.citations",
    "ClosedError": "ramet.storage.errors",
    "Collection": "ramet.engine.collection",
    "CollectionExistsError": "ramet.engine.errors",
    "CompactReport": "ramet.engine.hits",
    "Completion": "ramet.engine.rag.llm.protocol",
    "ConflictError": "ramet.engine.errors",
    "CorruptionError": "ramet.storage.errors",
    "CostModel": "ramet.engine.rag.cost",
    "CurvePoint": "ramet.engine.hits",
    "Database": "ramet.engine.database",
    "Embedder": "ramet.engine.embedding",
    "ExistsError": "ramet.storage.errors",
    "Explanation": "ramet.engine.explain",
    "Extractive": "ramet.engine.rag.llm.extractive",
    "ForkError": "ramet.storage.errors",
    "FormatError": "ramet.storage.errors",
    "GgufLlm": "ramet.engine.rag.llm.gguf",
    "Hit": "ramet.engine.hits",
    "Hits": "ramet.engine.hits",
    "JobError": "ramet.engine.jobs.errors",
    "JobEvent": "ramet.engine.jobs.stages",
    "JobExistsError": "ramet.engine.jobs.errors",
    "JobMismatchError": "ramet.engine.jobs.errors",
    "JobPlan": "ramet.engine.jobs.estimate",
    "JobReport": "ramet.engine.jobs.report",
    "JobRunningError": "ramet.engine.jobs.errors",
    "Llm": "ramet.engine.rag.llm.protocol",
    "LlmError": "ramet.engine.rag.errors",
    "LlmRefusedError": "ramet.engine.rag.errors",
    "LlmResponseError": "ramet.engine.rag.errors",
    "LlmTimeoutError": "ramet.engine.rag.errors",
    "LlmUnavailableError": "ramet.engine.rag.errors",
    "Measured": "ramet.engine.rag.cost",
    "MissingEmbedderError": "ramet.engine.errors",
    "MissingError": "ramet.storage.errors",
    "MissingPackageError": "ramet.engine.errors",
    "ModelMismatchError": "ramet.engine.errors",
    "NotEmptyError": "ramet.engine.errors",
    "NotOwnerError": "ramet.engine.errors",
    "OpenAiLlm": "ramet.engine.rag.llm.openai",
    "Pool": "ramet.engine.rag.pool",
    "PreparedAnswer": "ramet.engine.rag.prepared",
    "Prices": "ramet.engine.rag.cost",
    "Problem": "ramet.storage.findings",
    "Prompt": "ramet.engine.rag.prompt",
    "Rag": "ramet.engine.rag.rag",
    "ReadOnlyError": "ramet.storage.errors",
    "Reader": "ramet.engine.rag.prompt",
    "Reads": "ramet.engine.hits",
    "Record": "ramet.engine.hits",
    "Records": "ramet.engine.hits",
    "RejectedRecordError": "ramet.engine.jobs.errors",
    "RemoteAnswerStream": "ramet.api.client.rag",
    "RemoteCollection": "ramet.api.client.collection",
    "RemoteDatabase": "ramet.api.client.database",
    "RemoteRag": "ramet.api.client.rag",
    "SelectedChunk": "ramet.engine.rag.selection",
    "Selection": "ramet.engine.rag.selection",
    "ServerError": "ramet.api.client.errors",
    "ServerRefusedError": "ramet.api.client.errors",
    "ServerResponseError": "ramet.api.client.errors",
    "ServerTimeoutError": "ramet.api.client.errors",
    "ServerUnavailableError": "ramet.api.client.errors",
    "StaticEmbedder": "ramet.engine.embedding_static",
    "StorageError": "ramet.storage.errors",
    "StorageFullError": "ramet.storage.errors",
    "Template": "ramet.engine.rag.prompt",
    "TextEmbedder": "ramet.engine.embedding",
    "TokenEmbedder": "ramet.engine.embedding_tokens",
    "UnknownCollectionError": "ramet.engine.errors",
    "UnknownIdError": "ramet.engine.errors",
    "UnknownTenantError": "ramet.engine.errors",
    "UpsertReport": "ramet.engine.hits",
    "Usage": "ramet.engine.rag.answer",
    "VerifyReport": "ramet.storage.findings",
    "WriterBusyError": "ramet.storage.errors",
    "build_job": "ramet.engine.jobs.building",
    "calibrate_llm": "ramet.engine.rag.calibration",
    "chunk": "ramet.engine.chunking",
    "connect": "ramet.api.client.connecting",
    "connect_async": "ramet.api.client.connecting",
    "llm_of": "ramet.engine.rag.llm.named",
    "plan_job": "ramet.engine.jobs.building",
    "train_agent": "ramet.engine.rag.learning",
    "warmup": "ramet.engine.warm",
}

__all__ = [
    "AccessError",
    "AddReport",
    "Agent",
    "AgentReport",
    "AnalysisMismatchError",
    "Answer",
    "AnswerStream",
    "ArgumentError",
    "AsyncAnswerStream",
    "AsyncRemoteAnswerStream",
    "AsyncRemoteCollection",
    "AsyncRemoteDatabase",
    "AsyncRemoteRag",
    "BuildReport",
    "Candidate",
    "Chunk",
    "Citation",
    "ClosedError",
    "Collection",
    "CollectionExistsError",
    "CompactReport",
    "Completion",
    "ConflictError",
    "CorruptionError",
    "CostModel",
    "CurvePoint",
    "Database",
    "Embedder",
    "ExistsError",
    "Explanation",
    "Extractive",
    "ForkError",
    "FormatError",
    "GgufLlm",
    "Hit",
    "Hits",
    "JobError",
    "JobEvent",
    "JobExistsError",
    "JobMismatchError",
    "JobPlan",
    "JobReport",
    "JobRunningError",
    "Llm",
    "LlmError",
    "LlmRefusedError",
    "LlmResponseError",
    "LlmTimeoutError",
    "LlmUnavailableError",
    "Measured",
    "MissingEmbedderError",
    "MissingError",
    "MissingPackageError",
    "ModelMismatchError",
    "NotEmptyError",
    "NotOwnerError",
    "OpenAiLlm",
    "Pool",
    "PreparedAnswer",
    "Prices",
    "Problem",
    "Prompt",
    "Rag",
    "RametError",
    "ReadOnlyError",
    "Reader",
    "Reads",
    "Record",
    "Records",
    "RejectedRecordError",
    "RemoteAnswerStream",
    "RemoteCollection",
    "RemoteDatabase",
    "RemoteRag",
    "SelectedChunk",
    "Selection",
    "ServerError",
    "ServerRefusedError",
    "ServerResponseError",
    "ServerTimeoutError",
    "ServerUnavailableError",
    "StaticEmbedder",
    "StorageError",
    "StorageFullError",
    "Template",
    "TextEmbedder",
    "TokenEmbedder",
    "UnknownCollectionError",
    "UnknownIdError",
    "UnknownTenantError",
    "UpsertReport",
    "Usage",
    "VerifyReport",
    "WriterBusyError",
    "__version__",
    "build_job",
    "calibrate_llm",
    "chunk",
    "connect",
    "connect_async",
    "llm_of",
    "plan_job",
    "train_agent",
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
