"""An embedder of the tests with a vector for every word of a text, which depends on its neighbours a little."""

import numpy as np

from tests.engine.word_hash import WordHash


class WordTokens(WordHash):
    """As `WordHash`, and each word is a token.

    Parameters
    ----------
    width : int
        Dimension of the vectors of tokens.
    """

    gives_tokens = True

    def __init__(self, kind="plain", max_tokens=64, width=80):
        super().__init__(kind, max_tokens)
        self.width = width

    def _tokens(self, text):
        words = text.lower().replace("?", " ?").split()
        own = np.array([np.resize(self._word(word), self.width) for word in words]).reshape(len(words), self.width)
        return (own + 0.05 * own.mean(axis=0, keepdims=True)).astype(np.float32) if words else own.astype(np.float32)

    def embed_documents_with_tokens(self, texts):
        return self._embed(texts), [self._tokens(text) for text in texts]

    def embed_question_with_tokens(self, text):
        return self._embed([text])[0], self._tokens(text), text.lower().replace("?", " ?").split()
