# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# make oracle ORACLE='--orders 600 --kills 20 --seed 7'
.PHONY: setup demo oracle test sim tiers confined check format lint types contract bench clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Wherry needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	$(BIN)/python -m compileall -q src
	touch $@

demo: setup
	$(BIN)/python examples/shop/demo.py

oracle: setup
	$(BIN)/python examples/shop/verify.py $(ORACLE)

test: setup
	$(BIN)/python -m pytest -n 2

# make sim SEEDS=1000
SEEDS ?= 200
sim: setup
	$(BIN)/python -m wherry.testing.simulation --seeds $(SEEDS)

# What each tier honours, seen and written into docs/tiers.md
tiers: setup
	WHERRY_WRITE_TIERS=1 $(BIN)/python -m pytest -q tests/e2e/test_what_tiers_honour.py

# Tier proc where nothing else runs; `make test` tries a minute's worth of it
confined: setup
	WHERRY_TEST_CONFINED=all $(BIN)/python -m pytest tests/e2e/test_confined.py

check: setup format lint types contract

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

contract: setup
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
