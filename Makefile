# Everything sets itself up: `make run` and `make test` need only Python (3.11 or later) and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help run demo report install uninstall test lint bench golden lock kubernetes clean

help:  ## list what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

# One stamp a set of dependencies; either is made again when pyproject.toml changes.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

run: $(VENV)/.installed  ## serve this host's Docker root, or a sample store where there is none (ARGS="--flag ...")
	$(BIN)/layerstore-exporter serve --sample-fallback $(ARGS)

demo: $(VENV)/.installed  ## serve the sample store, with writers that grow it
	$(BIN)/layerstore-exporter demo $(ARGS)

report: $(VENV)/.installed  ## print where this host's disk goes
	$(BIN)/layerstore-exporter report $(ARGS)

install:  ## install as a systemd service (PREFIX=/usr/local DESTDIR= PYTHON=/usr/bin/python3), or upgrade; settings stay
	@PYTHON="$(PYTHON)" PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" SYSCONFDIR="$(SYSCONFDIR)" UNITDIR="$(UNITDIR)" deploy/systemd/install.sh install

uninstall:  ## remove what install made; settings and state stay, unless PURGE=1
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" SYSCONFDIR="$(SYSCONFDIR)" UNITDIR="$(UNITDIR)" PURGE="$(PURGE)" deploy/systemd/install.sh uninstall

test: $(VENV)/.developed  ## run all checks and tests; what needs an engine that is not there is skipped
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(or $(ARGS),--numprocesses=auto tests/unit tests/property)
	$(if $(ARGS),,$(BIN)/pytest --numprocesses=auto --maxprocesses=2 --dist=loadfile tests/engine)
	$(if $(ARGS),,$(BIN)/pytest tests/service tests/stack)

lint: $(VENV)/.developed  ## style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.developed  ## measure speed and cost beside du and the engine, as a table
	$(BIN)/python -m tests.bench $(ARGS)

golden: $(VENV)/.developed  ## renew the golden files after a wanted change
	$(BIN)/pytest tests/unit --renew-golden $(ARGS)

lock: $(VENV)/.developed  ## renew the versions and hashes that installations and images are made of
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --custom-compile-command 'make lock' --output-file deploy/requirements.txt pyproject.toml

kubernetes:  ## renew what Kubernetes' files take over from the alerting rules
	$(PYTHON) deploy/kubernetes/generate.py

clean:  ## remove what the targets above made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
