# The commands people, CI and acceptance use. Each makes the environment it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: demo demo-import demo-rehearsal up cluster test test-fast coverage mutate lint bench render lock clean
.DEFAULT_GOAL := demo

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"roundsman needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo "Making the environment in $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@# The lock is whole: with --no-deps it is all that is installed, and older versions of pip agree.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip check --disable-pip-version-check
	@# The command, as an installed package has it.
	@printf '#!/bin/sh\nPYTHONPATH="%s$${PYTHONPATH:+:$$PYTHONPATH}" exec "%s/python" -m roundsman "$$@"\n' \
	  "$$PWD" "$$(cd $(BIN) && pwd)" > $(BIN)/roundsman && chmod +x $(BIN)/roundsman
	@touch $@

demo: $(STAMP) ## a round of the demo site: origin, edge and Prefect server, all embedded
	@$(BIN)/python -m deployments.demo

demo-import: $(STAMP) ## a feed is imported, the import killed and run again: nothing is lost, doubled, or purged in vain
	@$(BIN)/python -m deployments.demo.importing

demo-rehearsal: $(STAMP) ## a release goes out, comes back and goes out again; then one whose rollback does not work is found
	@$(BIN)/python -m deployments.demo.rehearsing

up: $(STAMP) ## server, worker, deployments, board and demo site in one terminal; Ctrl-C lets runs finish and stops all
	@$(BIN)/python -m deployments.up

cluster: $(STAMP) ## PostgreSQL, Redis, two API servers, two background services, three workers: one of each is killed in a sweep
	@$(BIN)/python -m deployments.cluster

test: $(STAMP) ## the whole suite; ROUNDSMAN_REQUIRE=all turns skips for missing programs into failures
	@# What waits for cron runs beside the rest, and is shown after it; both have to pass. Of the rest, too, much waits:
	@# one process more than there are cores.
	@out=$$(mktemp); \
	$(BIN)/python -m pytest -m waits >"$$out" 2>&1 & waits=$$!; \
	trap 'kill $$waits 2>/dev/null; rm -f "$$out"' EXIT; \
	$(BIN)/python -m pytest -m "not waits" -n $$(( $$(nproc) + 1 )) --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 15; rest=$$?; \
	wait $$waits; waited=$$?; cat "$$out"; \
	[ $$rest = 0 ] && [ $$waited = 0 ]

test-fast: $(STAMP) ## what needs no Prefect server, real cache, database server or browser: under 90 s on two cores
	@$(BIN)/python -m pytest --fast -rfE -n $$(nproc) --maxprocesses 4 --dist loadfile

coverage: $(STAMP) ## the branches of the pure modules that the fast tests take; fails below 95 %
	@$(BIN)/python -m coverage run -m pytest --fast -q
	@$(BIN)/python -m coverage report

mutate: $(STAMP) ## small changes to the judges, each of which has to fail a fast test; SAMPLE=40 tries so many of each
	@nice -n 15 $(BIN)/python -m benchmarks.mutants --sample $(or $(SAMPLE),0)

lint: $(STAMP) ## ruff, the types, the sites, and what is rendered from them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m roundsman lint
	$(BIN)/python -m deployments --check

bench: $(STAMP) ## the benchmarks, as one table
	$(BIN)/python -m benchmarks

render: $(STAMP) ## prefect.yaml, the JSON Schema of a site file, and the tables in README.md
	$(BIN)/python -m deployments

lock: ## requirements.lock from pyproject.toml; needs uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --extra dev --extra postgres --extra cluster pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .roundsman .pytest_cache .ruff_cache .mypy_cache .coverage
