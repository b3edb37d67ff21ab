# `make demo` and `make test` do all set-up themselves. They need Python >= 3.11; the test peers need Go and Node too.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOAK_MINUTES ?= 30
STEPS ?= 200000
SEED ?= 0
MINUTES ?= 60
SOURCES := brainctl tests scripts bench

.PHONY: demo test test-busy check docs lint format peers suites differential slow-watchers bench bench-full bench-medium soak generate pins clean

demo: .venv/runtime  ## migrate a server under live writes into a second store, verify it, show the report
	$(BIN)/brainctl demo

test: .venv/develop check peers  ## everything, with real peers, in parallel
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST)

test-busy: .venv/develop peers  ## the same beside four busy loops, as on a machine under load: slower, not red
	for loop in 1 2 3 4; do (while kill -0 $$$$ 2> /dev/null; do :; done) & done; \
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST)

check: .venv/develop lint  ## layers, generated files, documentation, subjects of commits
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/gen_proto.py --check
	$(BIN)/python scripts/gen_man.py --check
	$(BIN)/python scripts/gen_completions.py --check
	$(BIN)/python scripts/draw_threads.py --check
	$(BIN)/python scripts/build_docs.py --check
	$(BIN)/python scripts/check_commits.py
	$(BIN)/towncrier build --draft --version next > /dev/null

lint: .venv/develop  ## style and types
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

docs: .venv/develop  ## the documentation site, into site/
	$(BIN)/python scripts/build_docs.py site

format: .venv/develop  ## mend style
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

peers: .venv/develop  ## etcd, TiKV, h2spec and the clients, once per machine
	$(BIN)/python -m tests.peers.build

differential: .venv/develop  ## 200 000 random requests to brainctl and to etcd, every answer compared (STEPS=, SEED=)
	BRAINCTL_DIFFERENTIAL_STEPS=$(STEPS) BRAINCTL_DIFFERENTIAL_SEED=$(SEED) \
		$(BIN)/python -m pytest -q tests/differential -k every_answer

slow-watchers: .venv/develop  ## an hour of load over watchers that do not read (MINUTES=): memory, latency, what they get
	$(BIN)/python -m tests.faults.bounds --minutes $(MINUTES)

suites: .venv/develop peers  ## the test suites of etcd and of client packages, whole, and the short chaos test; minutes
	BRAINCTL_WHOLE_SUITES=true $(BIN)/python -m pytest -n 2 tests/clients tests/faults/chaos

bench: .venv/develop  ## etcd and brainctl side by side, about 8 minutes; writes bench/results.json, tables and plots
	$(BIN)/python -m tests.peers.build etcd etcd-load
	$(BIN)/python -m bench --write

bench-full: .venv/develop  ## the same with more workloads and rounds, a million keys, migration: about 45 minutes
	$(BIN)/python -m tests.peers.build etcd etcd-load tikv-playground
	$(BIN)/python -m bench --write --full --rounds 5 --seconds 3
	$(BIN)/python -m bench.migration --write --tikv
	$(BIN)/python -m bench.tikv --write

bench-medium: .venv/develop  ## bytes at a device of their own (needs root), and a defragmentation under load: 15 minutes
	$(BIN)/python -m tests.peers.build etcd etcd-load
	$(BIN)/python -m bench.device --write --work /dev/shm
	$(BIN)/python -m bench.defrag --write

soak: .venv/develop  ## brainctl at full load for SOAK_MINUTES; fails when it grows, errs or slows down
	$(BIN)/python -m tests.peers.build etcd-load
	$(BIN)/python -m bench.soak --minutes $(SOAK_MINUTES) --write

generate: .venv/develop  ## protobuf messages, manual pages, completions, the pictures
	for script in proto man completions; do $(BIN)/python scripts/gen_$$script.py; done
	$(BIN)/python scripts/draw_threads.py
	$(BIN)/python scripts/draw_demo.py

pins: .venv/develop  ## take newer versions of the dependencies
	$(BIN)/python scripts/pin.py

# Longer than `make test`, over the same code: docs/internals/faults.md says what each one shows.

.PHONY: power-cut device-errors simulate failpoints kill fuzz mutants chaos test-tikv
power-cut: .venv/develop  ## 3000 power cuts of ext4 on a recorded disk; needs root
	$(BIN)/python -m tests.faults.power --points $(or $(POINTS),3000)

simulate: .venv/develop  ## a million steps of a simulated server; SEED and SEEDS say which
	$(BIN)/python -m tests.faults.simulation --seed $(or $(SEED),1000) --seeds $(or $(SEEDS),500) --steps 2000

failpoints: .venv/develop  ## every named place of the engine and the node: a crash, an error, a pause; TURNS of each
	$(BIN)/python -m tests.faults.simulation --turns $(or $(TURNS),20) --seed $(or $(SEED),1)

kill: .venv/develop  ## 1000 times kill -9 of a server under eight writers, compaction and defragmentation
	$(BIN)/python -m tests.faults.crash.server_kills --cycles $(or $(CYCLES),1000)

fuzz: .venv/develop  ## a million changed inputs for the reader of every format
	$(BIN)/python -m tests.faults.crash.fuzz --cases $(or $(CASES),1000000)

mutants: .venv/develop  ## every planted bug, and whether its suite finds it
	$(BIN)/python -m pytest -v -n 2 tests/faults/crash/test_controls.py tests/faults/simulation/test_controls.py \
	  tests/unit/mvcc/test_watch_model.py tests/faults/power/test_power_cut.py tests/faults/crash/test_server_kills.py \
	  tests/faults/crash/test_fuzz.py -k "planted or control or broken or found or caught or group"

chaos: .venv/develop  ## three instances over one TiKV under random faults, a verdict for each of many histories (MINUTES=, SEED=)
	$(BIN)/python -m tests.peers.build tikv-playground
	$(BIN)/python -m tests.faults.chaos --minutes $(MINUTES) --seed $(or $(SEED),1)

test-tikv: .venv/develop  ## contract, instances and chaos on a TiKV of your own, in a prefix that is removed: BRAINCTL_TEST_PD=HOST:PORT
	@test -n "$(BRAINCTL_TEST_PD)" || { echo "which cluster? make test-tikv BRAINCTL_TEST_PD=HOST:PORT"; exit 2; }
	BRAINCTL_TEST_PD=$(BRAINCTL_TEST_PD) $(BIN)/python -m pytest -q tests/faults/chaos tests/e2e/test_instances.py tests/contract \
	  -k "not (etcd or memory or local or served) or served-tikv"

device-errors: .venv/develop  ## a failing device under brainctl and under etcd; writes the table; needs root
	$(BIN)/python -m tests.peers.build etcd
	$(BIN)/python -m tests.faults.power.beside --runs $(or $(RUNS),5) --write

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist site
	find brainctl tests scripts bench -name __pycache__ -type d -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "brainctl needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/runtime: requirements/runtime.txt pyproject.toml | .venv/bin/python
	$(INSTALL) --require-hashes -r requirements/runtime.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

.venv/develop: requirements/develop.txt pyproject.toml | .venv/bin/python
	$(INSTALL) --require-hashes -r requirements/develop.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@ .venv/runtime
