# Everything is set up in .venv by whichever target needs it; a change of the pins sets it up again.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IMAGE ?=
DEMO_DIR ?= demo

.PHONY: demo test test-fast lint fuzz faults bench bench-solvers bench-quality clean help

help:
	@echo "make demo [IMAGE=path]  remove the background of a made frame (or of yours) into $(DEMO_DIR)/"
	@echo "make test               lint, type check and all tests"
	@echo "make fuzz               the property tests with FUZZ_EXAMPLES=1000 examples each, and 20 minutes of bad files"
	@echo "make faults             150 kills of the command, and a batch of 1000 frames that is killed in the middle"
	@echo "make bench              seconds and memory at 2, 20 and 60 megapixels, beside what else is installed"
	@echo "make bench-solvers      losses and speed of the two solvers, in one run"
	@echo "make bench-quality      gradient left on made frames, beside what else is installed"
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

# Two processes, one thread each: torch's threads would wait for each other.
test-fast: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --cov

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

clean:
	rm -rf $(VENV) $(DEMO_DIR) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
