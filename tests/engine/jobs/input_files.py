"""Files of vectors for the tests of readers, written by the book, and blocks put together again."""

import numpy as np

WRITERS = {"npy": "<f4", "fvecs": "<f4", "bvecs": "u1", "fbin": "<f4", "u8bin": "u1", "i8bin": "i1"}


def write(kind, folder, array):
    """Write an array in one of the formats; the path."""
    path = folder / f"x.{kind}"
    if kind == "npy":
        np.save(path, array)
    elif "vecs" in kind:
        dim = np.int32(array.shape[1]).tobytes()
        path.write_bytes(b"".join(dim + row.tobytes() for row in array))
    else:
        path.write_bytes(np.array(array.shape, "<u4").tobytes() + array.tobytes())
    return path


def read(blocks):
    """Rows, vectors (None if there are none) and rejections of blocks."""
    blocks = list(blocks)
    rows = [row for block in blocks for row in block.rows.tolist()]
    parts = [block.vectors for block in blocks if block.vectors is not None]
    rejected = [one for block in blocks for one in block.rejected]
    return rows, np.concatenate(parts) if parts else None, rejected
