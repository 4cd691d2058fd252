# Everything that a person or a CI does with this repository. `make run` and `make test` set up what they need.

BIN := .venv/bin
PY := $(BIN)/python

.PHONY: help run test check lint types imports bench lock pictures clean

help:  ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: .venv/.run  ## the console on this machine; ARGS="--simulate 1024" for another
	@$(BIN)/qd $(ARGS)

test: .venv/.dev  ## tests with the real systems that are installed (as root on Debian: installs them); CI=true: the slow ones too
	@scripts/setup.sh systems
	$(PY) -m pytest $(if $(CI),,-m "not slow") $(ARGS)

check: lint types imports .venv/.dev  ## what a commit must pass: style, types, layers, quick tests
	$(PY) -m pytest -q -m "not slow and not real" $(ARGS)

lint: .venv/.dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev  ## mypy --strict
	$(BIN)/mypy

imports: .venv/.dev  ## import-linter: the layers of the house
	$(BIN)/lint-imports --no-cache

bench: .venv/.dev  ## the benchmarks, written to benchmarks/RESULTS.md
	$(PY) -m benchmarks $(ARGS)

lock: .venv/.dev  ## lock the newest versions that pyproject.toml allows, with their hashes
	@scripts/lock.sh

pictures: .venv/.dev  ## draw the pictures of the README anew
	$(PY) -m scripts.pictures

clean:  ## remove everything that is made
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find console plugins themes tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.run: requirements.lock pyproject.toml scripts/setup.sh
	@scripts/setup.sh run

.venv/.dev: requirements-dev.lock pyproject.toml scripts/setup.sh
	@scripts/setup.sh dev
