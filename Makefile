# Needs python3 (3.11 or later), python3-venv and make; everything else goes into .venv.

PYTHON ?= python3
VENV ?= .venv
DESIGN ?= hint
TIME ?= 60s
BIN := $(VENV)/bin

.PHONY: help hunt test test-all test-slow lint types bench budgets compiled power examples orders spin fuzz kills
.PHONY: docs mutants clean
.PHONY: site changelog

help:
	@echo "make hunt    find the race of a design: DESIGN=hint TIME=60s (until found)"
	@echo "make test    the quick tier of the tests: every room, every leaf, under 3 minutes"
	@echo "make test-all all tests: more seeds, all recordings, long examples, kills"
	@echo "make lint    ruff: style and format"
	@echo "make types   mypy --strict"
	@echo "make bench   speed, as ratios against raw greenlet switches"
	@echo "make compiled a second, faster build, held against this one (needs a C compiler)"
	@echo "make power   how soon each engine finds each seeded bug (an hour)"
	@echo "make orders  verify and a search that leaves nothing out, on 200 programs"
	@echo "make examples does a Hypothesis test find each seeded bug (half an hour)"
	@echo "make spin    verify and Spin on the same scenarios (needs spin and gcc)"
	@echo "make fuzz    how far the atheris targets get in ten minutes each"
	@echo "make kills   kill -9 a campaign's processes fifty times"
	@echo "make docs    the generated pages docs/concurrency.md and docs/behaviour.md"
	@echo "make mutants do the recordings notice deliberate errors in the model?"
	@echo "make site    the documentation as a site, in build/site; strict: no broken link"
	@echo "make changelog  move the fragments of changelog.d into CHANGELOG.md"
	@echo "make clean   remove the virtual environment and caches"

hunt: $(VENV)/.installed
	$(BIN)/tdxfuzz hunt $(DESIGN) --time $(TIME) --expect-finding

test: $(VENV)/.installed-test
	$(BIN)/pytest -n auto --hypothesis-profile=ci --durations=25

test-all: $(VENV)/.installed-test
	$(BIN)/pytest -n auto --hypothesis-profile=ci --durations=25 -m ""

test-slow: $(VENV)/.installed-test
	$(BIN)/pytest -n auto --hypothesis-profile=ci --durations=25 -m "slow and not long"

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks

compiled: $(VENV)/.installed-test
	$(BIN)/python -m tools.compiled
	$(BIN)/python -m tools.side_by_side
	cd build/compiled && PYTHONPATH=$(CURDIR) $(abspath $(BIN))/python -m benchmarks

budgets: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.budgets

power: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.power

orders: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.orders

examples: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.examples

spin: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.spin

fuzz: $(VENV)/.installed-test
	$(BIN)/pip install --quiet -e '.[atheris]'
	$(BIN)/python -m benchmarks.fuzz

kills: $(VENV)/.installed-test
	TDXFUZZ_KILLS=50 $(BIN)/pytest -s -m "" tests/campaign/test_campaign_kills.py

docs: $(VENV)/.installed-test
	$(BIN)/python -m tools

mutants: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.mutants

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[report]'
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/.installed

# The documentation site, and the changelog of a release.

# NO_MKDOCS_2_WARNING: the theme advertises its successor at each build.
site: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

changelog: $(VENV)/.installed-docs
	$(BIN)/towncrier build --yes --version "$$($(BIN)/python -c 'import tdxfuzz; print(tdxfuzz.__version__)')"

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@ $(VENV)/.installed
