SHELL := bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: install
install: $(STAMP) ## Install everything into .venv

.PHONY: demo
demo: $(STAMP) ## Run the whole pipeline on this machine: 300 sessions, counted
	$(BIN)/faceid demo

.PHONY: test
test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

SESSIONS ?= 300
SEED ?= 1
FAULTS ?= all
WORKERS ?= 4
BROKER ?= redis

.PHONY: chaos
chaos: $(STAMP) ## Inject faults into real processes and check every promise: BROKER=redis|rabbitmq SESSIONS=5000 SEED=1 FAULTS=all|each|... WORKERS=4
	$(BIN)/python -m tests.chaos.run --broker $(BROKER) --sessions $(SESSIONS) --seed $(SEED) --faults $(FAULTS) --workers $(WORKERS)

SCALE ?= 1
SECONDS ?= 120
RATE ?= 50

.PHONY: hostile
hostile: $(STAMP) ## Attack without a secret while genuine sessions come in: SCALE=1 SECONDS=120 RATE=50
	$(BIN)/python -m tests.hostile.run --scale $(SCALE) --seconds $(SECONDS) --rate $(RATE)

.PHONY: engines
engines: $(STAMP) ## Play the same 2,000 sessions on every mix of Redis and RabbitMQ, and compare
	FACEID_TEST_SESSIONS=2000 $(BIN)/python -m pytest --quiet --capture=no tests/e2e/test_engines.py

.PHONY: check
check: $(STAMP) ## Lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

PARTS ?=
ROUNDS ?= $(if $(QUICK),1,3)
BENCH_VENV ?= .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.installed

$(BENCH_STAMP): pyproject.toml constraints.txt tests/bench/requirements.txt tests/bench/constraints.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--constraint tests/bench/constraints.txt --requirement tests/bench/requirements.txt --editable '.[dev]'
	@touch $@

.PHONY: bench
bench: $(BENCH_STAMP) ## Measure beside the peers: PARTS=ingress,queue,whole,latency,growth,network,clients,profile ROUNDS=3 QUICK=1
	$(BENCH_VENV)/bin/python -m tests.bench.install
	$(BENCH_VENV)/bin/python -m pytest tests/bench/check_peers.py --quiet --numprocesses 2
	$(BENCH_VENV)/bin/python -m tests.bench.run --rounds $(ROUNDS) $(if $(PARTS),--parts $(PARTS)) $(if $(QUICK),--quick)

.PHONY: fuzz
fuzz: $(STAMP) ## Post hostile bodies to the verifier and the pipeline, and compare payload readers
	$(BIN)/python -m tests.fuzz.verifier
	$(BIN)/python -m tests.fuzz.payload_readers
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	@if $(BIN)/python -c 'import atheris' 2>&-; then $(BIN)/python -m tests.fuzz.guided; else echo 'no atheris here'; fi
	$(BIN)/python -m tests.fuzz.pipeline

.PHONY: contract
contract: $(STAMP) ## Write what consumers rely on: schemas, AsyncAPI document, golden messages
	$(BIN)/python -m deploy.contract

.PHONY: reference
reference: $(STAMP) ## Write the generated parts of docs/reference
	$(BIN)/python -m deploy.reference

WHEEL := build/wheel
CLEAN := build/clean

.PHONY: package
package: $(STAMP) ## Build the wheel, install it into a clean environment, and run the demo from there
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(WHEEL) .
	$(PYTHON) -m venv $(CLEAN)
	$(CLEAN)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(WHEEL)/*.whl
	cd $(CLEAN) && bin/faceid demo --folder "$$PWD/demo"

.PHONY: fmt
fmt: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: clean
clean: ## Remove what was installed and built
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
