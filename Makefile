SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
READY := $(VENV)/.ready
TORCH ?=
INDEX := $(if $(filter cpu,$(TORCH)),--extra-index-url https://download.pytorch.org/whl/cpu)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt $(INDEX)
PARALLEL := --numprocesses auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup ui search gpu-check test lint types contract unit fast clean

help:  ## Show this help
	@echo "macrotune: hyper-parameter search for image classifiers, scored by macro-F1"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS='--data DIR --trials 30' is passed on to search/run.py by make search, to search/serve.py by make ui, to pytest by make test."
	@echo "  TORCH=cpu, the first time, installs torch without CUDA."

setup: $(READY)  ## Make .venv and install everything (redone when setup.cfg or constraints.txt changed)

ui: $(RUNTIME)  ## Set up if needed, then serve the page about all runs (ARGS: --port 8470 and more)
	$(BIN)/python -c "import nicegui, aiohttp_cors" 2> /dev/null || $(PIP) --editable ".[ui]"
	$(BIN)/python search/serve.py $(ARGS)

search: $(RUNTIME)  ## Set up if needed, then search efficientnet on the built-in data for five minutes (ARGS: flags in place of --time-budget 5m)
	$(BIN)/python search/run.py --space efficientnet $(or $(ARGS),--time-budget 5m)

gpu-check: $(READY)  ## On a machine with a GPU: the CUDA tests and ten minutes of numbers (results/benchmarks/gpu.md)
	$(BIN)/python scripts/benchmarks/gpu_check.py $(ARGS)

test: lint types contract unit  ## Set up if needed, then checks and tests (ARGS: --long for those that CI adds)

lint: $(READY)  ## ruff and ruff-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy
	$(BIN)/mypy

contract: $(READY)  ## Who may import whom
	$(BIN)/lint-imports --no-cache

unit: $(READY)  ## The tests, in two processes
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

fast: $(READY)  ## The tests that need no Ray and no long training
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(ARGS)

clean:  ## Remove .venv and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

$(RUNTIME): setup.cfg constraints.txt pyproject.toml
	@echo "Setting up $(VENV) with what a search needs: some minutes the first time (TORCH=cpu leaves CUDA out)"
	$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) --editable ".[weights]"
	touch $@

$(READY): $(RUNTIME)
	@echo "Adding what the tests need"
	$(PIP) --quiet --editable ".[dev,weights,onnx,ui]"
	touch $@
