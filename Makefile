# wattshift: `make help` lists the targets. Everything is installed into .venv and ~/.cache/wattshift.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SITES ?= 3
# Workers for tests/, which mostly wait for servers; 0 = everything one at a time.
WORKERS ?= 3

.PHONY: help setup lint test test-fast fuzz e2e kind demo lab lab-down bench bench-quick bench-control generate verify chart image lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; found $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing the pinned dependencies into $(VENV) (about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(VENV)/.installed ## install the project and its tools into .venv

lint: setup ## ruff, mypy --strict and the import contracts
	@$(BIN)/ruff check operator tests e2e scripts
	@$(BIN)/ruff format --check operator e2e scripts tests
	@$(BIN)/mypy operator/wattshift scripts e2e
	@$(BIN)/lint-imports --no-logo --cache-dir .import_linter_cache

test: setup ## everything that has to pass: lint, drift, all tests, the gate on decisions; builds the lab's binaries once
	@$(BIN)/python -m e2e.lab binaries
	@WORKERS=$(WORKERS) $(BIN)/python scripts/run_tests.py

test-fast: setup ## only what needs no API server
	@$(BIN)/python -m pytest -q -m "not lab and not engine and not e2e and not kind" tests

fuzz: setup ## property tests with new random examples (a failure prints how to repeat it)
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -q -m "not lab and not engine and not e2e and not kind" tests -n $(WORKERS)

e2e: setup ## the whole-product scenarios on three real API servers
	@$(BIN)/python -m pytest -q -m e2e e2e

kind: setup ## install and one scale on real kind clusters (needs Docker and kind)
	@$(BIN)/python -m pytest -q -m kind e2e

demo: setup ## three sites, a day of power signals, live; ends with a report (DEMO_KEEP=1 leaves it running)
	@$(BIN)/python -m e2e.demo

lab: setup ## start a lab and leave it running (SITES=3); `make lab-down` stops it
	@$(BIN)/python -m e2e.lab up --sites $(SITES)

lab-down: setup ## stop the lab
	@$(BIN)/python -m e2e.lab down

bench: setup ## decisions: all policies on all scenarios; JSON in bench-results/, goes on where it stopped (WATTSHIFT_DATA=folder)
	@$(BIN)/python -m e2e.bench.decisions $(BENCH_FLAGS)

bench-quick: setup ## gate on decision quality (also in make test): the small scenarios against e2e/bench/gate.yaml
	@$(BIN)/python -m e2e.bench.gate

bench-control: setup ## control plane: API writes, start, plan time, memory; JSON in bench-results/
	@$(BIN)/python -m e2e.bench.control

generate: setup ## CRDs, references and tables from the code
	@$(BIN)/python scripts/generate.py

verify: setup ## fail when a generated file is not what the code gives
	@$(BIN)/python scripts/generate.py --check

chart: setup ## render and lint the chart
	@$(BIN)/python -m e2e.lab.install lint charts/wattshift

image: ## build the container image (needs Docker); IMAGE=wattshift:dev BASE_IMAGE=... BUILD_FLAGS=...
	docker build -f Containerfile -t $${IMAGE:-wattshift:dev} $${BUILD_FLAGS:-} $${BASE_IMAGE:+--build-arg BASE_IMAGE=$$BASE_IMAGE} \
	  --build-arg VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' operator/wattshift/__init__.py) \
	  --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

lock: setup ## renew requirements/*.txt (pinned and hashed) from pyproject.toml
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links -o requirements/image.txt pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --extra test --extra lint -o requirements/dev.txt pyproject.toml requirements/build.in
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links -o requirements/build.txt requirements/build.in

clean: ## remove what was made here (the lab's binaries stay in ~/.cache/wattshift)
	rm -rf $(VENV) build dist bench-results demo-report .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
