"""Settings: where they come from, in which order, and what is said about wrong ones."""

import json
from pathlib import Path

import pytest

import ramet
from ramet.api.rest.settings import PREFIX, Settings, load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)


def test_options_go_before_variables_and_these_before_the_file(tmp_path, monkeypatch):
    file = tmp_path / "ramet.toml"
    file.write_text('data_dir = "from-file"\nport = 1\nmax_k = 1\nthreads = 1\n[embedders]\ndocs = "model"\n')
    monkeypatch.setenv("RAMET_CONFIG", str(file))
    monkeypatch.setenv("RAMET_PORT", "2")
    monkeypatch.setenv("RAMET_MAX_K", "2")
    found = load({"max_k": 3, "host": None})
    assert (found.port, found.max_k, found.threads, found.host) == (2, 3, 1, "127.0.0.1")
    assert found.data_dir == Path("from-file").absolute()
    assert found.embedders == {"docs": "model"}


def test_an_option_names_the_file(tmp_path, monkeypatch):
    for name, port in (("a", 1), ("b", 2)):
        (tmp_path / name).write_text(f"port = {port}\n")
    monkeypatch.setenv("RAMET_CONFIG", str(tmp_path / "a"))
    assert load({"data_dir": tmp_path, "config": tmp_path / "b"}).port == 2


def test_the_environment_that_a_process_is_started_with_says_the_same(tmp_path, monkeypatch):
    given = load({"data_dir": tmp_path, "embedders": {"a": "b"}, "rate_limit_per_minute": 5, "otel": True})
    for name, value in given.as_environment().items():
        monkeypatch.setenv(name, value)
    assert load({}) == given


def test_defaults(tmp_path):
    found = load({"data_dir": tmp_path / "d"})
    assert (found.host, found.port, found.workers, found.backups) == ("127.0.0.1", 8000, 1, tmp_path / "d" / ".backups")
    assert found.max_body_bytes == 64 << 20


@pytest.mark.parametrize(
    ("options", "argument", "says"),
    [
        ({}, "data_dir", "--data-dir, RAMET_DATA_DIR"),
        ({"data_dir": "d", "port": 70_000}, "port", "RAMET_PORT"),
        ({"data_dir": "d", "workers": 0}, "workers", "greater than or equal to 1"),
        ({"data_dir": "d", "log_level": "loud"}, "log_level", "debug"),
        ({"data_dir": "d", "drain_s": float("nan")}, "drain_s", "number"),
    ],
)
def test_a_wrong_setting_is_named_as_it_is_set(options, argument, says):
    with pytest.raises(ramet.ArgumentError, match=says) as caught:
        load(options)
    assert caught.value.argument == argument


@pytest.mark.parametrize("text", ["prot = 1", "port = ", 'port = "many"'])
def test_a_wrong_file_is_refused(tmp_path, text):
    file = tmp_path / "ramet.toml"
    file.write_text(text)
    with pytest.raises(ramet.ArgumentError):
        load({"data_dir": tmp_path, "config": file})
    with pytest.raises(ramet.ArgumentError, match="cannot be read"):
        load({"data_dir": tmp_path, "config": tmp_path / "none.toml"})


def test_the_documentation_has_every_setting_with_its_default(tmp_path):
    text = (ROOT / "docs" / "server.md").read_text("utf-8")
    defaults = Settings(data_dir=tmp_path)
    for name, field in Settings.model_fields.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        if not field.is_required() and field.default_factory is None and (value := getattr(defaults, name)) is not None:
            shown = value if isinstance(value, str) else json.dumps(value)
            assert f"| `{shown}` |" in row, row
