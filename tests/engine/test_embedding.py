"""Embedders: order, lengths, prefixes, what their identity stands for, and that a folder is enough."""

import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.engine.embedding import Embedder, TextEmbedder
from ramet.engine.embedding_static import StaticEmbedder
from ramet.engine.errors import ArgumentError, MissingPackageError
from tests.engine.models import MAX_TOKENS, bert_model, static_model

# transformers and torch announce what will change in versions to come when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TEXTS = ["the quick brown fox", "", "dog", "a lazy dog jumps over the river " * 9, "stone", "Fox, of the STONE!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return bert_model(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def static_folder(tmp_path_factory):
    return static_model(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module", params=["transformer", "static"])
def kind(request, folder, static_folder):
    """Class, folder of a model, and a maker of models."""
    return {
        "transformer": (Embedder, folder, bert_model),
        "static": (StaticEmbedder, static_folder, static_model),
    }[request.param]


@pytest.fixture(scope="module")
def embedder(kind):
    return kind[0](kind[1])


def test_both_are_embedders(embedder):
    assert isinstance(embedder, TextEmbedder)
    assert embedder.dim == 16
    assert embedder.max_tokens in (MAX_TOKENS, None)


def test_vectors_come_in_the_order_of_the_texts_whatever_the_batch(kind, embedder):
    together = embedder.embed_documents(TEXTS)
    assert together.dtype == np.float32
    assert together.shape == (len(TEXTS), 16)
    for batch_size in (1, 2, 64):
        again = kind[0](kind[1], batch_size=batch_size).embed_documents(TEXTS)
        np.testing.assert_allclose(again, together, atol=1e-5)
    alone = np.concatenate([embedder.embed_documents([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_no_texts_are_no_vectors(embedder):
    for vectors in (embedder.embed_documents([]), embedder.embed_queries([])):
        assert vectors.shape == (0, 16)
        assert vectors.dtype == np.float32
    assert embedder.count_tokens([]) == []


def test_vectors_have_length_one_unless_told_otherwise(kind, embedder):
    texts = [text for text in TEXTS if text]
    raw = kind[0](kind[1], normalize=False).embed_documents(texts)
    lengths = np.linalg.norm(raw, axis=1)
    assert (abs(lengths - 1) > 0.01).all()
    np.testing.assert_allclose(embedder.embed_documents(texts), raw / lengths[:, None], atol=1e-5)


def test_a_prefix_is_put_before_the_text_and_only_of_its_side(kind, embedder):
    prefixed = kind[0](kind[1], query_prefix="query: ", document_prefix="passage: ")
    texts = ["the fox", "river"]
    for vectors, prefix in ((prefixed.embed_queries(texts), "query: "), (prefixed.embed_documents(texts), "passage: ")):
        np.testing.assert_allclose(vectors, embedder.embed_documents([prefix + text for text in texts]), atol=1e-5)
        assert not np.allclose(vectors, embedder.embed_documents(texts), atol=1e-3)
    np.testing.assert_array_equal(embedder.embed_queries(texts), embedder.embed_documents(texts))


def test_the_model_says_its_own_prefixes_unless_told_otherwise(tmp_path, folder):
    own = Embedder(bert_model(tmp_path, prompts={"query": "query: ", "passage": "passage: "}))
    told = Embedder(folder, query_prefix="query: ", document_prefix="passage: ")
    without = Embedder(tmp_path / "model", query_prefix="", document_prefix="")
    for left, right in ((own, told), (without, Embedder(folder))):
        assert left.identity == right.identity
        np.testing.assert_array_equal(left.embed_queries(["fox"]), right.embed_queries(["fox"]))
        np.testing.assert_array_equal(left.embed_documents(["fox"]), right.embed_documents(["fox"]))


def test_token_counts_are_those_that_the_model_reads(folder):
    plain, prefixed = Embedder(folder), Embedder(folder, document_prefix="passage: ")
    texts = ["", "fox", "the fox", "xyz", "fox " * 100]
    assert plain.count_tokens(texts) == [2, 3, 4, 5, 102]
    assert prefixed.count_tokens(texts) == [4, 5, 6, 7, 104]


def test_static_token_counts_have_no_special_tokens_and_include_unknown_ones(static_folder):
    assert StaticEmbedder(static_folder).count_tokens(["", "the fox", "xyz", "狐"]) == [0, 2, 3, 1]


def test_what_is_beyond_the_most_tokens_is_not_read(folder):
    embedder = Embedder(folder)
    words = ["fox", "dog"] * MAX_TOKENS
    read = embedder.max_tokens - 2
    whole, cut, shorter = (" ".join(words[:n]) for n in (len(words), read, read - 1))
    vectors = embedder.embed_documents([whole, cut, shorter])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert not np.allclose(vectors[1], vectors[2], atol=1e-4)
    assert embedder.count_tokens([cut]) == [embedder.max_tokens]


def test_static_embedders_read_texts_whole(static_folder):
    embedder = StaticEmbedder(static_folder)
    vectors = embedder.embed_documents(["fox " * 600, "fox " * 600 + "dog " * 600])
    assert not np.allclose(vectors[0], vectors[1], atol=1e-2)


def test_progress_counts_up_to_all_texts(kind):
    seen = []
    kind[0](kind[1], batch_size=4, progress=lambda *done: seen.append(done)).embed_documents(TEXTS)
    assert seen == [(4, 6), (6, 6)]


def test_threads_may_share_one(embedder):
    expected = embedder.embed_documents(TEXTS)
    counts = embedder.count_tokens(TEXTS)
    wrong = []

    def work():
        for _ in range(10):
            if not np.allclose(embedder.embed_documents(TEXTS), expected, atol=1e-5):
                wrong.append("vectors")
            if embedder.count_tokens(TEXTS) != counts:
                wrong.append("counts")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Identity


def test_identity_is_of_the_content_and_not_of_the_path(kind, embedder, tmp_path):
    cls, folder, _ = kind
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert cls(tmp_path / "elsewhere").identity == embedder.identity
    assert cls(str(tmp_path / "elsewhere"), batch_size=7).identity == embedder.identity
    assert embedder.identity.isascii() and len(embedder.identity) <= 80


def test_identity_is_another_one_for_other_weights_prefixes_and_normalisation(kind, embedder, tmp_path):
    cls, folder, make = kind
    others = [
        cls(make(tmp_path, seed=1)), cls(folder, normalize=False), cls(folder, query_prefix="q: "),
        cls(folder, document_prefix="q: "),
    ]  # fmt: skip
    assert len({embedder.identity, *(other.identity for other in others)}) == 5
    model = embedder.identity.rsplit(":", 1)[0]
    assert [other.identity.rsplit(":", 1)[0] == model for other in others] == [False, True, True, True]


def test_identity_is_another_one_for_another_pooling_and_another_limit(folder, tmp_path):
    identities = {Embedder(folder).identity, Embedder(bert_model(tmp_path, pooling="cls")).identity}
    shutil.copytree(folder, tmp_path / "shorter")
    for file in (tmp_path / "shorter").rglob("*.json"):
        settings = json.loads(file.read_text())
        if isinstance(settings, dict) and "max_seq_length" in settings:
            file.write_text(json.dumps({**settings, "max_seq_length": 8}))
        elif "model_max_length" in settings:
            file.write_text(json.dumps({**settings, "model_max_length": 8}))
    shorter = Embedder(tmp_path / "shorter")
    assert shorter.max_tokens == 8
    assert len({*identities, shorter.identity}) == 3


def test_identity_stays_when_the_model_is_saved_in_another_format(folder, tmp_path):
    import torch
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(folder), device="cpu").save(str(tmp_path / "again"), create_model_card=False)
    shutil.copytree(folder, tmp_path / "bin")
    torch.save(load_file(folder / "model.safetensors"), tmp_path / "bin" / "pytorch_model.bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    identity = Embedder(folder).identity
    assert [Embedder(tmp_path / name).identity for name in ("again", "bin")] == [identity] * 2


def test_identity_is_another_one_for_another_vocabulary(static_folder, tmp_path):
    shutil.copytree(static_folder, tmp_path / "other")
    file = tmp_path / "other" / "tokenizer.json"
    tokenizer = json.loads(file.read_text("utf-8"))
    tokens = tokenizer["model"]["vocab"]
    tokens["fox"], tokens["dog"] = tokens["dog"], tokens["fox"]
    file.write_text(json.dumps(tokenizer), "utf-8")
    assert StaticEmbedder(tmp_path / "other").identity != StaticEmbedder(static_folder).identity


# Where models come from

RUN = """
import json, sys
import numpy as np
import socket

def refuse(*args, **kwargs):
    print("network", args, file=sys.stderr)
    raise OSError("no network")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
from ramet.engine.{module} import {cls}
embedder = {cls}({model!r})
print(json.dumps([embedder.identity, embedder.embed_documents(["the fox"]).tolist()]))
"""


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_folder_needs_no_network_and_says_nothing(kind, embedder, tmp_path):
    cls, folder, _ = kind
    code = RUN.format(module=cls.__module__.rsplit(".", 1)[1], cls=cls.__name__, model=str(folder))
    done = run(code, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0")
    identity, vectors = json.loads(done.stdout)
    assert identity == embedder.identity
    np.testing.assert_allclose(vectors, embedder.embed_documents(["the fox"]), atol=1e-6)
    assert "network" not in done.stderr and "Loading" not in done.stderr


def test_a_name_is_found_in_the_local_cache(kind, embedder, tmp_path):
    cls, folder, _ = kind
    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(folder, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    code = RUN.format(module=cls.__module__.rsplit(".", 1)[1], cls=cls.__name__, model="someone/tiny")
    done = run(code, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert json.loads(done.stdout)[0] == embedder.identity


@pytest.mark.parametrize("cls", [Embedder, StaticEmbedder])
def test_what_is_no_model_is_refused_by_name(cls, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    for model, problem in (
        (tmp_path / "none", "there is no folder"),
        (str(tmp_path / "none"), "there is no folder"),
        ("./none", "there is no folder"),
        ("a/b/c", "there is no folder"),
        (tmp_path / "empty", "holds no model"),
        (tmp_path / "broken", "cannot be loaded"),
        ("", "must be a name or a path"),
        (7, "must be a name or a path"),
    ):
        with pytest.raises(ArgumentError, match=problem) as error:
            cls(model)
        assert error.value.argument == "model"


@pytest.mark.parametrize(
    ("cls", "package", "extra"),
    [
        ("embedding.Embedder", "sentence_transformers", "text"),
        ("embedding.Embedder", "torch", "text"),
        ("embedding_static.StaticEmbedder", "model2vec", "light"),
    ],
)
def test_a_missing_package_names_the_extra(cls, package, extra, folder):
    module, name = cls.split(".")
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from ramet.engine.{module} import {name}\n"
        f"try: {name}({str(folder)!r})\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    out = run(code).stdout
    assert out.startswith("MissingPackageError ")
    assert f'pip install "ramet[{extra}]"' in out


def test_the_error_of_a_missing_package_survives_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(MissingPackageError("model2vec", "light")))
    assert (error.package, error.extra) == ("model2vec", "light")


def test_nothing_heavy_is_imported_before_an_embedder_is_made():
    heavy = ("torch", "transformers", "sentence_transformers", "model2vec", "tokenizers", "huggingface_hub", "semchunk")
    code = (
        "import sys, ramet\nramet.Embedder, ramet.StaticEmbedder, ramet.chunk\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert run(code).stdout.strip() == "[]"


# Arguments


@pytest.mark.parametrize(
    ("texts", "argument"),
    [("fox", "texts"), (b"fox", "texts"), (7, "texts"), (["fox", 7], "texts[1]"), (["\ud800"], "texts[0]")],
)
def test_texts_that_are_none_are_refused(embedder, texts, argument):
    for call in (embedder.embed_documents, embedder.embed_queries, embedder.count_tokens):
        with pytest.raises(ArgumentError) as error:
            call(texts)
        assert error.value.argument == argument


def test_wrong_settings_are_refused(kind):
    cls, folder, _ = kind
    for settings in ({"batch_size": 0}, {"batch_size": 1.5}, {"query_prefix": 7}, {"document_prefix": b"x"}):
        with pytest.raises(ArgumentError) as error:
            cls(folder, **settings)
        assert error.value.argument in settings


@given(st.lists(st.text(max_size=60), max_size=6))
def test_any_text_has_a_finite_vector_and_a_count(embedder, texts):
    vectors = embedder.embed_documents(texts)
    assert vectors.shape == (len(texts), 16)
    assert np.isfinite(vectors).all()
    lengths = np.linalg.norm(vectors, axis=1)
    assert ((abs(lengths - 1) < 1e-4) | (lengths == 0)).all()
    assert len(embedder.count_tokens(texts)) == len(texts)
