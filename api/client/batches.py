"""Records and documents of one call, and how it is divided where it is larger than a request may be."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from ramet._error import RametError
from ramet.api.client.asking import Server
from ramet.api.client.errors import ServerRefusedError
from ramet.api.client.messages import JSON, NPY, Operation, Reply, Request
from ramet.api.client.values import Array, tagged, to_json, with_vectors
from ramet.api.client.vectors import Gaps, records_form
from ramet.engine import arguments
from ramet.engine import metadata as meta
from ramet.engine.errors import ArgumentError
from ramet.engine.settings import Settings
from ramet.engine.texts import checked_texts

RECORD_BYTES = 64
"""Of a record beside its vector, at least."""

T = TypeVar("T")


class Batch(Protocol):
    """What one call writes."""

    def __len__(self) -> int: ...

    def part(self, first: int, last: int) -> Batch:
        """Some of it."""
        ...

    def body(self) -> tuple[str, bytes]:
        """Media type and bytes of a request with all of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBatch:
    """Records of one upsert."""

    ids: list[str]
    vectors: Array | Gaps | None
    documents: Sequence[Any] | None
    metadata: Sequence[Any] | None
    tenant: str | list[str] | None
    on_conflict: str

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, first: int, last: int) -> RecordBatch:
        """Some of the records."""
        return RecordBatch(
            ids=self.ids[first:last],
            vectors=None if self.vectors is None else self.vectors[first:last],
            documents=None if self.documents is None else self.documents[first:last],
            metadata=None if self.metadata is None else self.metadata[first:last],
            tenant=self.tenant[first:last] if isinstance(self.tenant, list) else self.tenant,
            on_conflict=self.on_conflict,
        )

    def body(self) -> tuple[str, bytes]:
        """Media type and bytes of a request."""
        rest = {"ids": self.ids, "on_conflict": self.on_conflict} | given(
            documents=self.documents, metadata=tagged(self.metadata), tenant=self.tenant
        )
        if isinstance(self.vectors, np.ndarray):
            return NPY, with_vectors(self.vectors, rest)
        return JSON, to_json(rest if self.vectors is None else {**rest, "vectors": self.vectors})


def records(
    ids: Any, vectors: Any, columns: tuple[Any, Any], tenant: Any, on_conflict: str, settings: Settings
) -> RecordBatch:
    """Records that may be sent; ``columns``: documents and metadata.

    Raises
    ------
    ArgumentError
    """
    if ids is None:
        raise ArgumentError("ids", "is None; give every record an id, by which it can be replaced or deleted")
    owners = None if tenant is None else arguments.owners(tenant)
    form = records_form(vectors, settings)
    n = (len(ids) if hasattr(ids, "__len__") else 0) if form is None else len(form)
    names = arguments.record_ids(ids, n, owners or "")
    if isinstance(owners, list) and len(owners) != n:
        raise ArgumentError("tenant", f"{len(owners)} tenants for {n} records; pass one name, or one for each")
    documents, metadata = columns
    return RecordBatch(
        ids=names,
        vectors=form,
        documents=_texts(documents, n),
        metadata=None if metadata is None else meta.checked(metadata, n),
        tenant=owners,
        on_conflict=on_conflict,
    )


def _texts(documents: Any, n: int) -> list[Any] | None:
    """Documents as a list; what each is, the server checks."""
    if documents is None:
        return None
    for i, text in enumerate(arguments.documents(documents, n)):
        if text is not None and not isinstance(text, str):
            raise ArgumentError(f"documents[{i}]", f"must be str or None, got {type(text).__name__}")
    return [None if text is None else str(text) for text in documents]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBatch:
    """Documents of one `add_texts`."""

    texts: list[str]
    ids: list[str]
    metadata: list[Any] | None
    rest: dict[str, Any]
    """What holds for all of them."""

    def __len__(self) -> int:
        return len(self.texts)

    def part(self, first: int, last: int) -> TextBatch:
        """Some of the documents."""
        fields = None if self.metadata is None else self.metadata[first:last]
        return TextBatch(texts=self.texts[first:last], ids=self.ids[first:last], metadata=fields, rest=self.rest)

    def body(self) -> tuple[str, bytes]:
        """Media type and bytes of a request."""
        fields = given(metadata=tagged(self.metadata))
        return JSON, to_json({"texts": self.texts, "ids": self.ids, **fields, **self.rest})


def texts(given_texts: Any, ids: Any, metadata: Any, rest: dict[str, Any]) -> TextBatch:
    """Documents that may be sent; without ids they get random ones here, so that sending them twice stores them once.

    Raises
    ------
    ArgumentError
    """
    found = checked_texts(given_texts, "texts")
    names = [uuid.uuid4().hex for _ in found] if ids is None else arguments.record_ids(ids, len(found))
    fields = None if metadata is None else meta.checked(metadata, len(found))
    return TextBatch(texts=found, ids=names, metadata=fields, rest=rest)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How the parts of a call are sent."""

    server: Server
    path: str
    repeatable: bool
    busy_s: float
    timeout_s: float | None = None


def sent(
    batch: Batch,
    together: int,
    how: Sending,
    read: Callable[[Reply], T],
    check: Callable[[], object] = lambda: None,
) -> Operation[list[T]]:
    """Write a call in as few requests as the server takes; the answers, in order.

    Parameters
    ----------
    batch : Batch
    together : int
        Records of one request, at most.
    how : Sending
    read : callable
        Makes a result of each answer.
    check : callable
        Called once before anything is sent, if that takes several requests: what it raises leaves nothing written.

    Raises
    ------
    RametError
        With a note that says what was written before, if anything.
    """
    todo = _cut(batch, together)
    divided = len(todo) > 1
    if divided:
        check()
    done, found, n = 0, list[T](), len(batch)
    while todo:
        part = todo.pop()
        kind, body = part.body()
        if len(body) > how.server.max_bytes and len(part) > 1:
            if not divided:
                check()
                divided = True
            todo += _halves(part)
            continue
        request = Request(
            method="POST", path=how.path, body=body, content_type=kind, repeatable=how.repeatable,
            timeout_s=how.timeout_s,
        )  # fmt: skip
        try:
            found.append((yield from how.server.told(request, read, busy_s=how.busy_s)))
            done += len(part)
        except RametError as error:
            if isinstance(error, ServerRefusedError) and error.status == 413 and len(part) > 1:
                how.server.max_bytes = min(how.server.max_bytes, max(len(body) // 2, 1024))
                todo += _halves(part)
                continue
            if done:
                error.partly_done = True
                error.add_note(f"the first {done} of {n} of this call were written before, in requests of their own")
            raise
    return found


def _cut(batch: Batch, together: int) -> list[Batch]:
    """Parts of at most so many records, the first one last; none when there is nothing to write."""
    size = max(1, together)
    return [batch.part(first, first + size) for first in range(0, len(batch), size)][::-1]


def _halves(batch: Batch) -> list[Batch]:
    middle = len(batch) // 2
    return [batch.part(middle, len(batch)), batch.part(0, middle)]


def pieces(values: list[T], size: int) -> Iterator[list[T]]:
    """A list in pieces; none for an empty one."""
    for first in range(0, len(values), size):
        yield values[first : first + size]
