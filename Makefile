# Every target sets up what it needs. On a machine with Python 3.11 or newer and nothing else:
#   make demo    answers questions from real texts with citations; draws a plot of recall and latency
#   make test    runs the tests
# VENV=path uses another environment; PYTHON=path makes it with another interpreter.

VENV   ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check

.PHONY: help venv lint format test slow soak fuzz demo bench clean

help:
	@echo "make venv    make $(VENV) with the development tools"
	@echo "make lint    ruff (check and format) and mypy"
	@echo "make test    all tests"
	@echo "make slow    the tests that make test leaves out: jobs killed many times, sharded collections behind the contract suite"
	@echo "make soak    random operations on live collections, writers killed meanwhile: RAMET_SOAK_STEPS of them (20000)"
	@echo "make fuzz    schemathesis against a real server, without keys and with two: RAMET_FUZZ_EXAMPLES (100), RAMET_FUZZ_SEED"
	@echo "make demo    answers from Python's own manual with citations; then recall and latency, plot in build/demo"
	@echo "make bench   Ramet beside other libraries on real vectors; results in bench/results (compiles hnswlib)"
	@echo "make format  let ruff rewrite the files"
	@echo "make clean   remove build/ and $(VENV)"

venv: $(VENV)/.dev

$(VENV)/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: Ramet needs Python 3.11 or newer; name one with PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null \
	  || { echo "make: $(PYTHON) cannot make environments; install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"

# The stamps say which extras are in; a changed list of dependencies installs again.
$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt -e ".[dev,demo]"
	@touch "$@"

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt -e ".[demo]"
	@touch "$@"

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt -e ".[bench]"
	@touch "$@"

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python .ci/link_tree.py
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy -p bench

format: venv
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Not `python -m pytest`: it puts the repository root on the path, where `index` is a second copy of `ramet.index`.
test: venv
	$(VENV)/bin/pytest

slow: venv
	$(VENV)/bin/pytest -m slow

# The seed is printed; the same one repeats the same operations, but for the moments at which writers are killed.
RAMET_SOAK_STEPS ?= 20000
RAMET_SOAK_SEED  ?= $(shell date +%s)

soak: venv
	@echo "RAMET_SOAK_STEPS=$(RAMET_SOAK_STEPS) RAMET_SOAK_SEED=$(RAMET_SOAK_SEED)"
	RAMET_SOAK_STEPS=$(RAMET_SOAK_STEPS) $(VENV)/bin/pytest -s --timeout=0 --hypothesis-seed=$(RAMET_SOAK_SEED) \
	  tests/engine/test_live_model.py tests/engine/test_refresh.py

# A seed repeats the same requests; what is found is printed, and in build/fuzz.
RAMET_FUZZ_EXAMPLES ?= 100
RAMET_FUZZ_SEED     ?= $(shell date +%s)

fuzz: venv
	$(VENV)/bin/python -m tests.rest.fuzz --examples $(RAMET_FUZZ_EXAMPLES) --seed $(RAMET_FUZZ_SEED)

demo: $(VENV)/.demo
	$(VENV)/bin/ramet demo --dir build/demo
	$(VENV)/bin/ramet demo --dir build/demo --speed

bench: $(VENV)/.bench
	$(VENV)/bin/python -m bench ann --dataset glove50 --peers hnswlib,faiss-hnsw,faiss-ivf,usearch

clean:
	rm -rf build dist "$(VENV)"
