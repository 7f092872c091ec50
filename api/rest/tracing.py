"""Traces by OpenTelemetry, when asked for: one span for each request, one for each stage in it.

A span carries the route and the status, never the path with its values: that would name tenants and ids. Where spans
go is set up by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``, ...).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from ramet import MissingPackageError
from ramet.api.rest.settings import Settings


class Span(Protocol):
    """What a request says about itself."""

    def done(self, route: str, method: str, status: int, request_id: str) -> None:
        """Name the span after its route, and note how it ended."""
        ...


_NAMES = {b"traceparent", b"tracestate"}
"""Headers of a request that belong to traces."""


class _Nothing:
    """A span that nobody reads."""

    def done(self, route: str, method: str, status: int, request_id: str) -> None:
        """Forget it."""


_NOTHING = _Nothing()


class Tracing:
    """Where spans go: nowhere, unless the settings say otherwise.

    Parameters
    ----------
    settings : Settings
    exporter : optional
        Takes the spans in place of the one that ``OTEL_*`` variables describe.

    Raises
    ------
    MissingPackageError
        OpenTelemetry is asked for and not installed.
    """

    def __init__(self, settings: Settings, exporter: Any = None) -> None:
        self._tracer: Any = None
        self._provider: Any = None
        if settings.otel:
            self._provider = _provider(exporter)
            self._tracer = self._provider.get_tracer("ramet")

    def request(self, headers: Iterable[tuple[bytes, bytes]]) -> AbstractContextManager[Span]:
        """The span of a request; part of the caller's trace when its headers name one."""
        return nullcontext(_NOTHING) if self._tracer is None else self._recorded(headers)

    def stage(self, name: str) -> AbstractContextManager[Any]:
        """A span inside that of the request."""
        return nullcontext() if self._tracer is None else self._tracer.start_as_current_span(name)

    @contextmanager
    def _recorded(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = {name.decode(): value.decode("latin-1") for name, value in headers if name in _NAMES}
        context = TraceContextTextMapPropagator().extract(named)
        with self._tracer.start_as_current_span(
            "request", context=context, kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _Recorded(span)

    def close(self) -> None:
        """Send what waits to be sent."""
        if self._provider is not None:
            self._provider.shutdown()


class _Recorded:
    """The span of a request."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def done(self, route: str, method: str, status: int, request_id: str) -> None:
        """Name the span after its route, and note how it ended."""
        from opentelemetry.trace import StatusCode

        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "ramet.request_id": request_id,
            }
        )
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)


def _provider(exporter: Any) -> Any:
    """A provider whose spans are sent in the background."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingPackageError("opentelemetry-sdk", "otel") from error
    own = Resource({SERVICE_NAME: "ramet"})
    provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter() if exporter is None else exporter))
    return provider
