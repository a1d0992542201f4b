# `make run` is all a new clone needs: Python 3.11 to 3.13 and make. `make` alone lists the rest.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
UV := 0.13.9
STAMP := $(VENV)/.installed

# Every process would compile all it imports anew: seconds of each start, dozens of starts in the tests.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help run check test e2e faults bench lock clean install assets

help:  ## list what can be made
	@sed -n 's/^\([a-z0-9]*\):.*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: install assets  ## install and start the service; ARGS="--port 7000 --data-dir …" passes options on
	@exec $(BIN)/analytics up $(ARGS)

check: install  ## lint, types and the pure tests, in seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy sdk/python/src
	$(BIN)/pytest -q -n auto --dist loadfile tests/unit

test: install assets  ## every test but the long stories, on a real Kafka and Postgres of its own
	$(BIN)/pytest -n auto --dist loadfile tests/unit tests/store $(ARGS)
	$(BIN)/pytest -n auto --dist loadfile tests/web $(ARGS)
	$(BIN)/pytest -m "not long" tests/agents tests/e2e tests/faults $(ARGS)

e2e: install assets  ## the stories: start, browser, crashes
	$(BIN)/pytest tests/e2e $(ARGS)

faults: install assets  ## every fault story, and the other long ones: kill, pause, cut and fill up under load, and count
	$(BIN)/pytest -m "faults or long" $(ARGS)

bench: install assets  ## accepted and stored hits a second, latency, CPU and memory
	@exec $(BIN)/python scripts/bench.py $(ARGS)

lock: install  ## renew requirements.lock and the list of Kafka's jars
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links -q -o requirements.lock
	$(BIN)/python scripts/lock_kafka.py

clean:  ## remove what was installed and built; data folders stay
	rm -rf $(VENV) build dist *.egg-info node_modules web/static/built .pytest_cache .mypy_cache .ruff_cache .hypothesis

install: $(STAMP)

assets: $(STAMP)
	@$(BIN)/python scripts/build_assets.py

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
		sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12")'
	@test -x $(BIN)/python || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: install python3-venv"; exit 1; }; }
	@echo "Installing (once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --compile-bytecode --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps -e .
	@touch $@
