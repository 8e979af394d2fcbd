# Two commands do all on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# Installed once per change of the pins; the marker file carries the date.
READY := .venv/.ready

.PHONY: run test unit long fuzz check format lock clean

run: $(READY)
	$(BIN)/postray up

# Three processes for two cores: half of the time the tests wait for what they have started.
test: $(READY)
	$(BIN)/pytest --numprocesses 3

# What needs no server, in a minute: rules, formats, composing, and actors over journals in memory.
unit: $(READY)
	$(BIN)/pytest --numprocesses 2 tests/unit

# Acceptance tests that `make test` leaves out, since each takes a minute or more.
long: $(READY)
	$(BIN)/pytest -m long tests/acceptance

# The property tests alone, each with this many examples that no run had before; a thousand take about a quarter of an hour.
EXAMPLES ?= 1000
fuzz: $(READY)
	POSTRAY_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest --numprocesses 2 -m hypothesis

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

# Needs uv (pip install uv). Hashes pin the files, and no index host is written down.
lock:
	uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --extra dev --extra multibuffer \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
