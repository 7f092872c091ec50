"""The commands that change a collection, run in this process against real collections."""

import json

import numpy as np
import pytest

import ramet

N, DIM = 300, 8


@pytest.fixture
def place(tmp_path):
    """DIR/NAME of an empty collection; vectors.npy and ids.txt beside it."""
    vectors = np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    (tmp_path / "ids.txt").write_text("".join(f"r{i}\n" for i in range(N)), "utf-8")
    with ramet.connect(tmp_path / "db") as db:
        db.create_collection("docs", DIM, "l2")
    return tmp_path / "db" / "docs"


def upsert(place, *more):
    folder = place.parent.parent
    return ("upsert", place, folder / "vectors.npy", "--ids", folder / "ids.txt", *more)


def test_records_come_and_go(run, place):
    code, out, _ = run(*upsert(place, "--tenant", "acme", "--json"))
    assert code == 0
    assert json.loads(out)["report"] == {"n_inserted": N, "n_replaced": 0, "n_skipped": 0}
    code, out, _ = run(*upsert(place, "--tenant", "acme", "--on-conflict", "skip"))
    assert (code, "0 inserted, 0 replaced, 300 skipped" in " ".join(out.split())) == (0, True)
    code, out, err = run(*upsert(place, "--tenant", "acme", "--on-conflict", "error"))
    assert (code, out) == (2, "")
    assert "'r0'" in err and "295 more" in err
    code, out, _ = run("delete", place, "r1", "r2", "nobody", "--tenant", "acme", "--json")
    assert (code, json.loads(out)["n_deleted"]) == (0, 2)
    code, out, _ = run("delete", place, "r1", "r3", "--tenant", "acme")
    assert (code, "1 of 2 deleted" in " ".join(out.split())) == (0, True)
    code, out, _ = run("tenants", place, "--json")
    assert json.loads(out)["tenants"] == {"acme": N - 3}


def test_tenants_are_listed_and_dropped(run, place):
    for tenant in ("acme", "globex"):
        assert run(*upsert(place, "--tenant", tenant))[0] == 0
    code, out, _ = run("tenants", place)
    assert code == 0
    assert "acme" in out and "globex" in out and "300" in out
    code, out, _ = run("tenants", place, "--drop", "acme", "--json")
    assert (code, json.loads(out)["n_deleted"], json.loads(out)["tenants"]) == (0, N, {"globex": N})
    code, out, err = run("tenants", place, "--drop", "acme")
    assert (code, out) == (2, "")
    assert err.startswith("ramet: --drop: no tenant 'acme'")
    assert "Deleted tenant 'globex' with 300 records." in run("tenants", place, "--drop", "globex")[1]


def test_compact_says_what_it_gave_back(run, place):
    run(*upsert(place))
    run("delete", place, *(f"r{i}" for i in range(200)))
    code, out, _ = run("compact", place, "--json")
    report = json.loads(out)["report"]
    assert code == 0
    assert report["n_bytes_after"] < report["n_bytes_before"]
    code, out, _ = run("compact", place)
    assert (code, "Compacted" in out) == (0, True)
    assert run("verify", place)[0] == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((3, DIM + 1), np.float32), "dimension is 9"),
        (np.full((3, DIM), np.nan, np.float32), "row 0"),
        (np.zeros(DIM, np.float32), "expected vectors of shape"),
        (np.zeros((2, DIM), np.float32), "3 ids for 2 vectors"),
    ],
)
def test_wrong_input_is_one_line_and_changes_nothing(run, place, tmp_path, content, words):
    np.save(tmp_path / "wrong.npy", content)
    (tmp_path / "three.txt").write_text("a\nb\nc\n", "utf-8")
    code, out, err = run("upsert", place, tmp_path / "wrong.npy", "--ids", tmp_path / "three.txt")
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert json.loads(run("tenants", place, "--json")[1])["tenants"] == {}


def test_deleting_from_an_unknown_tenant_names_the_option(run, place):
    code, _, err = run("delete", place, "a", "--tenant", "nobody")
    assert code == 2
    assert err.startswith("ramet: --tenant: no tenant 'nobody'")
