"""What can be set: from options of the command line, ``RAMET_*`` variables and a TOML file, in that order."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from ramet.engine.errors import ArgumentError
from ramet.engine.threads import n_cores

PREFIX = "RAMET_"

Limit = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Settings of a server. What is given to the constructor goes before the environment, and that before the file.

    The environment has them in capitals with ``RAMET_`` before (``RAMET_MAX_K=100``), the file of ``RAMET_CONFIG`` as
    TOML (``max_k = 100``). ``docs/server.md`` explains every one.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    config: Path | None = Field(default=None, description="TOML file with settings.")

    data_dir: Path = Field(description="Directory of the collections; made when missing.")
    backup_dir: Path | None = Field(
        default=None, description="Where backups go: .backups in the data directory when not set."
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(default=1, ge=1, le=256, description="Server processes that share address and data.")
    threads: int = Field(
        default_factory=n_cores, ge=1, le=1024, description="Threads that search and write, of each process."
    )

    embedder: str | None = Field(
        default=None, min_length=1, description="Model that makes vectors of texts: a name, a folder, or static:NAME."
    )
    embedders: dict[str, str] = Field(
        default_factory=dict, description="Other models for some collections: {collection: model}."
    )
    llm: str = Field(
        default="extractive", min_length=1, description="Who answers: extractive, openai:MODEL@URL or gguf:PATH."
    )
    warm: bool = Field(default=True, description="Compile and load the kernels before the first request.")
    llm_timeout_s: Seconds = Field(default=60.0, description="Time of an answer that comes as a stream.")
    cost_model: Path | None = Field(
        default=None, description="What answers cost and take: a file by `ramet rag calibrate`."
    )

    max_body_mb: Annotated[float, Field(gt=0, le=4096)] = Field(default=64, description="Largest body of a request.")
    max_bodies_mb: Annotated[float, Field(gt=0)] = Field(
        default=1024, description="Bodies of all requests at work together."
    )
    max_batch: Limit = Field(default=10_000, description="Most records of a call.")
    max_queries: Limit = Field(default=1_000, description="Most queries of a batch.")
    max_k: Limit = Field(default=1_000, description="Most hits of a query.")
    max_answer_mb: Annotated[float, Field(gt=0, le=4096)] = Field(
        default=64, description="Most documents, metadata and vectors of an answer."
    )
    max_in_flight: Limit = Field(default=256, description="Requests at work at once, of each process; more get a 503.")
    request_timeout_s: Seconds = Field(default=30.0, description="Time that a request may take.")
    rate_limit_per_minute: Limit | None = Field(default=None, description="Requests of a key in a minute.")
    token_limit_per_minute: Limit | None = Field(default=None, description="Tokens of a key in a minute.")

    allow_unauthenticated: bool = Field(
        default=False, description="Listen on other addresses than loopback although no key is configured."
    )
    drain_s: Seconds = Field(default=20.0, description="Time that requests have to finish when the server stops.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = Field(default="json", description="One JSON object a line, or for people.")
    otel: bool = Field(default=False, description="Send traces by OpenTelemetry (extra otel), set up by OTEL_*.")

    @field_validator("data_dir", "backup_dir", "config", "cost_model")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @property
    def backups(self) -> Path:
        """Directory of the backups."""
        return self.backup_dir or self.data_dir / ".backups"

    @property
    def max_body_bytes(self) -> int:
        """Largest body of a request, in bytes."""
        return int(self.max_body_mb * (1 << 20))

    @property
    def max_bodies_bytes(self) -> int:
        """Bytes of the bodies of all requests at work."""
        return int(self.max_bodies_mb * (1 << 20))

    @property
    def max_answer_bytes(self) -> int:
        """Bytes of documents, metadata and vectors that one answer has at most."""
        return int(self.max_answer_mb * (1 << 20))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options, then the environment, then the file that one of these names."""
        file = init_settings().get("config") or os.environ.get(f"{PREFIX}CONFIG")
        sources = (init_settings, env_settings)
        return (*sources, InitSettingsSource(settings_cls, _table(Path(file)))) if file else sources

    def as_environment(self) -> dict[str, str]:
        """The settings as variables, so that processes that are started with them have the same."""
        values = self.model_dump(mode="json", exclude={"config"}, exclude_none=True)
        shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
        return {f"{PREFIX}{name.upper()}": value for name, value in shown.items()}


def load(options: Mapping[str, Any]) -> Settings:
    """Settings from options of the command line (None: not given), the environment and the file.

    Raises
    ------
    ArgumentError
        A value is wrong or missing, or the file cannot be read; named as it is called everywhere.
    """
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"])) or "settings"
        known = name.split(".")[0] in Settings.model_fields
        advice = (
            f"(option --{name.replace('_', '-')}, {PREFIX}{name.upper()} or the file)" if known else "(in the file)"
        )
        raise ArgumentError(name, f"{first['msg']} {advice}") from error


def _table(file: Path) -> dict[str, Any]:
    """The contents of a TOML file."""
    try:
        return tomllib.loads(file.expanduser().read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArgumentError("config", f"{file} cannot be read: {error}") from error
