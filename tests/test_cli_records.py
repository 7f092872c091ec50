"""Records with texts and metadata on the command line: JSON Lines in and out, filters, words."""

import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

import ramet
from ramet.api.cli import upsert as upserting
from ramet.api.cli.columns import Column, cut, fitted
from ramet.api.cli.inputs import InputError
from ramet.api.cli.lines import pieces

DIM = 3
RECORDS = [
    {
        "id": "rice",
        "vector": [1, 0, 0],
        "text": "Phosphate in rice\n\nRice takes up phosphate.",
        "metadata": {"lang": "en", "year": 2020, "seen": {"$date": "2024-01-31T12:00:00Z"}, "tags": ["soil", "plant"]},
    },
    {"id": "river", "text": "A river that crosses fields of rice", "metadata": {"lang": "en", "year": 2011}},
    {"id": "reis", "vector": [0.9, 0.1, 0], "document": "Reis und Wasser", "metadata": {"lang": "de", "ok": True}},
    {"id": "bare", "vector": [0, 0, 1]},
    {"id": "theirs", "vector": [0, 1, 0], "text": "rice of somebody else", "tenant": "acme"},
]


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


@pytest.fixture
def empty(tmp_path, only_json):
    """DIR/NAME of an empty collection."""
    place = tmp_path / "db" / "docs"
    only_json("create", place, "--dim", DIM, "--metric", "l2")
    return place


@pytest.fixture
def place(empty, tmp_path, only_json):
    """DIR/NAME of a collection with the records above."""
    report = only_json("upsert", empty, write(tmp_path / "records.jsonl", RECORDS))["report"]
    assert report == {"n_inserted": 5, "n_replaced": 0, "n_skipped": 0}
    return empty


def ids(document):
    return [hit["id"] for hit in document["results"][0]]


# create


def test_create_makes_an_empty_collection_as_asked(run, only_json, tmp_path):
    place = tmp_path / "new" / "docs"
    facts = only_json("create", place, "--dim", "8", "--dtype", "int8", "--language", "de", "--durability", "batch")
    expected = {"dim": 8, "dtype": "int8", "codes": "none", "language": "de", "durability": "batch", "metric": "cosine"}
    assert facts == {"collection": str(place), **expected}
    stats = only_json("stats", place)
    assert {name: stats[name] for name in expected} == expected
    assert (stats["records"], stats["model"]) == (0, None)
    assert run("create", tmp_path / "new" / "more", "--dim", "2")[1] == (
        f"Made {tmp_path}/new/more: 2 dimensions, cosine, float32, codes sq8, language en.\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give either --dim or --model"),
        (["--dim", "3", "--model", "a"], "give either --dim or --model"),
        (["--dim", "0"], "--dim: must be an integer from 1"),
        (["--dim", "3", "--light"], "--light says of which kind the model is"),
        (["--dim", "3", "--language", "tlh"], "--language: 'tlh' is not known"),
        (["--dim", "3", "--dtype", "int8", "--codes", "sq8"], "--codes: 'sq8' is for float vectors"),
        (["--model", "nowhere/"], "--model: there is no folder 'nowhere'"),
    ],
)
def test_create_names_the_wrong_option_and_makes_nothing(run, tmp_path, options, message):
    (tmp_path / "db").mkdir()
    code, out, err = run("create", tmp_path / "db" / "docs", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert list((tmp_path / "db").iterdir()) == []


def test_create_over_something_is_refused(run, empty):
    for place, words in [
        (empty, "exists already; choose another DIR/NAME"),
        (empty.parent, "is a database directory"),
        (empty / "inner", "is a collection and not a database"),
    ]:
        code, out, err = run("create", place, "--dim", DIM)
        assert (code, out, words in err) == (2, "", True)


# upsert


def test_lines_become_records_with_all_that_they_say(place):
    with ramet.connect(place.parent) as db:
        docs = db.collection("docs")
        rice, river, reis, bare = docs.get(["rice", "river", "reis", "bare"])
        assert rice.document == RECORDS[0]["text"]
        assert rice.metadata == {
            "lang": "en",
            "year": 2020,
            "seen": datetime(2024, 1, 31, 12, tzinfo=UTC),
            "tags": ["soil", "plant"],
        }
        assert rice.vector.tolist() == [1, 0, 0]
        assert (river.vector, reis.document, bare.document, bare.metadata) == (None, "Reis und Wasser", None, None)
        assert docs.tenants() == {"acme": 1, "default": 4}
        assert docs.verify().ok


def test_lines_may_be_gzipped_have_gaps_and_a_byte_order_mark(only_json, empty, tmp_path):
    text = "\ufeff" + "\n\n  \n".join(json.dumps(record) for record in RECORDS)
    (tmp_path / "records.NDJSON.gz").write_bytes(gzip.compress(text.encode()))
    report = only_json("upsert", empty, tmp_path / "records.NDJSON.gz", "--tenant", "globex")["report"]
    assert report["n_inserted"] == 5
    assert only_json("tenants", empty)["tenants"] == {"acme": 1, "globex": 4}


def test_existing_ids_are_replaced_skipped_or_refused(run, only_json, place, tmp_path):
    more = write(tmp_path / "more.jsonl", [{"id": "new"}, {"id": "bare", "text": "now with text"}])
    code, out, err = run("upsert", place, more, "--on-conflict", "error")
    assert (code, out) == (2, "")
    assert "'bare'" in err and "--on-conflict replace or skip" in err
    assert only_json("tenants", place)["tenants"]["default"] == 4
    assert only_json("upsert", place, more, "--on-conflict", "skip")["report"]["n_skipped"] == 1
    code, out, _ = run("upsert", place, more)
    assert out.startswith(f"{place}: 0 inserted, 2 replaced, 0 skipped")
    assert [record["document"] for record in only_json("get", place, "bare")["records"]] == ["now with text"]


WRONG = [
    ('{"id": "x", "vector": [1, 2]}', "vector: has 2 numbers, the collection's dimension is 3"),
    ('{"id": "x", "vector": "1,2,3"}', "vector: not a list of numbers"),
    ('{"id": "x", "vector": [1, [2], 3]}', "vector: not a list of numbers"),
    ('{"id": "x", "vector": [1, null, 3]}', "vector: not a list of numbers"),
    ('{"id": "x", "vector": [[1, 2, 3]]}', "vector: not a list of numbers"),
    ('{"id": "x", "vector": {}}', "vector: not a list of numbers"),
    ('{"id": "x", "vector": [1, NaN, 3]}', "vector: has NaN, infinity"),
    ('{"id": "x", "vector": [1, 1e300, 3]}', "vector: has NaN, infinity"),
    ('{"vector": [1, 2, 3]}', "has no id"),
    ('{"id": null}', "has no id"),
    ('{"id": 5}', "id: must be str, got int"),
    ('{"id": ""}', "id: is an empty string"),
    ('{"id": "first"}', "the id 'first' is that of line 1"),
    ('{"id": "x", "text": 5}', "text: must be str or None, got int"),
    ('{"id": "x", "text": "\\ud800"}', "text: is not valid Unicode text"),
    ('{"id": "x", "text": "a", "document": "b"}', "two names of one field"),
    ('{"id": "x", "metadata": {"a": {"b": 1}}}', "metadata['a']: is a dict; metadata is flat"),
    ('{"id": "x", "metadata": {"a": [1]}}', "lists hold strings only"),
    ('{"id": "x", "metadata": {"$a": 1}}', "$a"),
    ('{"id": "x", "metadata": {"a": {"$date": "soon"}}}', "metadata: 'soon' is no point in time"),
    ('{"id": "x", "metadata": {"a": {"$date": 5}}}', "metadata: 5 is no point in time"),
    ('{"id": "x", "metadata": {"$date": "2024-01-01"}}', "metadata"),
    ('{"id": "x", "metadata": "en"}', "metadata: is a str"),
    ('{"id": "x", "metadata": {"n": 99999999999999999999}}', "beyond"),
    ('{"id": "x", "tenant": ""}', "tenant: is an empty string"),
    ('{"id": "x", "tenant": 5}', "tenant: must be str"),
    ('{"id": "x", "vectr": [1, 2, 3]}', "unknown field 'vectr', do you mean vector?"),
    ('{"id": "x", "lang": "en"}', "unknown field 'lang'"),
    ('["x"]', "not a JSON object"),
    ('{"id": "x"', "not JSON"),
    ("[" * 100_000, "not JSON"),
    (b'{"id": "\xff"}', "not UTF-8 text"),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[f"{i}" for i in range(len(WRONG))])
def test_a_wrong_line_is_named_and_nothing_is_written(run, only_json, empty, tmp_path, monkeypatch, line, message):
    monkeypatch.setattr(upserting, "PIECE", 2)  # the wrong line is in a later piece, so nothing may be written before
    good = b'{"id": "first", "vector": [1, 2, 3], "text": "rice"}\n{"id": "second"}\n\n{"id": "third"}\n'
    (tmp_path / "wrong.jsonl").write_bytes(good + (line if isinstance(line, bytes) else line.encode()) + b"\n")
    code, out, err = run("upsert", empty, tmp_path / "wrong.jsonl")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"wrong.jsonl, line 5: {message}" in err or ("wrong.jsonl, line 5: " in err and message in err), err
    assert only_json("stats", empty)["rows"] == 0


def test_a_zero_vector_is_named_under_cosine(run, tmp_path, only_json):
    place = tmp_path / "db" / "docs"
    only_json("create", place, "--dim", 2)
    file = write(tmp_path / "zero.jsonl", [{"id": "a", "vector": [1, 1]}, {"id": "b"}, {"id": "c", "vector": [0, 0]}])
    assert f"{file}, line 3: vector: is all zeros" in run("upsert", place, file)[2]


def test_integers_stay_integers(run, only_json, tmp_path):
    place = tmp_path / "db" / "docs"
    only_json("create", place, "--dim", 2, "--dtype", "int8", "--metric", "l2")
    only_json("upsert", place, write(tmp_path / "a.jsonl", [{"id": "a", "vector": [-128, 127]}, {"id": "b"}]))
    assert only_json("get", place, "a")["records"][0]["vector"] == [-128, 127]
    file = write(tmp_path / "b.jsonl", [{"id": "a", "vector": [1, 2]}, {"id": "b", "vector": [1, 200]}])
    assert f"{file}, line 2: vector: int8 holds -128 to 127" in run("upsert", place, file)[2]


def test_files_that_are_no_lines_say_so(run, empty, tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((1, DIM)))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"id": "a"}\n' * 1000)[:-20])
    (tmp_path / "plain.jsonl.gz").write_bytes(b'{"id": "a"}\n')
    (tmp_path / "ids.txt").write_text("a\n")
    for argv, message in [
        ([tmp_path / "none.jsonl"], "none.jsonl: no such file"),
        ([tmp_path / "cut.jsonl.gz"], "cut off or damaged"),
        ([tmp_path / "plain.jsonl.gz"], "line 1: the file is not gzip"),
        ([tmp_path / "v.npy"], "--ids is missing"),
        ([write(tmp_path / "r.jsonl", RECORDS), "--ids", tmp_path / "ids.txt"], "has an id in each line"),
    ]:
        code, out, err = run("upsert", empty, *argv)
        assert (code, out, message in err) == (2, "", True), err


def test_a_large_file_is_written_piece_by_piece_with_a_bar(only_json, empty, tmp_path):
    file = write(tmp_path / "many.jsonl", [{"id": f"r{i}", "metadata": {"n": i}} for i in range(9000)])
    command = [sys.executable, "-m", "ramet.api.cli", "upsert", str(empty), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "100%" in done.stderr and "100%" not in done.stdout
    assert "9,000 inserted" in done.stdout
    assert only_json("query", empty, "--text", "word")["results"] == [[]]
    assert len(only_json("get", empty, "--where", '{"n": {"$gte": 8190}}', "--limit", "1000")["records"]) == 810


def test_pieces_say_how_much_of_the_file_is_read(tmp_path):
    file = write(tmp_path / "a.jsonl", [{"id": str(i), "text": "x" * 100_000} for i in range(10)])
    read = [piece.read for piece in pieces(file, 3, ("id", "text"))]
    assert len(read) == 4 and read == sorted(read) and read[-1] == 1.0 and 0 < read[0] < 1
    with pytest.raises(InputError, match="unknown field 'text'"):
        list(pieces(file, 3, ("id",)))


# query


def test_query_by_words(run, only_json, place):
    document = only_json("query", place, "--text", "rice phosphate")
    assert document["mode"] == "keyword"
    assert ids(document) == ["rice", "river"]
    hit = document["results"][0][0]
    assert hit["document"] == RECORDS[0]["text"]
    assert hit["metadata"]["seen"] == "2024-01-31T12:00:00Z"
    assert hit["score"] == -hit["distance"] > 0
    assert ids(only_json("query", place, "--text", "rice", "--tenant", "acme")) == ["theirs"]


def test_words_where_nobody_has_text_are_noted(run, only_json, empty, tmp_path):
    only_json("upsert", empty, write(tmp_path / "bare.jsonl", [{"id": "a", "vector": [1, 2, 3]}]))
    code, out, err = run("query", empty, "--text", "rice", "--json")
    assert (code, json.loads(out)["results"]) == (0, [[]])
    assert err == f"ramet: note: no record of tenant 'default' in {empty} has a text\n"
    assert run("query", empty, "--like", "a")[2] == ""


def test_query_by_words_and_a_vector(run, only_json, place):
    document = only_json("query", place, "--text", "river", "--text-vector", "0,0,1", "-k", "2")
    assert document["mode"] == "hybrid"
    assert set(ids(document)) == {"river", "bare"}
    weights = ["--fusion", "weighted", "--alpha"]
    both = ["query", place, "--text", "river", "--like", "bare", "--mode", "hybrid", *weights]
    assert ids(only_json(*both, "0"))[0] == "river"
    assert ids(only_json(*both, "1"))[0] == "bare"


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ('{"lang": "en"}', {"rice"}),
        ('{"lang": {"$in": ["en", "de"]}}', {"rice", "reis"}),
        ('{"tags": "soil"}', {"rice"}),
        ('{"seen": {"$gte": {"$date": "2024-01-31"}, "$lt": {"$date": "2024-02-01T00:00:00+01:00"}}}', {"rice"}),
        ('{"$or": [{"seen": {"$lt": {"$date": "2024-01-31"}}}, {"ok": true}]}', {"reis"}),
        ('{"lang": null}', {"bare"}),
        ("{}", {"rice", "reis", "bare"}),
    ],
)
def test_query_among_records_that_match(only_json, place, where, found):
    assert set(ids(only_json("query", place, "--like", "rice", "--where", where))) == found


def test_explain_says_how(run, only_json, place):
    filtered = ["query", place, "--like", "rice", "--where", '{"lang": "en"}', "--explain"]
    explanation = only_json(*filtered)["explanation"]
    assert explanation["tenants"][0]["allowed"] == 1  # the other one has no vector
    assert "filter" in explanation["microseconds"]
    code, out, _ = run(*filtered)
    assert (code, "1 rows allowed" in out) == (0, True)
    assert "explanation" not in only_json(*filtered[:-1])


def test_tables_show_texts_and_metadata_cut_to_the_terminal(run, place, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    code, out, _ = run("query", place, "--text", "rice")
    assert code == 0
    assert all(len(line) <= 70 for line in out.splitlines())
    assert "Phosphate in rice" in out and "takes up" not in out
    assert "lang=en, year=2011" in out and "…" in out
    assert "distance" not in out and "score" in out
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run("query", place, "--like", "rice")
    assert "lang=en, year=2020, seen=2024-01-31T12:00:00Z, tags=[soil, plant]" in out and "distance" in out


def test_columns_share_what_room_there_is(capsys):
    columns = [Column("id", ["a"]), Column("short", ["ab"], cut=True), Column("long", ["rice " * 40], cut=True)]
    for width in (50, 80, 250):
        table = fitted(columns, width)
        cells = [next(iter(column.cells)) for column in table.columns]
        assert cells[1] == "ab"
        assert len(cells[2]) <= width
        assert (len(cells[2]) > 150) == (width == 250)
    assert cut("東京都東京都", 7) == "東京都…"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text", "rice", "--mode", "dense"], "--mode dense needs a vector, or --model"),
        (["--text", "rice", "--mode", "hybrid"], "--mode hybrid needs a vector, or --model"),
        (["--text", "rice", "--mode", "sparse"], "invalid value for '--mode'"),
        (["--text", "rice", "--like", "rice", "--mode", "keyword"], "takes --text or a vector, and not both"),
        (["--text", "rice", "--like", "rice", "--model", "m"], "there is one already"),
        (["--text", "rice", "--vector", "QUERIES"], "--vector: --text goes with one vector, the file has 2"),
        (["--like", "rice", "--mode", "keyword"], "--mode keyword needs --text"),
        (["--like", "rice", "--model", "m"], "--model makes a vector of --text, which is missing"),
        (["--text", "rice", "--light"], "--light says of which kind"),
        (["--like", "river"], "--like: record 'river' has no vector"),
        (["--text", "rice", "--like", "rice", "--alpha", "2"], "--alpha: must be a number from 0 to 1"),
        (["--text", "rice", "--where", "{'lang': 'en'}"], "--where: \"{'lang': 'en'}\" is not JSON"),
        (["--text", "rice", "--where", '["lang"]'], "--where: is a list; pass a dict"),
        (["--text", "rice", "--where", '{"y": {"$gtt": 1}}'], "--where['y']['$gtt']: unknown operator '$gtt'"),
        (["--text", "rice", "--where", '{"y": {"$gt": {"$date": "x"}}}'], "--where: 'x' is no point in time"),
        (["--text", "rice", "--where", "[" * 100_000], "--where: is nested too deeply"),
        (["--text", "rice", "--tenant", ""], "--tenant: is an empty string"),
        ([], "give exactly one of"),
    ],
)
def test_query_names_the_wrong_option(run, place, tmp_path, options, message):
    np.save(tmp_path / "queries.npy", np.eye(DIM)[:2])
    options = [str(tmp_path / "queries.npy") if option == "QUERIES" else option for option in options]
    code, out, err = run("query", place, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


# get


def test_get_by_id_by_filter_and_page_by_page(run, only_json, place):
    code, out, err = run("get", place, "river", "nobody", "rice", "--json")
    assert code == 0
    assert err == "ramet: note: no record 'nobody'\n"
    records = json.loads(out)["records"]
    assert [record["id"] for record in records] == ["river", "rice"]
    assert records[0] == {
        "id": "river", "document": RECORDS[1]["text"], "metadata": RECORDS[1]["metadata"], "vector": None,
    }  # fmt: skip
    assert "vector" not in only_json("get", place, "rice", "--no-vectors")["records"][0]
    assert [one["id"] for one in only_json("get", place, "--where", '{"lang": "en"}')["records"]] == ["rice", "river"]
    first = only_json("get", place, "--limit", "3")
    second = only_json("get", place, "--limit", "3", "--cursor", first["cursor"])
    assert [one["id"] for one in first["records"] + second["records"]] == ["bare", "reis", "rice", "river"]
    assert second["cursor"] is None
    assert only_json("get", place, "--tenant", "nobody")["records"] == []


def test_get_prints_a_table_for_people(run, place):
    code, out, _ = run("get", place, "--limit", "2")
    assert code == 0
    assert "0 0 1" in out and "Reis und Wasser" in out
    assert "2 records.\nThere are more: --cursor " in out
    code, out, _ = run("get", place, "bare", "--no-vectors")
    assert (code, "vector" in out, "document" in out, "1 record." in out) == (0, False, False, True)


def test_lines_that_get_prints_are_what_upsert_reads(run, only_json, place, tmp_path, monkeypatch):
    monkeypatch.setattr("ramet.api.cli.get.PAGE", 3)
    copy = tmp_path / "copy.jsonl"
    copy.write_text(run("get", place, "--lines")[1] + run("get", place, "--lines", "--tenant", "acme")[1], "utf-8")
    only_json("create", tmp_path / "db" / "copy", "--dim", DIM, "--metric", "l2")
    assert only_json("upsert", tmp_path / "db" / "copy", copy)["report"]["n_inserted"] == 5
    for tenant in ("default", "acme"):
        one, other = (
            only_json("get", tmp_path / "db" / name, "--tenant", tenant)["records"] for name in ("docs", "copy")
        )
        assert one == other
    _, out, err = run("get", place, "--lines", "--limit", "2")
    assert len(out.splitlines()) == 2
    cursor = err.split("--cursor ")[1].strip()
    assert [json.loads(line)["id"] for line in run("get", place, "--lines", "--cursor", cursor)[1].splitlines()] == [
        "rice",
        "river",
    ]
    assert [json.loads(line)["id"] for line in run("get", place, "rice", "--lines")[1].splitlines()] == ["rice"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["rice", "--where", "{}"], "ids are given together with --where"),
        (["rice", "--limit", "1"], "ids are given together with --where, --limit"),
        (["--limit", "0"], "--limit: must be an integer from 1"),
        (["--cursor", "?"], "--cursor: '?' is none"),
        (["--lines", "--json"], "give one of --lines and --json"),
        (["--where", '{"a": {}}'], "--where['a']: is an empty dict"),
        ([""], "ID: is an empty string"),
    ],
)
def test_get_names_the_wrong_option(run, place, options, message):
    code, out, err = run("get", place, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


# delete


def test_delete_by_filter(run, only_json, place):
    assert only_json("delete", place, "--where", '{"lang": "en"}')["n_deleted"] == 2
    assert only_json("query", place, "--text", "rice")["results"] == [[]]
    assert "1 record deleted" in run("delete", place, "--where", '{"ok": true}')[1]
    assert only_json("tenants", place)["tenants"] == {"acme": 1, "default": 1}
    for options, message in [
        ([], "name the records to delete, or choose them with --where"),
        (["a", "--where", '{"a": 1}'], "give either ids or --where"),
        (["--where", "{}"], "--where: is empty and would delete everything; `ramet tenants --drop` does that"),
        (["--where", "null"], "--where: is empty"),
        (["--texts", "--where", '{"a": 1}'], "--texts takes the ids of texts"),
    ]:
        code, out, err = run("delete", place, *options)
        assert (code, out, message in err) == (2, "", True)
