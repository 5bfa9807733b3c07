# make demo      set up .venv, train a small agent, gate it, serve it, write a report
# make test      everything that must hold before a change is merged: make check's content and the test-suite
# make check     formatting, lint, strict types, layers, house rules
# make run-sim   one short simulated run
# make setup     only .venv
# make oracle    set up .venv-oracle with hftbacktest and compare against it at length (minutes)
# make clean     remove .venv, .venv-oracle and everything built
#
# PYTHON=python3.12       which interpreter .venv is made of
# TORCH_INDEX=https://... where torch comes from, e.g. https://download.pytorch.org/whl/cpu for the small CPU build

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
WORKERS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
TORCH := torch==2.13.0
STAMP_ALL := $(VENV)/.stamp-all
STAMP_DEV := $(VENV)/.stamp-dev

ORACLE := .venv-oracle
STAMP_ORACLE := $(ORACLE)/.stamp

.PHONY: demo test check lint run-sim setup setup-dev oracle clean

demo: $(STAMP_ALL)
	@$(BIN)/lobgym demo

run-sim: $(STAMP_ALL)
	@$(BIN)/lobgym demo --quick

test: lint
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

check: lint
	$(BIN)/python -m pytest -q tests/test_tidy.py

lint: $(STAMP_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(STAMP_ALL)

setup-dev: $(STAMP_DEV)

oracle: $(STAMP_DEV) $(STAMP_ORACLE)
	LOBGYM_ORACLE=full $(BIN)/python -m pytest -q -s tests/oracle

clean:
	rm -rf $(VENV) $(ORACLE) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A stamp is newer than all that it was made from, so a second call installs nothing.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "lobgym needs Python 3.11 or newer; '$(PYTHON)' is not. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "==> $(VENV): a virtual environment"
	@$(PYTHON) -m venv $(VENV) || { echo "No venv module? On Debian and Ubuntu: apt install python3-venv"; exit 1; }

# torch first and pinned: a looser request may fetch a build of several gigabytes.
$(STAMP_ALL): pyproject.toml constraints.txt | $(BIN)/python
	@echo "==> $(VENV): $(TORCH) (the largest part, by far)"
	@$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@echo "==> $(VENV): lobgym with its runtime and training extras"
	@$(PIP) install -c constraints.txt -e '.[all]'
	@touch $@

$(STAMP_DEV): $(STAMP_ALL)
	@echo "==> $(VENV): test and lint tools"
	@$(PIP) install -c constraints.txt -e '.[all,dev]'
	@touch $@

# The peer wants its own versions, so it stays out of .venv.
$(STAMP_ORACLE): tests/oracle/requirements.txt
	@echo "==> $(ORACLE): hftbacktest"
	@$(PYTHON) -m venv $(ORACLE) || { echo "No venv module? On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(ORACLE)/bin/python -m pip --disable-pip-version-check -qq install --no-deps -r tests/oracle/requirements.txt
	@touch $@
