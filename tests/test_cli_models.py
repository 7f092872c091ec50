"""Texts and models on the command line, with tiny models that are made here; nothing is asked of a network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ramet
from tests.engine.models import bert_model, static_model

# transformers and torch announce what will change in versions to come when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TEXTS = [
    {"id": "fox", "text": "the quick brown fox jumps over the lazy dog", "metadata": {"lang": "en"}},
    {"id": "river", "document": "a stone in the river. " * 9},
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Options that name a model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "static": ["--model", str(static_model(folder / "static")), "--light"],
        "transformer": ["--model", str(bert_model(folder / "bert"))],
    }


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps(text) + "\n" for text in TEXTS), "utf-8")
    return file


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_texts_are_cut_embedded_found_and_deleted(run, only_json, models, texts, tmp_path, kind):
    place, model = tmp_path / "db" / "docs", models[kind]
    assert only_json("create", place, *model)["dim"] == 16
    report = only_json("add", place, texts, *model, "--chunk-tokens", "12", "--overlap", "2")["report"]
    assert (report["n_documents"], report["n_skipped"]) == (2, 0)
    assert report["n_chunks"] == only_json("stats", place)["tenants"]["default"]["documents"] > 3
    assert only_json("stats", place)["model"].startswith({"static": "model2vec:", "transformer": "sentence-"}[kind])

    for mode in ([], ["--mode", "dense"], ["--mode", "hybrid"], ["--mode", "keyword"]):
        document = only_json("query", place, "--text", TEXTS[0]["text"], *model, *mode)
        assert document["mode"] == (mode or ["", "dense"])[1]
        hit = document["results"][0][0]
        assert hit["metadata"]["_document"] == "fox"
        assert TEXTS[0]["text"][hit["metadata"]["_start"] : hit["metadata"]["_end"]] == hit["document"]
    only_river = only_json("query", place, "--text", "fox", *model, "--where", '{"_document": "river"}')
    assert {hit["metadata"]["_document"] for hit in only_river["results"][0]} == {"river"}

    assert only_json("add", place, texts, *model, "--on-conflict", "skip")["report"]["n_skipped"] == 2
    code, out, err = run("add", place, texts, *model, "--on-conflict", "error")
    assert (code, out, "'fox', 'river' already; pass --on-conflict" in err) == (2, "", True)
    n_river = len([record for record in only_json("get", place)["records"] if record["id"].startswith("river#")])
    code, out, _ = run("delete", place, "river", "nobody", "--texts")
    assert (code, f"{n_river} records of 2 texts deleted" in out) == (0, True)
    assert only_json("query", place, "--text", "stone")["results"] == [[]]


def test_upsert_makes_vectors_of_texts(run, only_json, models, texts, tmp_path):
    place = tmp_path / "db" / "docs"
    only_json("create", place, *models["static"])
    with texts.open("a") as file:
        file.write('{"id": "bare"}\n')
    assert only_json("upsert", place, texts, *models["static"])["report"]["n_inserted"] == 3
    records = {record["id"]: record["vector"] for record in only_json("get", place)["records"]}
    assert {name for name, vector in records.items() if vector is not None} == {"fox", "river"}
    assert only_json("stats", place)["model"].startswith("model2vec:")
    found = only_json("query", place, "--text", TEXTS[0]["text"], *models["static"])["results"][0]
    assert (found[0]["id"], found[0]["distance"]) == ("fox", pytest.approx(0, abs=1e-6))

    with texts.open("a") as file:
        file.write(json.dumps({"id": "new", "vector": [1] * 16}) + "\n")
    code, out, err = run("upsert", place, texts, *models["static"])
    assert (code, out) == (2, "")
    assert "line 4: vector: --model makes the vectors" in err
    for options, message in [
        ([texts, "--light"], "--light says of which kind"),
        ([__file__, "--ids", __file__, "--model", "m"], "--model makes vectors of texts, and a .npy file has no texts"),
    ]:
        code, _, err = run("upsert", place, *options)
        assert (code, message in err) == (2, True)


def test_another_model_is_refused(run, only_json, models, texts, tmp_path):
    place = tmp_path / "db" / "docs"
    only_json("create", place, *models["static"])
    only_json("add", place, texts, *models["static"])
    for command in (["query", place, "--text", "fox"], ["add", place, texts]):
        code, out, err = run(*command, *models["transformer"])
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("ramet: --model: the vectors of collection 'docs' were made by model2vec:16:")
    only_json("create", tmp_path / "db" / "small", "--dim", "3")
    code, _, err = run("add", tmp_path / "db" / "small", texts, *models["static"])
    assert (code, "--model: makes vectors of dimension 16" in err) == (2, True)


def test_a_package_that_is_missing_is_named_with_its_extra(run, models, texts, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "model2vec", None)
    code, out, err = run("create", tmp_path / "docs", *models["static"])
    assert (code, out) == (2, "")
    assert err == 'ramet: model2vec is not installed; install it with: pip install "ramet[light]"\n'


WRONG = [
    ('{"id": "x"}', "has no text"),
    ('{"id": "x", "text": 5}', "text: must be str, got int"),
    ('{"id": "fox", "text": "a"}', "the id 'fox' is that of line 1"),
    ('{"id": "x", "text": "a", "tenant": "acme"}', "unknown field 'tenant'"),
    ('{"id": "x", "text": "a", "metadata": {"_chunk": 1}}', "metadata: has the field '_chunk', which add_texts sets"),
    ('{"id": "x", "text": "a", "metadata": {"a": {}}}', "metadata['a']: is a dict"),
    (json.dumps({"id": "x" * 475, "text": "a"}), "id: has over 468 bytes"),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_a_wrong_line_is_named_before_the_model_is_loaded(run, only_json, tmp_path, line, message):
    place = tmp_path / "db" / "docs"
    only_json("create", place, "--dim", "3")
    (tmp_path / "wrong.jsonl").write_text('{"id": "fox", "text": "a"}\n' + line + "\n", "utf-8")
    code, out, err = run("add", place, tmp_path / "wrong.jsonl", "--model", "nowhere/")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"wrong.jsonl, line 2: {message}" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "missing option '--model'"),
        (["--model", "nowhere/"], "--model: there is no folder 'nowhere'"),
        (["MODEL", "--chunk-tokens", "0"], "--chunk-tokens: must be an integer from 1"),
        (["MODEL", "--chunk-tokens", "12", "--overlap", "12"], "--overlap: is 12"),
        (["MODEL", "--tenant", ""], "--tenant: is an empty string"),
    ],
)
def test_add_names_the_wrong_option(run, only_json, models, texts, tmp_path, options, message):
    place = tmp_path / "db" / "docs"
    only_json("create", place, "--dim", "16")
    options = [*models["static"], *options[1:]] if options[:1] == ["MODEL"] else options
    code, out, err = run("add", place, texts, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_what_is_no_file_of_texts_is_refused(run, texts, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    for file, message in [
        (tmp_path / "empty.jsonl", "empty.jsonl: holds no text"),
        (tmp_path / "none.jsonl", "none.jsonl: no such file"),
        (Path(__file__), "texts come from a .jsonl or .jsonl.gz file"),
    ]:
        code, _, err = run("add", tmp_path / "db" / "docs", file, "--model", "m")
        assert (code, message in err) == (2, True)


def test_only_the_answer_is_on_stdout_and_no_library_speaks(models, texts, tmp_path):
    place = tmp_path / "db" / "docs"
    command = [sys.executable, "-m", "ramet.api.cli"]
    for argv in (["create", place], ["add", place, texts], ["query", place, "--text", "fox"]):
        argv = [*command, *map(str, argv), *models["static"], "--json"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert isinstance(json.loads(done.stdout), dict)
        assert done.stderr == ""
    done = subprocess.run(
        [*command, "add", str(place), str(texts), *models["static"]], capture_output=True, text=True, check=True
    )
    assert "2 texts in 2 records" in done.stdout
    assert "chunks" not in done.stdout
    with ramet.connect(tmp_path / "db") as db:
        assert db.collection("docs").verify().ok
