# `make` lists what can be done here. Needs python3 (3.11 to 3.13), git and GNU make 3.81 or newer.
SHELL = /bin/sh
VENV = .venv
BIN = $(VENV)/bin
PORT = 8000

# The first of these that is a Python hplab runs on; `make setup PYTHON=/path/to/python3.12` overrides.
RANGE = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON = $(shell for p in $(BIN)/python python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(RANGE)' 2>/dev/null && echo $$p && break; done)

# The environment is ready when this file is there: its name follows the lock and pyproject.toml.
READY := $(VENV)/hplab-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)

options = $(if $(STUDY),--study $(STUDY)) $(if $(PRESET),--preset $(PRESET)) \
	$(if $(DEVICE),--device $(DEVICE)) $(if $(JOBS),--jobs $(JOBS)) $(if $(SEEDS),--seeds $(SEEDS)) \
	$(if $(DASK),--dask $(DASK)) $(if $(AFRESH),--afresh)

.PHONY: help setup execute book pdf serve lab test browser doors faults bench lint sync status records records-laptop clean clean-env

help: ## this table | 0 s
	@awk -F ':.*## | [|] ' '/^[a-z-]+:.*## / {printf "  make %-14s %-62s %s\n", $$1, $$2, $$3}' Makefile
	@echo "  for execute: STUDY=01-learning-rate PRESET=smoke|laptop|reduced|paper DEVICE=auto|cpu|cuda|mps JOBS=2 SEEDS=5 AFRESH=1 DASK=ADDRESS"
	@echo "  for test: JOBS=2 ARGS='-k store' or ARGS='-m slow'; for setup: PYTHON=python3.12, and UV_TORCH_BACKEND=cpu for a small CPU torch"

$(READY): # redone when the lock or pyproject.toml change, or when it was interrupted
	@$(or $(PYTHON),false) -c '$(RANGE)' 2>/dev/null || { echo "hplab needs Python 3.11, 3.12 or 3.13, and" \
		"$(or $(PYTHON),python3) is $$($(or $(PYTHON),python3) --version 2>&1 | head -n 1);" \
		"name another: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "setup: installing the packages of requirements.lock into $(VENV) (1 to 3 minutes the first time)"
	@$(BIN)/python -c '$(RANGE)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) >/dev/null || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make an environment; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT \
		$(BIN)/python -m pip install -qq --no-deps "$$(grep '^uv==' requirements.lock)"
	@$(BIN)/uv pip install $$(test -t 2 || echo -q) --compile-bytecode -p $(VENV) -c requirements.lock -b requirements.lock -e '.[book,dev]'
	@rm -f $(VENV)/hplab-* && touch $@

setup: $(READY) ## make or update the environment in .venv | 1 to 3 min, then 0 s
	@echo "setup: $(VENV) is ready ($$($(BIN)/python --version))"

execute: $(READY) ## train what is missing, run the notebooks, build the pages | 1 min a study
	@echo "execute: training what is missing, running the notebooks and building the pages, in $(VENV)"
	@$(BIN)/hplab execute $(options)

book: $(READY) ## build the pages from the recorded results, train nothing | 2 min
	@echo "book: building the pages from the recorded results, in $(VENV)"
	@$(BIN)/hplab book $(if $(AFRESH),--afresh)

pdf: book ## the book as one PDF, printed by Chromium: _build/hplab.pdf | 3 min
	@$(BIN)/hplab pdf

serve: $(READY) ## show the built pages at http://127.0.0.1:8000 (PORT=) | at once
	@test -f _build/html/index.html || { echo "there are no pages yet: run make execute first" >&2; exit 1; }
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

lab: $(READY) ## open the studies in JupyterLab, on this machine only | 5 s
	@$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --LabApp.default_url=/lab/tree/book/studies \
		--ServerApp.jpserver_extensions=hplab.pages.notebooks.lab=True

test: $(READY) ## run the tests | 7 min
	@echo "test: running the tests on $(or $(JOBS),2) cores, in $(VENV)"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadgroup $(ARGS)

browser: $(READY) ## open every page of the built book in Chromium, at three widths | 5 min
	@echo "browser: opening every page of _build/html at three widths, light and dark, in $(VENV)"
	@$(BIN)/python -m pytest tests/browser/test_built_book.py -m browser -n $(or $(JOBS),2) --durations=3 $(ARGS)

# Colab's Python is 3.12. Without one, the environment's own is taken, and it says so.
COLAB = $(VENV)-colab
COLAB_PYTHON = $(shell for p in python3.12 $$HOME/.pyenv/versions/3.12*/bin/python $(abspath $(BIN)/python); do \
	$$p -c '$(RANGE)' 2>/dev/null && echo $$p && break; done)
COLAB_READY := $(COLAB)/hplab-$(shell cksum < tests/doors/colab.txt | cut -d' ' -f1)

$(COLAB_READY): tests/doors/colab.txt | $(READY)
	@echo "doors: installing Colab's packages into $(COLAB), for $$($(COLAB_PYTHON) --version) (Colab has 3.12)"
	@$(BIN)/uv venv -q --clear -p $(COLAB_PYTHON) $(COLAB)
	@$(BIN)/uv pip install -q -p $(COLAB) -r tests/doors/colab.txt
	@touch $@

doors: $(READY) $(COLAB_READY) ## try the studies in JupyterLab (with Chromium) and as on Colab | 4 min
	@echo "doors: opening the studies in JupyterLab and as on Colab, on 2 cores, in $(VENV) and $(COLAB)"
	@$(BIN)/python -m pytest tests/doors -m doors -n 2 --dist loadfile --durations=5 $(ARGS)

faults: $(READY) ## kill writers and sweeps, damage files, count what was lost | 8 min
	@echo "faults: killing writers and sweeps and damaging files, on 2 cores, in $(VENV)"
	@$(BIN)/python -W ignore benchmarks/faults.py --json book/results/bench/reliability.json

bench: $(READY) ## hplab against other ways to train, into book/results/bench | 50 min
	@echo "bench: timing hplab, a plain loop, Lightning, skorch and fastai, in $(VENV)-bench; leave the machine alone"
	@test -x $(VENV)-bench/bin/python || $(BIN)/uv venv -q -p $(BIN)/python $(VENV)-bench
	@$(BIN)/uv pip install -q -p $(VENV)-bench -c requirements.lock -r benchmarks/requirements.txt -e .
	@for name in engine scaling overhead tried photos mobilenet sharpness margins machines; do \
		$(VENV)-bench/bin/python -W ignore benchmarks/$$name.py --json book/results/bench/$$name.json || exit 1; done

lint: $(READY) ## check code style, types, pairing and workflows | 20 s, then 5 s
	@echo "lint: checking style, types, pairing and workflows, in $(VENV)"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/hplab sync --check
	@$(BIN)/zizmor --offline --quiet --strict-collection .github/workflows

sync: $(READY) ## write each study's notebook from its text | 5 s
	@$(BIN)/hplab sync

status: $(READY) ## say what is recorded, pending and missing | 5 s
	@$(BIN)/hplab status

records: $(READY) ## train in the background what decides most claims (BUDGET=8h) | as told
	@echo "records: training what decides most claims, out of the way of others, in $(VENV)"
	@$(BIN)/hplab fill --budget $(or $(BUDGET),8h) $(if $(DEVICE),--device $(DEVICE)) $(if $(JOBS),--jobs $(JOBS)) $(if $(DASK),--dask $(DASK))
	@$(BIN)/hplab pack

records-laptop: $(READY) ## train the laptop preset anew, say which records moved (WRITE=1) | 4 min
	@echo "records-laptop: training the laptop preset apart from the records, in $(VENV)"
	@$(BIN)/hplab records --preset laptop $(if $(WRITE),--write) $(if $(JOBS),--jobs $(JOBS))

clean: ## remove the built pages (results stay) | at once
	rm -rf _build

clean-env: ## remove the environment | at once
	rm -rf $(VENV)
