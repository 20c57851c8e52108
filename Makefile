# `make` lists what there is. Everything runs in .venv, made from requirements/dev.txt (versions and hashes).
# PYTHON names the interpreter; otherwise it is the newest of 3.13, 3.12, 3.11 that is here and runs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
# each worker starts engines of its own; three keep two cores busy, as tests wait for engines
WORKERS ?= 3

.PHONY: help venv demo test check bench lock clean

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

venv: $(VENV)/complete ## The virtual environment with what development needs

$(VENV)/complete: requirements/dev.txt pyproject.toml
	@tests/testbed/venv.sh "$(PYTHON)" $(VENV)

demo: venv ## Back up, lose and restore a container's volume, step by step
	@$(BIN)/python -m tests.demo

test: venv ## All tests, on private Docker engines that they start themselves
	@$(BIN)/python -m compileall -q backup transports # each of thousands of starts would, with PYTHONDONTWRITEBYTECODE
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

check: venv ## Format, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: venv ## Compare with other tools; see bench/
	@$(BIN)/python -m bench $(ARGS)

lock: ## Write requirements/dev.txt anew (needs uv)
	@uv pip compile pyproject.toml --quiet --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" -o requirements/dev.txt

clean: ## Remove what was made here, and the test bed's cache
	rm -rf .venv .venv-* .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf "$${VOLTAR_TESTBED_DIR:-/var/tmp/voltar-testbed}"/roots
