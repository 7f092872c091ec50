"""Names of files: patterns, folders and endings; documents of a folder; what does not go together."""

import gzip
import pickle
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ramet
from ramet.engine.jobs.inputs.blocks import InputOptions
from ramet.engine.jobs.inputs.documents import converted
from ramet.engine.jobs.inputs.opening import open_inputs
from tests.engine.jobs.input_files import write

HTML = b"<html><head><title>A &amp; B</title><script>no</script></head><body><h1>Head</h1><p>One <b>two</b>.</body>"


def pdf(text, title="Of a PDF"):
    """One page, as small as a PDF can be."""
    stream = b"BT /F1 12 Tf 20 100 Td (" + text + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Title (%s) >>" % title.encode(),
    ]
    content, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return content + (
        b"xref\n0 6\n0000000000 65535 f \n%strailer\n<< /Size 6 /Root 1 0 R /Info 5 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (table, len(content))
    )


def put(path, content=b'{"text": "t"}\n'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def paths(files):
    return [file.path.name for file in files]


def test_patterns_and_folders_are_sorted_and_a_file_comes_once(tmp_path):
    for name in ["b.jsonl", "a.jsonl", "in/c.ndjson", "in/.hidden.jsonl", "in/notes.xyz"]:
        put(tmp_path / name)
    put(tmp_path / "d.jsonl.gz", gzip.compress(b'{"text": "t"}\n'))
    assert paths(open_inputs([tmp_path / "*.jsonl"])) == ["a.jsonl", "b.jsonl"]
    assert paths(open_inputs([tmp_path])) == ["a.jsonl", "b.jsonl", "d.jsonl.gz", "c.ndjson"]
    assert paths(open_inputs([tmp_path / "b.jsonl", str(tmp_path / "*.jsonl")])) == ["b.jsonl", "a.jsonl"]
    assert paths(open_inputs([tmp_path / "in/notes.xyz"], InputOptions(format="jsonl"))) == ["notes.xyz"]


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("nothing.npy", {}, "nothing.npy does not exist"),
        ("*.npy", {}, "matches no file"),
        ("x.xyz", {}, "x.xyz has an unknown ending; give format, one of npy"),
        ("empty", {}, "is a folder without files that are read"),
        ("x.xyz", {"format": "csv"}, "format: 'csv' is not known"),
    ],
)
def test_names_that_lead_nowhere(tmp_path, given, options, message):
    put(tmp_path / "x.xyz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ramet.ArgumentError, match=message):
        open_inputs([tmp_path / given], InputOptions(**options))


def test_files_that_do_not_go_together(tmp_path):
    vectors = write("npy", tmp_path, np.ones((2, 3), "f4"))
    others = {
        put(tmp_path / "a.jsonl"): "vectors",
        put(tmp_path / "b.jsonl", b'{"id": "a", "vector": [1, 2, 3]}'): "ids",
        put(tmp_path / "c.jsonl", b'{"vector": [1, 2]}'): "vectors of 2 values, .*x.npy of 3",
        put(tmp_path / "d.txt"): "vectors",
    }
    for path, message in others.items():
        with pytest.raises(ramet.ArgumentError, match=message) as error:
            open_inputs([vectors, path])
        assert "x.npy" in str(error.value)
    assert len(open_inputs([vectors, put(tmp_path / "e.jsonl", b"")])) == 2


def test_every_file_can_be_sent_to_another_process(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"vector": [[1.0, 2.0]]}), tmp_path / "a.parquet")
    write("npy", tmp_path, np.ones((1, 2), "f4"))
    put(tmp_path / "b.jsonl", b'{"vector": [1, 2]}')
    for file in open_inputs([tmp_path]):
        assert pickle.loads(pickle.dumps(file)) == file
        assert len(list(pickle.loads(pickle.dumps(file)).blocks(5))) == 1


def test_documents_of_a_folder(tmp_path):
    put(tmp_path / "b.txt", "ü plain".encode())
    put(tmp_path / "a/one.md", b"intro\n# The title #\nbody")
    put(tmp_path / "a/two.HTML", HTML)
    put(tmp_path / "c.pdf", pdf(b"Words of a page"))
    put(tmp_path / "a/pixels.png", b"\x89PNG")
    put(tmp_path / ".git/x.txt", b"hidden")
    (file,) = open_inputs([tmp_path])
    assert (file.format, file.n_rows, file.dim, file.has) == ("folder", 4, None, {"ids", "texts", "metadata"})
    for most in (1, 3, 9):
        blocks = list(file.blocks(most))
        every = [(one, text, meta) for b in blocks for one, text, meta in zip(b.ids, b.texts, b.metadata, strict=True)]
        assert every == [
            ("a/one.md", "intro\n# The title #\nbody", {"path": "a/one.md", "title": "The title"}),
            ("a/two.HTML", "# Head\n\nOne **two**.", {"path": "a/two.HTML", "title": "A & B"}),
            ("b.txt", "ü plain", {"path": "b.txt", "title": "b"}),
            ("c.pdf", "Words of a page", {"path": "c.pdf", "title": "Of a PDF"}),
        ]
    assert [block.ids for block in file.blocks(3, 1)] == [["c.pdf"]]
    (file,) = open_inputs([tmp_path / "**" / "*.md", tmp_path / "b.txt"])
    assert file.names == ("a/one.md", "b.txt")


def test_documents_that_cannot_be_read_are_rejected(tmp_path):
    put(tmp_path / "a.txt", b"\xff\xfe")
    put(tmp_path / "b.pdf", b"no pdf")
    put(tmp_path / "c.html", b"<p> </p>")
    put(tmp_path / "d.txt", b"good")
    (tmp_path / "e.txt").symlink_to(tmp_path / "gone")
    (file,) = open_inputs([tmp_path])
    (block,) = file.blocks(9)
    assert block.ids == ["d.txt"] and block.rows.tolist() == [3]
    assert [(one.row, one.reason) for one in block.rejected] == [
        (0, "bad_utf8"), (1, "unreadable"), (2, "empty_text"), (4, "unreadable"),
    ]  # fmt: skip
    assert "a.txt" in block.rejected[0].detail


@pytest.mark.parametrize(("name", "package"), [("x.html", "justhtml"), ("x.pdf", "pypdf")])
def test_a_missing_converter_is_told_before_the_work(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ramet.MissingPackageError, match=r"ramet\[files\]"):
        open_inputs([put(tmp_path / name)])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([".html", ".pdf", ".md", ".txt"]), st.data())
def test_damaged_documents_are_read_or_rejected(tmp_path, ending, data):
    content = bytearray(pdf(b"Words") if ending == ".pdf" else HTML)
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (file,) = open_inputs([put(tmp_path / f"x{ending}", bytes(content))])
    (block,) = file.blocks(9)
    assert len(block) + len(block.rejected) == 1


def test_what_a_page_says_of_its_encoding_holds():
    assert converted(b"<meta charset=latin1><title>\xfc</title><p>\xfc</p>", ".html") == ("ü", "ü")
