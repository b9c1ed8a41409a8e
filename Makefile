# Everything a newcomer needs: `make serve` to run Keyferry, `make test` to test it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: serve test check format load bench bench-growth bench-start bench-revocation bench-docs clean

serve: $(VENV)/.installed  ## Run Keyferry here, with a database of its own
	@$(BIN)/keyferry dev $(ARGS)

test: check  ## Check style and types, then run every test
	$(BIN)/pytest -m "not alone" --numprocesses 3 --dist loadfile $(ARGS)
	$(BIN)/pytest -m alone $(ARGS)  # what measures time, while nothing else runs

check: $(VENV)/.installed-dev  ## Style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev  ## Put the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

load: $(VENV)/.installed-dev  ## Put load on Keyferry with k6; ARGS="--profile smoke|steady|burst|soak"
	@$(BIN)/python -m tests.load.run $(ARGS)

bench: $(VENV)/.installed-dev  ## Measure Keyferry beside a bare control (30 minutes, needs wrk); ARGS=--quick
	@$(BIN)/python -m tests.bench.run $(ARGS)

bench-growth: $(VENV)/.installed-dev  ## Measure the same calls with 1,000 and with 1,000,000 keys
	@$(BIN)/python -m tests.bench.growth $(ARGS)

bench-start: $(VENV)/.installed-dev  ## Measure time and memory from the command to ready
	@$(BIN)/python -m tests.bench.start $(ARGS)

bench-revocation: $(VENV)/.installed-dev  ## Measure how fast a deleted key is dead everywhere (a minute)
	@$(BIN)/python -m tests.bench.revocation $(ARGS)

bench-docs: $(VENV)/.installed-dev  ## Write what these measured into docs/
	@$(BIN)/python -m tests.bench.docs

clean:  ## Remove what the commands above have made
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .bench .load

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Keyferry needs Python 3.11 or later; try make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed
