# `make demo` and `make test` do all the set-up on a fresh machine: a .venv, the installs, and the run.
PYTHON ?= python3.11
BIN := .venv/bin
# A CPU build of torch is enough; `constraints.txt` pins the versions that were tested.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow lint bench docs clean

demo: .venv/.stamp-demo
	$(BIN)/python examples/digits.py --out demo-report

test: .venv/.stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow" --doctest-modules tests codesign hw_models traces kernels

test-slow: .venv/.stamp-dev
	$(BIN)/python -m pytest -m slow tests

lint: .venv/.stamp-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

bench: .venv/.stamp-dev
	$(BIN)/python benchmarks/speed.py

.venv/.stamp-base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv || python3 -m venv .venv
	$(PIP) "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	touch $@

.venv/.stamp-demo: .venv/.stamp-base
	$(PIP) --editable ".[demo]"
	touch $@

.venv/.stamp-dev: .venv/.stamp-base
	$(PIP) --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info demo-report
