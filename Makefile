# Everything here sets itself up from a bare clone; Python 3.11 or newer and make are enough.
# Windows: see docs/windows.md for the same steps as plain pip lines.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: help demo test check lint format pytest docs install dev bars clean

help:  ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(RUN_STAMP)  ## sort a simulated rig for a while, then report
	$(BIN)/sorter demo $(ARGS)

test: lint pytest  ## everything that CI checks

check: test  ## the same

lint: $(DEV_STAMP)  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

pytest: $(DEV_STAMP)  ## the tests alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

format: $(DEV_STAMP)  ## let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV_STAMP)  ## write docs/settings.md from the settings models
	$(BIN)/python -m tests.test_docs

install: $(RUN_STAMP)  ## what is needed to sort

dev: $(DEV_STAMP)  ## what is needed to work on the project

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(PIP) install --quiet -c constraints.txt -e .
	$(BIN)/python -m sorter.warm_up
	$(BIN)/python -m hardware_sim.warm_up
	@touch $@

# torch goes first and alone, so that no other package gets to choose its build.
$(DEV_STAMP): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m sorter.warm_up
	$(BIN)/python -m hardware_sim.warm_up
	@touch $(RUN_STAMP) $@

bars: $(DEV_STAMP)  ## every measured bar; long, wants a quiet machine
	@failed=0; for bar in benchmarks/bar_*.py; do \
	  $(BIN)/python -m "benchmarks.$$(basename "$$bar" .py)" || failed=1; done; exit $$failed

clean:  ## remove the environment and all caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
