"""Records with texts and metadata: search them by words, by vectors, by both, among those that match a filter.

usage: python examples/words_and_filters.py [DIR]      DIR: where the database goes (default: data)
"""

import sys

import numpy as np

import ramet

PAPERS = [
    ("rice", "Phosphate uptake in rice roots", {"lang": "en", "year": 2021, "tags": ["soil", "plants"]}),
    ("maize", "Maize roots and the fungi that feed them phosphate", {"lang": "en", "year": 2015, "tags": ["soil"]}),
    ("rivers", "How rivers carry phosphate to the sea", {"lang": "en", "year": 2011, "tags": ["water"]}),
    ("reis", "Phosphat im Reis", {"lang": "de", "year": 2023, "tags": ["plants"]}),
]


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else "data"
    # Stand-ins for embeddings: with a model, create_collection(embedder=...) and add_texts make them of the texts.
    vectors = np.random.default_rng(0).standard_normal((len(PAPERS), 32))
    ids, texts, fields = zip(*PAPERS, strict=True)

    with ramet.connect(directory) as db:
        docs = db.create_collection("papers", dim=32, language="en")
        docs.upsert(ids, vectors, documents=texts, metadata=fields)

        print("by words:", docs.query(text="phosphate for the root", mode="keyword").ids)
        print("by a vector:", docs.query(vectors[1], k=2).ids)
        print("by both:", docs.query(vectors[1], k=2, text="rivers", mode="hybrid").ids)

        hits = docs.query(vectors[1], where={"tags": "plants", "year": {"$gte": 2020}}, explain=True)
        for hit in hits:
            print(f"{hit.id:8} {hit.distance:.3f}  {hit.document}  {hit.metadata}")
        print(hits.explanation)

        page = docs.get(where={"lang": "en"}, limit=2)
        while page:
            print("page:", [record.id for record in page])
            page = docs.get(where={"lang": "en"}, limit=2, cursor=page.cursor) if page.cursor else []


if __name__ == "__main__":
    main()
