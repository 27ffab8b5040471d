# Everything runs in .venv, which `setup` makes; `demo` and `test` call it by themselves.
PYTHON ?= python3
BIN := .venv/bin
LONG := tests/test_benchmark.py tests/test_readme.py tests/test_report.py tests/test_sweep.py tests/test_train.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## (.*)/make \1\t\2/' | expand -t 14

setup: .venv/installed  ## create .venv and install the project into it

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install torch torchvision
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $@

demo: setup  ## draw synthetic strips, train on them for minutes, test, draw the results
	$(BIN)/python -m steel_defects.train experiment=demo

# In parts: all of them in one process, with every engine's native libraries and their threads, ended in a crash.
test: lint  ## lint, then run all tests
	$(BIN)/python -m pytest tests/data tests/evaluation steel_defects
	$(BIN)/python -m pytest tests/inference
	$(BIN)/python -m pytest tests/models tests/prediction tests/study
	$(BIN)/python -m pytest $(filter-out $(LONG),$(wildcard tests/test_*.py))
	$(BIN)/python -m pytest $(LONG)

lint: setup  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup  ## time the paper's four systems on every engine of this machine
	$(BIN)/python -m steel_defects.benchmark
