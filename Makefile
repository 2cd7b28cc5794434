# `make run` and `make test` are all a newcomer needs; each prepares what it stands on.
PYTHON ?= $(shell command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Set in many a container, it would have each of the processes that these commands start compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test bench profile lint format lock clean

help:  ## Show this help.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## Make the environment in .venv from the hash-locked requirements.

$(READY): requirements/development.lock pyproject.toml .python-version
	@$(PYTHON) -c 'import sys; sys.exit("The Plugs needs Python 3.12 or newer; this is " + sys.version.split()[0] if sys.version_info < (3, 12) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/development.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY)  ## Start everything: PostgreSQL, Redis, migrations, demo data, API and worker.
	@exec $(BIN)/plugs up

test: $(READY)  ## Run every test on real PostgreSQL and Redis.
	@$(BIN)/pytest

PEERS := .venv-bench/.ready

$(PEERS): tests/bench/peers/requirements.lock
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	@touch $@

bench: $(READY) $(PEERS)  ## Measure against the floor and the seed stack; writes docs/performance.*
	@PYTHONPATH=. $(BIN)/python -m tests.bench $(ARGS)

ROUTE ?= /api/v1/networking/contacts?limit=20

profile: $(READY) $(PEERS)  ## Sample where the time of ROUTE goes, under load.
	@PYTHONPATH=. $(BIN)/python -m tests.bench.profile '$(ROUTE)' $(ARGS)

lint: $(READY)  ## Check style, types and boundaries.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)  ## Format the code.
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lock:  ## Resolve the requirements anew (needs uv).
	uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header --no-annotate --no-emit-index-url pyproject.toml --output-file requirements/production.lock
	uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header --no-annotate --no-emit-index-url --extra dev pyproject.toml --output-file requirements/development.lock
	uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header --no-annotate --no-emit-index-url requirements/build.in --output-file requirements/build.lock
	uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header --no-annotate --no-emit-index-url tests/bench/peers/requirements.in --output-file tests/bench/peers/requirements.lock

clean:  ## Remove the environment and the local data.
	rm -rf $(VENV) .venv-bench .plugs
