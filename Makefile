# Two commands: `make demo` and `make test`. Each does its whole set-up.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The package alone, which is all that the demo needs; then everything.
CORE   := $(VENV)/.package
STAMP  := $(VENV)/.installed
# Both cores of a small machine; `make test WORKERS=0` runs in one process.
WORKERS ?= 2

.PHONY: demo test check docs dist-test deb lab bench fuzz search mutate man packages clean

demo: $(CORE)
	$(BIN)/e820pool demo

test: check packages
	$(BIN)/pytest -n $(WORKERS)
	$(BIN)/pytest -m "lab and not slow" -n $(WORKERS) --dist loadfile
	$(BIN)/pytest tests/benchmarks --benchmark-only --benchmark-min-rounds=1 \
		--benchmark-max-time=0.05 --benchmark-columns=median -q $(LIMITED:%=--ignore=%)

check: $(STAMP) docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One site of README, docs, specs and the docstrings; a warning, such as a public name
# without a text or a link to nowhere, is an error.
docs: $(STAMP)
	$(BIN)/sphinx-build -c docs -q -n -W -j auto -b html -d build/doctrees . build/docs

# Wheel and sdist, and a part of the tests against the installed wheel.
dist-test: $(STAMP)
	PYTHON=$(BIN)/python sh tools/dist-test.sh

# A Debian package for bookworm and trixie in build/deb; why it is made so: tools/deb/build.sh.
deb: $(STAMP)
	PYTHON=$(BIN)/python sh tools/deb/build.sh

# Everything that boots a kernel: on every release at hand, chains of kexecs and the
# matrix of rival designs too.
lab: $(STAMP) packages
	$(BIN)/pytest -m lab

# Whole commands on damaged input, with coverage as the guide (atheris): an hour, shared by
# all readers; what it finds is kept as tests/data/fuzz/fuzz_* and runs in `make test`.
FUZZ_SECONDS ?= 3600
fuzz: $(STAMP)
	$(PIP) -e '.[fuzz]'
	$(BIN)/python tools/fuzz.py $(FUZZ_SECONDS)

# Property tests with fresh examples, fifty times as many as `make test` has; what it
# finds becomes an example of its test.
search: $(STAMP)
	HYPOTHESIS_PROFILE=search $(BIN)/pytest -n $(WORKERS) -m "not lab" tests/property \
		-o faulthandler_timeout=0

# Ratios with a limit want a quiet machine: `make bench` judges them, while `make test`
# only runs the other benchmarks once, so that they stay runnable.
LIMITED := tests/benchmarks/test_engine_bench.py tests/benchmarks/test_stress_bench.py \
	tests/benchmarks/test_check_bench.py tests/benchmarks/test_predict_bench.py \
	tests/benchmarks/test_log_bench.py

# Reads a million damaged inputs, in one process with a limit of memory.
mutate: $(STAMP)
	$(BIN)/python tests/mutate_sources.py 1000000

bench: $(STAMP)
	$(BIN)/pytest tests/benchmarks --benchmark-only --benchmark-disable-gc \
		--benchmark-columns=median,stddev,rounds -q -o faulthandler_timeout=0

# The manual page is the site's page of commands: man -l build/man/e820pool.1
man: $(STAMP)
	$(BIN)/sphinx-build -c docs -q -b man -d build/doctrees . build/man

# Debian packages for the lab and for the tests that ask gcc; where root or apt is not at
# hand this says what is missing, and the tests that need it say so too.
packages:
	sh tools/debian-packages.sh

$(CORE): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "e820pool needs Python 3.11 or newer; say make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(STAMP): $(CORE)
	$(PIP) -e '.[test,lab,plot,sweep,fleet,cluster,browser,docs,dist,images]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
