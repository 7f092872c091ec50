"""Operations on the manifest, and what is left when the process dies in the middle of one."""

import contextlib
import json
import os
import shutil
import threading
from itertools import pairwise

import numpy as np
import pytest

import ramet
from ramet.engine.reads import Include
from ramet.engine.sharded import journal, manifest, operations
from ramet.engine.sharded.opened import ShardedStore
from tests.engine.sharded.world import clustered, counts, sharded


class DiedError(BaseException):
    """The process is gone."""


@pytest.fixture
def docs(tmp_path):
    """Records of three tenants, some shared, some without a vector, most of them in the first shard."""
    vectors = clustered(1500, n_clusters=3)
    db, docs = sharded(tmp_path)
    vectors = list(vectors)
    vectors[::100] = [None] * 15
    owners = [("a", "b", "c")[i % 3] for i in range(1500)]
    texts, fields = [f"text {i}" for i in range(1500)], [{"n": i} for i in range(1500)]
    docs.upsert([f"r{i}" for i in range(1500)], vectors, documents=texts, metadata=fields, tenant=owners)
    docs.grant([f"r{i}" for i in range(0, 1500, 30)], to=["b", "d"], tenant="a")
    docs.upsert(["later"], clustered(1), tenant="a")
    with db:
        yield docs


def content(docs):
    return {
        tenant: {
            one.id: (None if one.vector is None else one.vector.tobytes(), one.document, one.metadata)
            for one in docs.get(tenant=tenant)
        }
        for tenant in docs.tenants()
    }


def test_rebalancing_makes_shards_alike_and_changes_nothing_else(docs):
    before, was = content(docs), counts(docs)
    report = docs.rebalance()
    assert report.n_moved > 0 and report.generation == 1
    assert max(counts(docs)) - min(counts(docs)) < max(was) - min(was)
    assert [shard.records for shard in report.shards] == counts(docs)
    assert content(docs) == before and docs.verify().ok
    again = docs.rebalance()
    assert again.n_moved == 0 and content(docs) == before
    for vector in clustered(20):
        found = docs.query(vector, tenant=["a", "b", "c"], k=5, exact=True)
        assert len(set(found.ids)) == 5


@pytest.mark.parametrize("n", [1, 3, 5, 9])
def test_shards_are_added_and_taken_away(docs, n):
    before = content(docs)
    docs.rebalance(n)
    assert len(docs.shards()) == n and content(docs) == before and docs.verify().ok
    edges = [(shard["first_cell"], shard["last_cell"]) for shard in docs.shards()]
    assert edges[0][0] == 0 and all(a[1] == b[0] for a, b in pairwise(edges))
    directories = {path.name for path in docs.path.iterdir() if path.is_dir()}
    assert directories == {shard["name"] for shard in docs.shards()}
    docs.upsert(["new"], clustered(1), tenant="a")
    assert docs.count("a") == len(before["a"]) + 1
    with pytest.raises(ramet.ArgumentError, match="n_shards.*cells"):
        docs.rebalance(5000)


STEPS = (
    (operations, "copy_store"), (operations.Store, "create"), (operations.moving, "carry"),
    (operations, "sync_directory"), (operations, "write_manifest"), (operations.shutil, "rmtree"),
)  # fmt: skip


@pytest.mark.parametrize("step", range(len(STEPS)), ids=[name for _, name in STEPS])
@pytest.mark.parametrize("call", [1, 2, 5])
def test_a_rebalancing_that_dies_loses_nothing_and_leaves_nothing_twice(docs, monkeypatch, step, call):
    before, (where, name), n_calls = content(docs), STEPS[step], 0
    real = getattr(where, name)

    def dies(*arguments, **options):
        nonlocal n_calls
        n_calls += 1
        if n_calls == call:
            raise DiedError
        return real(*arguments, **options)

    with monkeypatch.context() as patched, contextlib.suppress(DiedError):
        patched.setattr(where, name, dies)
        docs.rebalance(5)
    with ramet.connect(docs.path.parent) as db:
        again = db.collection(docs.name)
        assert content(again) == before and again.verify().ok
        again.rebalance(5)
        assert content(again) == before and again.verify().ok and len(again.shards()) == 5
        directories = {path.name for path in again.path.iterdir() if path.is_dir()}
        assert directories == {shard["name"] for shard in again.shards()}
    assert content(docs) == before


def test_readers_and_writers_go_on_while_shards_change(docs):
    before, wrong, stop = content(docs), [], threading.Event()
    query = clustered(1)[0]
    expected = docs.query(query, tenant="b", k=10, exact=True).ids

    def reads():
        while not stop.is_set():
            if docs.query(query, tenant="b", k=10, exact=True).ids != expected or docs.count("b") != len(before["b"]):
                wrong.append(1)

    def writes():
        n = 0
        while not stop.is_set():
            docs.upsert([f"new{n}"], clustered(1, seed=n), tenant="writer")
            n += 1

    threads = [threading.Thread(target=work) for work in (reads, reads, writes)]
    for thread in threads:
        thread.start()
    for n in (5, 3, 6):
        docs.rebalance(n)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    after = content(docs)
    assert len(after.pop("writer")) == docs.count("writer") > 0
    assert after == before and docs.verify().ok


def test_a_record_whose_vector_changes_moves_with_those_who_see_it(docs):
    ids = [f"r{i}" for i in range(0, 1500, 30) if i % 100]
    vectors = clustered(len(ids), seed=3)
    where = [set(part) for part in _ids_of_shards(docs, "a")]
    docs.upsert(ids, vectors, tenant="a")
    now = [set(part) for part in _ids_of_shards(docs, "a")]
    assert where != now and sum(map(len, now)) == docs.count("a")
    for tenant in ("a", "b", "d"):
        found = docs.get(ids, tenant=tenant)
        assert [one.vector.tobytes() for one in found] == [one.tobytes() for one in vectors]
    assert docs.verify().ok and not (docs.path / journal.JOURNAL).exists()


@pytest.mark.parametrize("method", ["upsert", "grant", "delete"])
def test_a_move_that_dies_is_ended_by_whoever_writes_next(docs, monkeypatch, method):
    ids = [f"r{i}" for i in range(0, 1500, 30) if i % 100]
    old = {one.id: one.vector.tobytes() for one in docs.get(ids, tenant="a")}
    vectors = clustered(len(ids), seed=3)
    new = {name: vector.tobytes() for name, vector in zip(ids, vectors, strict=True)}
    host = docs._shards.host
    real, n_calls = host.call, 0

    def dies(calls, *, again=True):
        nonlocal n_calls
        if any(call[1] == method for call in calls):
            n_calls += 1
            if n_calls == 2 or (n_calls == 1 and method == "upsert"):
                real([call for call in calls if call[1] == method][:1], again=again)
                raise DiedError
        return real(calls, again=again)

    with monkeypatch.context() as patched, contextlib.suppress(DiedError):
        patched.setattr(type(host), "call", lambda _, *arguments, **options: dies(*arguments, **options))
        docs.upsert(ids, vectors, tenant="a")
    assert (docs.path / journal.JOURNAL).exists()
    assert docs.verify().ok  # what is on its way is no damage
    docs.upsert(["another"], clustered(1), tenant="c")
    assert not (docs.path / journal.JOURNAL).exists() and docs.verify().ok
    for tenant in ("a", "b", "d"):
        found = docs.get(ids, tenant=tenant)
        assert [one.id for one in found] == ids
        assert all(one.vector.tobytes() in (old[one.id], new[one.id]) for one in found)


def _ids_of_shards(docs, tenant):
    include = Include(documents=False, metadata=False)
    return [[one.id for one in part] for part in docs._shards.ask("page", tenant, None, None, None, include)]


def test_a_backup_is_a_collection(docs, tmp_path):
    before = content(docs)
    docs.backup(tmp_path / "copies" / "copy")
    docs.delete(where={"n": {"$lt": 700}}, tenant="a")
    with ramet.connect(tmp_path / "copies") as db:
        assert db.collections() == ["copy"] and content(db.collection("copy")) == before
        assert db.verify("copy").ok
    with pytest.raises(ramet.ExistsError):
        docs.backup(tmp_path / "copies" / "copy")
    with pytest.raises(ramet.ArgumentError, match="inside the collection"):
        docs.backup(docs.path / "inner")


def test_a_shard_is_replaced_from_a_backup(docs, tmp_path):
    before = content(docs)
    docs.backup(tmp_path / "copies" / "copy")
    name = docs.shards()[1]["name"]
    docs.close()
    shutil.rmtree(docs.path / name)
    report = operations.replace_shard(docs.path, name, tmp_path / "copies" / "copy" / name)
    assert name not in [shard.name for shard in report.shards]
    with ramet.connect(docs.path.parent) as db:
        assert content(db.collection(docs.name)) == before and db.verify(docs.name).ok
    other = report.shards[0].name
    for source, words in ((docs.path / other, "are in"), (docs.path, "no collection")):
        with pytest.raises(ramet.RametError, match=words):
            operations.replace_shard(docs.path, report.shards[1].name, source)
    with pytest.raises(ramet.ArgumentError, match="no shard"):
        operations.replace_shard(docs.path, name, docs.path / other)


def test_a_missing_shard_is_named(docs):
    name = docs.shards()[2]["name"]
    docs.close()
    (docs.path / name).rename(docs.path / "elsewhere")
    with ramet.connect(docs.path.parent) as db:
        with pytest.raises(ramet.CorruptionError, match=name):
            db.collection(docs.name)
        report = db.verify(docs.name)
        assert not report.ok and any(name in str(problem) for problem in report.problems)
        (docs.path / "elsewhere").rename(docs.path / name)
        assert db.verify(docs.name).ok and db.collection(docs.name).count() == 1501


def test_damage_of_manifest_and_cells_is_noticed(docs):
    docs.close()
    for file in (manifest.MANIFEST, manifest.CELLS):
        path = docs.path / file
        sound = path.read_bytes()
        rng = np.random.default_rng(0)
        for _ in range(40):
            damaged = bytearray(sound)
            at = int(rng.integers(len(damaged)))
            damaged[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged if rng.random() < 0.8 else damaged[:at])
            with ramet.connect(docs.path.parent) as db:
                try:
                    db.collection(docs.name)
                except (ramet.CorruptionError, ramet.FormatError):
                    assert not db.verify(docs.name).ok
                else:  # such as another blank between two fields
                    assert db.verify(docs.name).ok
        path.write_bytes(sound)
    with ramet.connect(docs.path.parent) as db:
        assert db.verify(docs.name).ok


def test_a_newer_format_is_refused(docs):
    stored = json.loads((docs.path / manifest.MANIFEST).read_text())
    (docs.path / manifest.MANIFEST).write_text(json.dumps({**stored, "format": 99}))
    docs.close()
    with ramet.connect(docs.path.parent) as db, pytest.raises(ramet.FormatError, match="format 99"):
        db.collection(docs.name)


def test_a_record_in_two_shards_is_found_by_verify(docs):
    host = docs._shards.host
    one = docs.get(["later"], tenant="a")[0]
    for shard in host.shards.values():
        shard.collection.upsert(["later"], [one.vector], tenant="a")
    report = docs.verify()
    assert not report.ok and "'later'" in str(report.problems[0])


def test_another_process_is_followed(docs):
    with ramet.connect(docs.path.parent) as db:
        other = db.collection(docs.name)
        before = content(other)
        docs.rebalance(6)
        assert len(other.shards()) == 6 and content(other) == before
        assert db.is_open(docs.name, other) and db.collection(docs.name) is other
        docs.delete(["later"], tenant="a")
        assert other.get(["later"], tenant="a") == []
        ramet.connect(docs.path.parent).delete_collection(docs.name)
        assert not db.is_open(docs.name, other)
        with pytest.raises(ramet.MissingError):
            other.upsert(["x"], clustered(1))
        with pytest.raises(ramet.UnknownCollectionError):
            db.collection(docs.name)
    assert os.listdir(docs.path.parent) == []


def test_a_shard_is_no_database_of_its_own(docs):
    with pytest.raises(ramet.ArgumentError, match="is a collection, not a database"):
        ramet.connect(docs.path)


def test_a_writer_has_the_generation_of_the_manifest_whatever_a_stat_says(docs):
    file, store = docs.path / manifest.MANIFEST, docs._sharded
    known = manifest.read_manifest(docs.path)
    before = file.read_bytes()
    manifest.write_manifest(docs.path, known.after(known.shards))
    after = file.read_bytes()
    assert len(after) == len(before)
    file.write_bytes(before)
    store.now()
    was = file.stat()
    file.write_bytes(after)  # the same file, size and time
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert store.now().manifest.generation == 0
    with store.writing(1.0) as (shards, _):
        assert shards.manifest.generation == 1
    assert store.now().manifest.generation == 1


@pytest.mark.parametrize("same", [False, True], ids=["other vectors", "the same vectors"])
def test_a_collection_that_the_same_job_built_anew_is_seen(tmp_path, same):
    vectors, options = clustered(600), {"metric": "l2", "shards": 3, "memory": "600MB", "workers": 2, "list_size": 16}
    np.save(tmp_path / "v.npy", vectors)
    ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "s", **options)
    with ramet.connect(tmp_path / "db") as db:
        old, reader = db.collection("s"), ShardedStore(tmp_path / "db" / "s")
        before = reader.now()
        shutil.rmtree(old.path)
        again = vectors if same else vectors[::-1] + 1
        np.save(tmp_path / "v.npy", again)
        ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "s", **options)
        assert reader.now().manifest.identity == before.manifest.identity
        assert old.query(again[:20], k=1, exact=True).ids == [[str(i)] for i in range(20)]
        old.upsert(["new"], clustered(1))
        assert db.collection("s").count() == 601 and db.verify("s").ok
        reader.close()


def test_a_store_that_has_not_been_asked_since_tells_another_collection(tmp_path):
    np.save(tmp_path / "v.npy", clustered(600))
    options = {"metric": "l2", "shards": 3, "memory": "600MB", "workers": 2, "list_size": 16}
    ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "s", **options)
    with ramet.connect(tmp_path / "db") as db:
        old = db.collection("s")
        shutil.rmtree(old.path)
        ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "s", **options)
        assert not db.is_open("s", old)
        fresh = db.collection("s")
        assert fresh is not old and db.is_open("s", fresh) and fresh.count() == 600


def test_two_shards_that_are_damaged_are_replaced_one_after_the_other(docs, tmp_path):
    before = content(docs)
    docs.backup(tmp_path / "copies" / "copy")
    first, second, third = (shard["name"] for shard in docs.shards()[:3])
    docs.close()
    shutil.rmtree(docs.path / first)
    (docs.path / second / "catalog.mdb").write_bytes(b"nothing")
    (docs.path / third / "rows.bin").unlink()
    copy = tmp_path / "copies" / "copy"
    assert set(operations.replace_shard(docs.path, first, copy / first).unchecked) == {second, third}
    assert operations.replace_shard(docs.path, second, copy / second).unchecked == (third,)
    assert operations.replace_shard(docs.path, third, copy / third).unchecked == ()
    with ramet.connect(docs.path.parent) as db:
        assert content(db.collection(docs.name)) == before and db.verify(docs.name).ok
