"""What schemathesis has to be told: how bodies of bytes look. Loaded by it, in its own process."""

import io
import json

import numpy as np
import schemathesis
from hypothesis import strategies as st

from ramet.api.rest.wire import ARROW, NPY

DIM = 3

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
fields = st.dictionaries(st.sampled_from(["year", "lang"]), st.integers(1900, 2100) | names, max_size=2)


@st.composite
def records(draw):
    """Ids, vectors, and what may come with them."""
    ids = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    n = len(ids)
    vectors = np.array(draw(st.lists(st.floats(0.125, 1, width=32), min_size=DIM * n, max_size=DIM * n)), np.float32)
    tail = {"ids": ids}
    if draw(st.booleans()):
        tail["documents"] = draw(st.lists(st.none() | names, min_size=n, max_size=n))
    if draw(st.booleans()):
        tail["metadata"] = draw(st.lists(st.none() | fields, min_size=n, max_size=n))
    return vectors.reshape(n, DIM), tail


@st.composite
def npy_bodies(draw):
    """Vectors with JSON behind them: of records, of queries, of nothing; some of them damaged."""
    vectors, tail = draw(records())
    file = io.BytesIO()
    np.save(file, vectors.astype(draw(st.sampled_from(["<f4", "<f8", "<f2", "|i1", "<i8"]))))
    rest = draw(st.sampled_from(["records", "query", "nothing"]))
    said = {"records": tail, "query": {"k": draw(st.integers(1, 5)), "exact": True}}.get(rest)
    return damaged(draw, file.getvalue() + (b"" if said is None else json.dumps(said).encode()))


@st.composite
def arrow_bodies(draw):
    """An Arrow stream of records; some of them damaged."""
    import pyarrow as pa

    vectors, tail = draw(records())
    columns = {"id": pa.array(tail["ids"]), "vector": pa.array(vectors.tolist(), pa.list_(pa.float32(), DIM))}
    if "documents" in tail:
        columns["document"] = pa.array(tail["documents"], pa.string())
    if "metadata" in tail:
        texts = [None if one is None else json.dumps(one) for one in tail["metadata"]]
        columns["metadata"] = pa.array(texts, pa.string())
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return damaged(draw, sink.getvalue().to_pybytes())


def damaged(draw, body):
    """The body, or what is left of it after a cut or with other bytes."""
    match draw(st.sampled_from(["whole", "whole", "whole", "cut", "changed"])):
        case "cut":
            return body[: draw(st.integers(0, len(body)))]
        case "changed":
            at = draw(st.integers(0, len(body) - 1))
            return body[:at] + draw(st.binary(min_size=1, max_size=8)) + body[at + 1 :]
    return body


schemathesis.openapi.media_type(NPY, npy_bodies())
schemathesis.openapi.media_type(ARROW, arrow_bodies())


@schemathesis.check
def described_json_is_understood(ctx, response, case):
    """JSON of the form that is described is no 422, also where a body may be bytes."""
    meta = case.meta
    if meta is not None and meta.generation.mode.is_positive and case.media_type == "application/json":
        assert response.status_code != 422, f"refused although it has the form described: {response.text}"


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Spare what all other requests are about: once it is deleted, they all find nothing."""
    spared = {"deleteCollection": {"name": ("books",)}, "dropTenant": {"tenant": ("default", "acme")}}
    for name, values in spared.get(case.operation.definition.raw.get("operationId"), {}).items():
        if (case.path_parameters or {}).get(name) in values:
            case.path_parameters[name] = "spare"
