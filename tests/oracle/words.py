"""BM25 as it is written down, one document at a time: the oracle of keyword search."""

from collections import Counter
from math import log

K1, B = 1.5, 0.75


def bm25(words_of, query):
    """Scores of documents for a query.

    Parameters
    ----------
    words_of : dict
        key -> words of a document, all documents that count. An empty document counts, too.
    query : list of str
        Its words; one that is there twice counts twice.

    Returns
    -------
    dict
        key -> score, for the documents that have one of the words.
    """
    counts = {key: Counter(words) for key, words in words_of.items()}
    mean = sum(len(words) for words in words_of.values()) / max(1, len(words_of))
    scores = {}
    for word, weight in Counter(query).items():
        having = [key for key in counts if counts[key][word]]
        idf = log(1 + (len(words_of) - len(having) + 0.5) / (len(having) + 0.5))
        for key in having:
            n, length = counts[key][word], len(words_of[key])
            scores[key] = scores.get(key, 0.0) + weight * idf * n / (n + K1 * (1 - B + B * length / mean))
    return scores
