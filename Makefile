# make run    set everything up and open the console       make test   set everything up and run all tests
# make check  linters, types and the quick tests           make bench  the benchmarks
VENV := .venv
PYTHON := $(VENV)/bin/python

.PHONY: run test check bench pictures lock clean
run: $(VENV)/.run
	@$(VENV)/bin/qd $(ARGS)

test: $(VENV)/.test
	$(PYTHON) -m pytest $(ARGS)

check: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) -m pytest -q -m "not real and not slow" $(ARGS)

bench: $(VENV)/.test
	$(PYTHON) -m benchmarks $(ARGS)

pictures: $(VENV)/.test
	$(PYTHON) -m scripts.pictures

lock:
	uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group build -o requirements.lock
	uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group build --group dev -o requirements-dev.lock

$(VENV)/.run: requirements.lock pyproject.toml scripts/setup.sh
	@scripts/setup.sh run
$(VENV)/.test: requirements-dev.lock pyproject.toml scripts/setup.sh
	@scripts/setup.sh test

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
