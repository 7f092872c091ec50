"""Selections and answers are the same, wherever the collection is."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

import ramet
from tests.contract.places import KINDS, Waited, place_of
from tests.engine.llm_server import PIECES, TEXT, LlmServer
from tests.engine.word_hash import WordHash
from tests.rest.serving import serving

TEXTS = {
    "paris": "Paris is the capital of France. It lies on the Seine. Its mayor works in the town hall.",
    "berlin": "Berlin is the capital of Germany. It lies on the Spree.",
    "rome": "Rome is the capital of Italy. The Tiber flows through it.",
}
QUESTION = "What is the capital of France?"
NEVER_SAME = ("seconds", "trace")


def fill(docs):
    dates = [{"title": name.title(), "seen": datetime(2024, 1, 31, tzinfo=UTC)} for name in TEXTS]
    docs.add_texts(list(TEXTS.values()), list(TEXTS), metadata=dates)
    docs.add_texts(["The secret capital of France is Lyon."], ["secret"], tenant="other")
    return docs


def plain(selection):
    return {name: value for name, value in selection.to_dict().items() if name not in NEVER_SAME}


@pytest.fixture
def rag(place):
    return place.rag(fill(place.with_texts("docs")))


@pytest.fixture
def own(tmp_path):
    """The same in this process, to compare with."""
    with ramet.connect(tmp_path / "own") as db:
        yield ramet.Rag(fill(db.create_collection("docs", embedder=WordHash())))


@pytest.mark.parametrize(
    "options",
    [
        {}, {"strategy": "topk"}, {"strategy": "mmr", "theta": 0.5}, {"order": "document", "widen": False},
        {"mode": "keyword"}, {"tenant": "other"}, {"tenant": ["other", "default"]}, {"where": {"title": "Rome"}},
        {"where": {"seen": {"$lt": datetime(2023, 1, 1)}}},
    ],
    ids=str,
)  # fmt: skip
def test_a_selection_is_the_engine_s(rag, own, options):
    selection = rag.select(QUESTION, 90, **options)
    assert isinstance(selection, ramet.Selection)
    assert plain(selection) == plain(own.select(QUESTION, 90, **options))
    assert selection.tokens <= 90 and str(selection) and selection.trace
    for chunk in selection.chunks:
        assert isinstance(chunk, ramet.SelectedChunk)


def test_an_answer_is_the_engine_s(rag, own):
    answer, known = rag.answer(QUESTION, 90), own.answer(QUESTION, 90)
    assert isinstance(answer, ramet.Answer) and isinstance(answer.usage, ramet.Usage)
    assert (answer.text, answer.citations, answer.finish) == (known.text, known.citations, known.finish)
    assert answer.text and answer.citations[0].document in TEXTS
    assert plain(answer.selection) == plain(known.selection)
    assert str(answer)


def test_a_stream_is_the_answer_in_pieces(rag):
    stream = rag.stream(QUESTION, tokens=90)
    assert stream.selection.ids and stream.selection.question == QUESTION
    pieces = list(stream)
    assert stream.answer.text == rag.answer(QUESTION, 90).text
    assert "".join(pieces).strip().startswith(stream.answer.text[:20])


def test_a_question_without_sources(rag):
    answer = rag.answer(QUESTION, 90, where={"title": "Nowhere"})
    assert (answer.finish, answer.in_context, answer.citations) == ("no_sources", False, ())
    stream = rag.stream(QUESTION, 90, where={"title": "Nowhere"})
    assert list(stream) and stream.answer.finish == "no_sources"


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"question": ""}, "question"), ({"question": 3}, "question"), ({"budget": 0}, "budget"),
        ({"budget": "9"}, "budget"),
        ({"strategy": "best"}, "strategy"), ({"order": "random"}, "order"), ({"mode": "sparse"}, "mode"),
        ({"where": {"x": {"$what": 1}}}, "where['x']['$what']"), ({"tenant": ""}, "tenant"), ({"budget": 3}, "budget"),
        ({"theta": 0.5}, "theta"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_argument_is_named(rag, arguments, argument):
    named = {"question": QUESTION, "budget": 90} | arguments
    for ask in (rag.select, rag.answer):
        with pytest.raises(ramet.ArgumentError) as caught:
            ask(**named)
        assert caught.value.argument == argument
    with pytest.raises(ramet.ArgumentError, match="^budget: is missing"):
        rag.answer(QUESTION)
    with pytest.raises(ramet.ArgumentError, match="^tokens: "):
        rag.answer(QUESTION, 90, tokens=90)


@pytest.fixture(params=[kind for kind in KINDS if kind != "sharded"])  # from which Rag does not answer
def asked(request, tmp_path):
    """Questions answered by a model's server; its name says how it behaves."""
    with contextlib.ExitStack() as stack:
        llm = stack.enter_context(LlmServer())

        def begin(model):
            name = f"openai:{model}@{llm.base_url}"
            folder = Path(tmp_path) / model
            if request.param == "embedded":
                db = stack.enter_context(ramet.connect(folder))
                return ramet.Rag(fill(db.create_collection("docs", embedder=WordHash())), llm=name)
            running = stack.enter_context(serving(folder, llm=name))
            fill(running.server.database.create_collection("docs", embedder=WordHash()))
            place = stack.enter_context(place_of(request.param, folder, running.url))
            return place.rag(place.db.collection("docs"))

        yield begin


def test_a_models_answer(asked):
    rag = asked("good")
    answer = rag.answer(QUESTION, 300, strategy="topk", max_tokens=50, stop=["\n\n"])
    assert answer.text == TEXT and [one.number for one in answer.citations] == [1, 2]
    assert (answer.usage.prompt_tokens, answer.usage.output_tokens) == (40, 12)
    stream = rag.stream(QUESTION, 300, strategy="topk")
    assert list(stream) == PIECES
    assert stream.answer.text == TEXT


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("status-401", ramet.LlmRefusedError),
        ("html", ramet.LlmResponseError),
        ("status-500", ramet.LlmUnavailableError),
    ],
)
def test_a_model_that_fails_leaves_what_was_selected(asked, model, kind):
    rag = asked(model)
    with pytest.raises(kind) as caught:
        rag.answer(QUESTION, 90)
    assert caught.value.selection.ids == rag.select(QUESTION, 90).ids
    stream = rag.stream(QUESTION, 90)
    with pytest.raises(kind) as caught:
        list(stream)
    assert caught.value.selection.ids == stream.selection.ids


def test_a_model_that_breaks_off_leaves_what_had_come(asked):
    stream = asked("broken-socket").stream(QUESTION, 90)
    heard = []
    with pytest.raises(ramet.LlmError) as caught:
        for piece in stream:
            heard.append(piece)
    assert heard == PIECES[:2] and caught.value.partial == "".join(heard)


def test_a_stream_may_be_left(asked):
    stream = asked("good").stream(QUESTION, 90)
    if isinstance(stream, Waited):
        assert next(iter(stream)) and stream.aclose() is None
    else:
        assert next(stream) and stream.close() is None


def test_what_the_server_chooses_cannot_be_given(place):
    if place.kind == "embedded":
        return
    docs = place.with_texts("docs")
    inner = getattr(docs, "_inner", docs)
    for name in ("llm", "embedder", "template", "reader", "cost_model"):
        with pytest.raises(ramet.ArgumentError, match=f"^{name}: .*server"):
            ramet.Rag(inner, **{name: "x"})
    with pytest.raises(ramet.ArgumentError, match="^utility: "):
        place.rag(docs).select(QUESTION, 90, utility=len)
