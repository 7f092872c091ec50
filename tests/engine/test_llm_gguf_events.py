"""Events of llama.cpp as a `GgufLlm` hears them; no model and no package is needed for that."""

import pytest

from ramet.engine.rag.errors import LlmRefusedError, LlmResponseError
from ramet.engine.rag.llm.gguf import _Heard


def piece(text, finish=None):
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish}]}


def test_an_answer_has_an_end():
    heard = _Heard("m")
    assert [heard.of(piece("Pa")), heard.of(piece("ris")), heard.of(piece("", "length"))] == ["Pa", "ris", ""]
    assert (heard.completion(0.1).text, heard.completion(0.1).finish) == ("Paris", "length")


def test_an_answer_that_breaks_off_is_none():
    heard = _Heard("m")
    heard.of(piece("Pa"))
    with pytest.raises(LlmResponseError, match="ended before") as caught:
        heard.completion(0.1)
    assert caught.value.partial == "Pa"


@pytest.mark.parametrize(
    "event",
    [{"error": "out of memory"}, {"error": {"message": "out of memory"}}, {"code": 5, "message": "out of memory"}],
)
def test_errors_in_any_shape_are_refusals(event):
    with pytest.raises(LlmRefusedError, match="refuses: out of memory"):
        _Heard("m").of(event)
