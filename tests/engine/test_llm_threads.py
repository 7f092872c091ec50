"""The asynchronous half of models that compute in this process."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from ramet.engine.rag.llm.protocol import Completion, InThreads
from ramet.engine.rag.prompt import Prompt

PROMPT = Prompt(system="", user="?")


class InTurn(InThreads):
    """Answers one after the other, as llama.cpp does."""

    name, overhead, count = "in turn", 0, None

    def __init__(self):
        self.turn = threading.Lock()

    def complete(self, prompt, **options):
        return list(self.stream(prompt, **options))[-1]

    def stream(self, prompt, **options):
        assert self.turn.acquire(timeout=10), "nobody gave the turn back"
        try:
            yield from "abc"
            yield Completion(text="abc", prompt_tokens=1, output_tokens=3, seconds=0.0)
        finally:
            self.turn.release()


async def text_of(llm):
    found = [piece async for piece in llm.astream(PROMPT)]
    return "".join(found[:-1])


def test_answers_wait_for_each_other_without_the_threads_of_others():
    """More answers at a time than the loop has threads: whose turn it is must find one."""

    async def work():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        llm = InTurn()
        first = llm.astream(PROMPT)
        begun = await anext(first)
        others = [asyncio.ensure_future(text_of(llm)) for _ in range(4)]
        whole = [asyncio.ensure_future(llm.acomplete(PROMPT)) for _ in range(4)]
        await asyncio.sleep(0.1)  # they wait for their turn by now
        rest = [piece async for piece in first]
        return begun + "".join(rest[:-1]), await asyncio.gather(*others), await asyncio.gather(*whole)

    first, others, whole = asyncio.run(work())
    assert first == "abc" and others == ["abc"] * 4 and [one.text for one in whole] == ["abc"] * 4


def test_an_answer_that_is_given_up_while_it_waits_gives_its_turn_back():
    async def work():
        llm = InTurn()
        with llm.turn:
            waiting = asyncio.ensure_future(text_of(llm))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.wait((waiting,))
        return await text_of(llm)

    assert asyncio.run(work()) == "abc"
