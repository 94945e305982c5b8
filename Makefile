# Everything is set up in .venv by whichever target needs it; a change of the pins sets it up again.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two processes, one thread each: torch's threads would wait for each other.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal
IMAGE ?=
DEMO_DIR ?= demo

.PHONY: demo test test-fast coverage lint docs fuzz bench bench-solvers bench-quality bench-rivals bench-search bench-uncertainty clean help faults

help:
	@echo "make demo [IMAGE=path]  remove the background of a made frame (or of yours) into $(DEMO_DIR)/"
	@echo "make test               lint, type check and all tests"
	@echo "make coverage           all tests, and the lines that none of them runs"
	@echo "make docs               the pages with the gallery, in docs/_build/html"
	@echo "make fuzz               the property tests with FUZZ_EXAMPLES=1000 examples each, and 20 minutes of bad files"
	@echo "make faults             150 kills of the command, and a batch of 1000 frames that is killed in the middle"
	@echo "make bench              seconds and memory at 2, 20 and 60 megapixels, beside what else is installed"
	@echo "make bench-solvers      losses and speed of the two solvers, in one run"
	@echo "make bench-quality      gradient left and light eaten on made and real skies, beside what else is installed"
	@echo "make bench-search       whole searches on made frames, judged by their truth"
	@echo "make bench-uncertainty  how often the standard error covers the true error of made frames"
	@echo "make bench-rivals       install the rivals that can be had here"
	@echo "make clean              remove what the others made"

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/skbgopt demo $(if $(IMAGE),"$(IMAGE)") --output-dir $(DEMO_DIR) --overwrite

test: lint test-fast

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-fast: $(VENV)/installed
	$(TESTS)

# Apart from the tests, which take a third longer when every line of them is watched.
coverage: $(VENV)/installed
	$(TESTS) --cov

docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going docs docs/_build/html

fuzz: $(VENV)/installed
	HYPOTHESIS_PROFILE=fuzz OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 tests/properties
	$(BIN)/python -m tests.fuzz.fuzz_files --minutes 20

faults: $(VENV)/installed
	$(BIN)/python -m tests.faults.killing --kills 50
	$(BIN)/python -m tests.faults.thousand_frames

bench: $(VENV)/installed
	$(BIN)/python tests/benchmarks/bench_speed.py --command $(BENCH_OPTIONS)

bench-solvers: $(VENV)/installed
	$(BIN)/python tests/benchmarks/bench_solvers.py $(BENCH_OPTIONS)

bench-quality: $(VENV)/installed
	$(BIN)/python tests/benchmarks/bench_quality.py $(BENCH_OPTIONS)

bench-search: $(VENV)/installed
	$(BIN)/python tests/benchmarks/study_search.py verdict --seeds 20 21 22 23 24 $(BENCH_OPTIONS)

bench-uncertainty: $(VENV)/installed
	$(BIN)/python tests/benchmarks/bench_uncertainty.py $(BENCH_OPTIONS)

# GraXpert wants other versions of what we use, so it gets an environment of its own. What cannot be installed is said,
# and bench-quality goes without it.
bench-rivals: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[rivals]'
	$(PYTHON) -m venv $(VENV)/graxpert
	$(VENV)/graxpert/bin/python -m pip install --quiet --disable-pip-version-check graxpert || echo "missing: GraXpert"
	command -v source-extractor || apt-get install -y source-extractor || echo "missing: source-extractor (install it as root)"
	command -v siril-cli || apt-get install -y siril || echo "missing: Siril, best 1.2 or later (install it as root)"

clean:
	rm -rf $(VENV) $(DEMO_DIR) docs/_build docs/auto_examples docs/reference build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
