# Everything runs in .venv, which each target makes by itself, with what it needs: `demo` less than the others.
PYTHON ?= python3
BIN := .venv/bin
# The tests in parts, each a process of its own: all of them in one, with every engine's native libraries and their
# threads, ended in a crash. Two run at a time, with one thread each; those that take longest begin. Commands that use
# all cores all the same must not spin while they wait for one another: that took three times as long.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest
PARTS := $(addprefix test-,runs rim report models ends inference data)
# Apart, for they take minutes: the pages followed to the letter, the study from download to report, and what a browser
# makes of pages, but for one test.
SLOW := tests/pages/test_make_study.py tests/pages/test_extending.py
test-ends: TESTS = tests/pages tests/benchmark $(addprefix --ignore=,$(SLOW))
test-runs: TESTS = tests/train tests/test_checkpoint_safety.py tests/test_earlier_versions.py
test-rim: TESTS = tests/loggers tests/cli tests/download tests/test_package.py
test-models: TESTS = tests/models tests/predict tests/dashboard tests/core
test-report: TESTS = tests/report tests/page tests/explore tests/audit
test-inference: TESTS = tests/inference tests/export
test-data: TESTS = tests/data tests/evaluate steel_defects

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint bench study $(PARTS) test-pages

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/' | expand -t 17

setup: .venv/installed  ## create .venv and install the project into it

# dev has all of demo.
.venv/installed: EXTRA = dev
.venv/installed: STAMPS = .venv/installed .venv/demo-installed
.venv/demo-installed: EXTRA = demo
.venv/demo-installed: STAMPS = .venv/demo-installed
.venv/installed .venv/demo-installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install torch torchvision
	$(BIN)/python -m pip install --editable '.[$(EXTRA)]'
	touch $(STAMPS)

demo: .venv/demo-installed  ## draw synthetic strips, train on them for minutes, test, draw the results
	$(BIN)/python -m steel_defects.train experiment=demo

test: lint  ## lint, then run the tests
	$(MAKE) --no-print-directory --jobs 2 --keep-going $(PARTS)

test-fast: setup  ## tests without trainings, processes and browsers, in less than a minute
	$(PYTEST) -m "not slow and not browser" tests

$(PARTS): setup
	$(PYTEST) -m "not browser" $(TESTS)

test-pages: setup  ## the tests that take minutes each, and those in a browser
	$(PYTEST) -m browser tests/page tests/audit tests/explore
	$(PYTEST) $(SLOW)

lint: setup  ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy steel_defects

bench: setup  ## time the paper's four systems on every engine of this machine
	$(BIN)/python -m steel_defects.benchmark

# What `make study` is of; OPTIONS are further settings of the training, DOWNLOAD of the download, CONFIG a folder of
# your own choices.
DATA ?= severstal
ROOT ?= data/$(DATA)
STUDY ?= study
SEEDS ?= 1,2,3
OPTIONS ?=
DOWNLOAD ?=
CONFIG ?=
PAPER := paper/baseline,paper/densenet201,paper/resnet101,paper/efficientnet-b1
study: ON = $(if $(CONFIG),--config-dir "$(CONFIG)") data=$(DATA) data.root="$(ROOT)"

study: setup  ## download, explore, train the paper's four systems, report; set DATA, ROOT, STUDY, SEEDS, OPTIONS, CONFIG
ifeq ($(DATA),severstal)
	$(BIN)/python -m steel_defects.download data.root="$(ROOT)" $(DOWNLOAD)
endif
	$(BIN)/python -m steel_defects.explore $(ON) $(filter data.% +data.% ++data.%,$(OPTIONS)) hydra.run.dir="$(STUDY)/explore"
	$(BIN)/python -m steel_defects.train --multirun $(ON) experiment=$(PAPER) seed=$(SEEDS) \
		hydra.sweep.dir="$(STUDY)/runs" sweep.skip_finished=true $(OPTIONS); failed=$$?; \
	$(BIN)/python -m steel_defects.report runs="$(STUDY)/runs" hydra.run.dir="$(STUDY)/report" && exit $$failed
