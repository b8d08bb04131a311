# Needs python3 (3.11 or later), python3-venv and make; everything else goes into .venv.

PYTHON ?= python3
VENV ?= .venv
DESIGN ?= hint
TIME ?= 60s
BIN := $(VENV)/bin

# LOCK=constraints/locked.txt: the versions of the lock file, each file held against its hash.
LOCK ?=
# The oldest Python, for the lowest versions: newer ones need newer packages.
OLDEST ?= python3.11
# The rooms that meet other packages, for `test-lowest` and `test-newest`.
OTHERS := tests/campaign tests/case tests/cli tests/fuzzers tests/repro tests/sim tests/testing

ifeq ($(LOCK),)
install = $(1)/pip install --quiet --editable '.[$(2)]'
else
install = $(1)/pip install --quiet --require-hashes -r $(LOCK) \
	&& $(1)/pip install --quiet --no-deps --no-build-isolation --editable .
endif

.PHONY: help hunt test test-all test-slow lint types bench budgets compiled power examples orders spin fuzz kills
.PHONY: docs mutants clean
.PHONY: site changelog test-lowest test-newest lock

help:
	@echo "make hunt    find the race of a design: DESIGN=hint TIME=60s (until found)"
	@echo "make test    the quick tier of the tests: every room, every leaf, five minutes on 2 cores"
	@echo "make test-all all tests: more seeds, all recordings, long examples, kills"
	@echo "make test-lowest  tests with the lowest versions that pyproject.toml allows (python3.11)"
	@echo "make test-newest  tests with the newest versions that there are"
	@echo "make lock    the lock file of CI, constraints/locked.txt, with the newest versions"
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

fuzz: $(VENV)/.installed-atheris
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
	$(call install,$(BIN),report)
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/pip
	$(call install,$(BIN),test)
	touch $@ $(VENV)/.installed

# Editable, as all installs here: `pip install '.[atheris]'` would put a copy in its place, which
# does not follow the sources.
$(VENV)/.installed-atheris: pyproject.toml | $(VENV)/.installed-test
	$(call install,$(BIN),atheris)
	touch $@

# Versions: each set in a virtual environment of its own.

test-lowest: build/lowest/.installed
	build/lowest/bin/pytest -n auto --hypothesis-profile=ci $(OTHERS)

test-newest: build/newest/.installed
	build/newest/bin/pytest -n auto --hypothesis-profile=ci $(OTHERS)

build/lowest/.installed: pyproject.toml constraints/lowest.txt
	$(OLDEST) -m venv --clear build/lowest
	build/lowest/bin/pip install --quiet --constraint constraints/lowest.txt \
		--editable '.[atheris,cluster,docs,report,test]'
	touch $@

# Made anew each time, because what is newest changes.
.PHONY: build/newest/.installed
build/newest/.installed:
	$(PYTHON) -m venv --clear build/newest
	build/newest/bin/pip install --quiet --editable '.[atheris,cluster,docs,report,test]'

lock:
	$(PYTHON) -m venv build/uv
	build/uv/bin/pip install --quiet --upgrade uv
	build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
		--generate-hashes --custom-compile-command "make lock" \
		--output-file constraints/locked.txt pyproject.toml

# The documentation site, and the changelog of a release.

# NO_MKDOCS_2_WARNING: the theme advertises its successor at each build.
site: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

changelog: $(VENV)/.installed-docs
	$(BIN)/towncrier build --yes --version "$$($(BIN)/python -c 'import tdxfuzz; print(tdxfuzz.__version__)')"

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/bin/pip
	$(call install,$(BIN),docs)
	touch $@ $(VENV)/.installed
