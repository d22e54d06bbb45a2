# Everything runs in .venv, which the first target that needs it makes. Start with `make help`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_FLAGS := -q --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slurm test-wheel docs bench bench-gpu results lint types format clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP)  ## make .venv and install the package and its tools into it

# The stamp is written last, so an install that was cut short is taken up again by the next call.
$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found; name another one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "chimeramix needs Python >= 3.10, but $(PYTHON) is $$($(PYTHON) -V 2>&1);" \
			"name another one: make PYTHON=python3.12" >&2; exit 1; }
	@rm -f $@
	@echo "Installing into $(VENV) (once; PyTorch is large, so this can take some minutes)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) -e ".[dev]"
	@touch $@

demo: $(STAMP)  ## train ChimeraMix and a baseline on handwritten digits (minutes on a CPU)
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

# One thread per worker: several processes with a thread per core each get in each other's way.
test: $(STAMP)  ## run the tests, in parallel; ARGS="..." goes to pytest
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

# Errors while the cluster is taken down hide no result.
test-slurm: $(STAMP)  ## run both sweeps on a real Slurm of two nodes, started here (Debian or Ubuntu, root)
	@bash tests/slurm/cluster down
	@conf=$$(bash tests/slurm/cluster up) || exit 1; \
	CHIMERAMIX_TEST_SLURM=1 SLURM_CONF=$$conf $(BIN)/python -m pytest tests/slurm -s $(ARGS); \
	status=$$?; bash tests/slurm/cluster down; exit $$status

# What a user gets: the wheel of the sdist, its dependencies fresh from the package index, and no repository around.
test-wheel: $(STAMP)  ## install the built wheel into a fresh environment and use its commands (downloads PyTorch)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && set -e && \
	$(BIN)/python -m build --outdir "$$folder/dist" . >"$$folder/log" 2>&1 || { cat "$$folder/log" >&2; exit 1; } && \
	$(BIN)/python -m venv "$$folder/venv" && \
	"$$folder/venv/bin/python" -m pip install $(PIP_FLAGS) "$$(ls "$$folder"/dist/*.whl)[train,onnx]" && \
	CHIMERAMIX_TEST_WHEEL="$$folder/venv/bin" $(BIN)/python -m pytest tests/packaging -s $(ARGS)

docs: $(STAMP)  ## build the documentation site in docs/_build; warnings are errors
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . docs/_build

BENCH = $(BIN)/python -m benchmarks
GPU = --device cuda --precision bf16 --compile

# Alone on the machine: what else runs is measured, too.
bench: $(STAMP)  ## measure on this CPU (about 40 minutes); results go to benchmarks/results/
	$(BENCH).start
	$(BENCH).loader
	$(BENCH).steps
	$(BENCH).steps --precision bf16
	$(BENCH).steps --compile true --rounds 3
	$(BENCH).steps --precision bf16 --compile true --rounds 3
	$(BENCH).profile
	$(BENCH).profile --precision bf16
	$(BENCH).recipes
	$(BENCH).scaling
	$(BENCH).mixers
	$(BENCH).report
	$(BENCH).packing

results: $(STAMP)  ## write the tables and plots of docs/results.md and README.md from results/
	$(BIN)/python -m tools.results

bench-gpu: $(STAMP)  ## measure on this CUDA GPU: steps, whole recipes, five seeds at once, growth, profiles
	for mode in false true graphs full; do $(BENCH).steps $(GPU) $$mode || exit 1; done
	$(BENCH).steps --device cuda --precision tf32 --compile graphs
	$(BENCH).profile $(GPU) graphs
	$(BENCH).profile $(GPU) full
	$(BENCH).recipes $(GPU) full --whole --methods chimeramix_segmentation --datasets cifair10 stl10
	$(BENCH).recipes $(GPU) full
	$(BENCH).scaling $(GPU) full
	$(BENCH).loader --device cuda
	$(BENCH).mixers --device cuda
	$(BENCH).packing --device cuda --runs 5 --pack 1 5 -- model=wideresnet_16_8 epochs=200 \
		machine.precision=bf16 machine.compile=full

lint: $(STAMP)  ## check style and formatting
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

format: $(STAMP)  ## repair what the linter can, and format
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

types: $(STAMP)  ## check the type annotations
	$(BIN)/python -m mypy

clean:  ## remove caches; .venv, data and runs stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache build dist docs/_build *.egg-info
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +
