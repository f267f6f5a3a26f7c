# make demo: install and run the whole chain on the bundled sample world; prints the report's path.
# make test: install what the tests need, then lint, types and tests.
# A CPU-only torch: see "Installing" in README.md (PIP_FLAGS is passed to every pip install).
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
PIP_FLAGS ?=
BIN := .venv/bin

.PHONY: demo test clean

demo: .venv/installed
	@$(BIN)/graphkit run --preset demo --sample --workspace demo

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# annoy comes as source: it needs a C++ compiler and Python's headers.
.venv/bin/python:
	@command -v c++ >/dev/null && $(PYTHON) -c "import ensurepip, sysconfig, os; \
	  assert os.path.exists(sysconfig.get_path('include') + '/Python.h')" 2>/dev/null \
	  || { echo "installing a compiler, Python headers and venv from Debian's packages"; \
	       apt-get update -qq && apt-get install -y -qq build-essential python3-dev python3-venv; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --editable .
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv demo workspace .pytest_cache .mypy_cache .ruff_cache
