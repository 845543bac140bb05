# Two commands matter: `make demo` shows the product, `make test` checks everything. Both set up what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Processes that run tests beside each other, each a file at a time: one for each processor up to four, as there are no more long files.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); if [ $$n -gt 4 ]; then echo 4; elif [ $$n -gt 1 ]; then echo $$n; else echo 0; fi)
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo test coverage check format bench matrix soak man setup packages clean

help:
	@echo "make demo    two gateways on this machine, one service, opened in every way"
	@echo "make test    every test this machine allows (as root: installs Debian packages, uses network namespaces)"
	@echo "make coverage  the same, with what lines and branches of ours it ran; takes half as long again"
	@echo "make check   format, lint, types, import contracts"
	@echo "make bench   measure this machine (unprivileged, loopback; as root also BENCH=--namespaces)"
	@echo "make matrix  as root: pairs of home networks, is their path direct (MATRIX=--help: which, how often, how far)"
	@echo "make man     the man page and docs/reference/commands.md, from the commands"
	@echo "make soak    half an hour of everything: memory, descriptors, tasks and threads end where they began (SOAK=--help)"
	@echo "make setup   the virtual environment in $(VENV)"

setup: $(BIN)/.installed

$(BIN)/.installed: setup.cfg pyproject.toml
	@PYTHON="$(PYTHON)" sh scripts/setup "$(VENV)"
	@touch $@

packages:
	@sh scripts/debian-packages

demo: setup
	@$(BIN)/python scripts/demo.py

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup packages check
	$(PYTEST) $(TESTS)

coverage: setup packages check
	$(PYTEST) --cov --cov-report=term:skip-covered $(TESTS)

bench: setup
	$(BIN)/python scripts/bench.py $(BENCH)

matrix: setup packages
	$(BIN)/python -m scripts.matrix $(MATRIX)

man: setup
	$(BIN)/python -m gateway.cli.manual

soak: setup packages
	$(BIN)/python -m scripts.soak $(SOAK)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
