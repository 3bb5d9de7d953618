# Ratchet. `make` lists what there is.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status test fast check bench bench-shield bench-frog bench-probes bench-recovery lock clean

help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## create .venv from requirements.lock (every hash is checked)

# uv comes out of the lock first, because it installs the rest in seconds; pip is the fallback.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 14) else f"Python {v[0]}.{v[1]} found; Ratchet needs 3.11 to 3.13. Try: make PYTHON=python3.11 setup")'
	$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: setup  ## run the loop over real flights, three damaged weeks included (3 minutes)
	$(BIN)/ratchet demo

up: setup  ## start PostgreSQL, S3, MLflow, Prefect and a worker on this machine; prints where they are
	@$(BIN)/python -m infra.local up

down: setup  ## stop them; data stay
	@$(BIN)/python -m infra.local down

status: setup  ## what of them runs
	@$(BIN)/python -m infra.local status

test: setup  ## run every test, with coverage of ratchet/
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term --cov-fail-under=95

fast: setup  ## run the tests that take seconds
	$(BIN)/python -m pytest -n 2 -m "not slow"

check: setup  ## lint, types, layers, lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@! grep -nE '(https?://|--(extra-)?index-url|--find-links)' requirements.lock || { echo "requirements.lock names an address: make it with 'make lock'"; exit 1; }

bench: setup  ## one cycle against its physical limit
	$(BIN)/python -m benchmarks.cycle

bench-shield: setup  ## attacks against the shield and its peers, on three streams (half an hour)
	$(BIN)/python -m benchmarks.shield

bench-frog: setup  ## labels that go bad slowly, through the whole loop, with and without the shield (10 minutes)
	$(BIN)/python -m benchmarks.frog

bench-probes: setup  ## backdoors inside a trained candidate, on three streams (20 minutes)
	$(BIN)/python -m benchmarks.probes

bench-recovery: setup  ## kill -9 of each member of the stack in the middle of a cycle (15 minutes)
	$(BIN)/python -m benchmarks.recovery

lock: setup  ## resolve the dependencies again into requirements.lock
	@echo 'nvidia-nccl-cu12; sys_platform == "never"' > $(VENV)/override.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  --all-extras --override $(VENV)/override.txt pyproject.toml --output-file requirements.lock

clean:  ## remove the environment, caches and everything the demo made
	rm -rf $(VENV) .ratchet landing/flights .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
