# Everything runs in .venv, which the first target that needs it makes. Start with `make help`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_FLAGS := -q --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slurm lint types format clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

lint: $(STAMP)  ## check style and formatting
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

format: $(STAMP)  ## repair what the linter can, and format
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

types: $(STAMP)  ## check the type annotations
	$(BIN)/python -m mypy

clean:  ## remove caches; .venv, data and runs stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache build *.egg-info
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +
