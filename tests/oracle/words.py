"""Keyword search over a dict: BM25 as its formula stands, counted anew for every query."""

import math
from collections import Counter

K1, B = 1.5, 0.75


def scores(texts, query):
    """`texts`: row -> words. Row -> score of the rows that have a word of the query, a list of words."""
    n = len(texts)
    mean = sum(map(len, texts.values())) / n if n else 0
    found = {}
    for word, times in Counter(query).items():
        have = {row: words.count(word) for row, words in texts.items() if word in words}
        weight = times * math.log(1 + (n - len(have) + 0.5) / (len(have) + 0.5))
        for row, frequency in have.items():
            part = frequency / (frequency + K1 * (1 - B + B * len(texts[row]) / mean))
            found[row] = found.get(row, 0.0) + weight * part
    return found
