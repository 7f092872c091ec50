"""One `Rag` for every collection that was asked, and one language model for all of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from ramet import Collection, CostModel, Llm, Rag, llm_of

MOST = 256
"""Collections whose questions are remembered."""

OF_COLLECTION = "extractive"
"""The language model that compares by the collection's own embedder, so that every collection has its own."""


class Rags:
    """Questions to collections. Threads may share it.

    Parameters
    ----------
    llm : str
        As `ramet.llm_of` takes it. It is made here: a wrong name, a missing file or package stops the server at once.
    cost_model : Path, optional
        As ``ramet rag calibrate`` wrote it.

    Raises
    ------
    ArgumentError, MissingPackageError
    """

    def __init__(self, llm: str, cost_model: Path | None = None) -> None:
        self._llm: Llm | None = None if llm == OF_COLLECTION else llm_of(llm)
        self._costs = None if cost_model is None else CostModel.load(cost_model)
        self._known: OrderedDict[str, Rag] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, collection: Collection) -> Rag:
        """The one of a collection; another one when it was opened again or has got another embedder."""
        with self._lock:
            found = self._known.get(collection.name)
            if found is None or found.collection is not collection or found.embedder is not collection.embedder:
                found = Rag(collection, llm=self._llm, cost_model=self._costs)
                self._known[collection.name] = found
            self._known.move_to_end(collection.name)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return found

    def close(self) -> None:
        """Forget the collections, and give back what the language model holds."""
        with self._lock:
            self._known.clear()
        closing = getattr(self._llm, "close", None)
        if closing is not None:
            closing()
