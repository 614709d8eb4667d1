# Everything a developer types. `make` alone explains. Needs Python 3.11 or newer with its headers, a C++20 compiler
# and make; scripts/setup finds them, says plainly what is missing, and does nothing when all is up to date.
# PYTHON=… chooses the interpreter, CXX=… the compiler, WORKERS=… how many test processes (most of their time they wait
# for processes that they started), ARGS=… is passed on.

BIN := .venv/bin
WORKERS ?= 6
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test runbook lint types format bench fuzz kill-test crash-test simulate outage-test healthy-site copy-test conftoolp-test mongo-servers lock clean
MAKEFLAGS += --no-print-directory

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## the virtual environment in .venv, as requirements/dev.lock says
	@scripts/setup

demo: setup  ## see the main job run: made-up runs, the real daemon, a real UconDB server
	@$(BIN)/archiverd demo $(ARGS)

test: setup  ## the whole test suite
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

runbook: setup  ## the troubleshooting guide as a test suite; writes docs/troubleshooting.md, docs/runbook-coverage.md
	@$(BIN)/python scripts/troubleshooting.py --coverage

lint: setup  ## ruff: rules and layout
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: setup  ## mypy, strict
	@$(BIN)/mypy

format: setup  ## lay the code out and repair what ruff can repair
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: setup  ## every benchmark, one after the other
	@set -e; for script in benchmarks/bench_*.py; do echo "$$script"; $(BIN)/python "$$script" $(ARGS); done

bench-%: setup
	@$(BIN)/python benchmarks/bench_$(subst -,_,$*).py $(ARGS)

fuzz: setup  ## the FHiCL engine on recorded and mutated inputs under the sanitizers (N=… mutations of each)
	@$(BIN)/python native/fuzz/make_corpus.py build/fuzz/corpus
	@PATH="$(abspath $(BIN)):$$PATH" cmake -S native -B build/fuzz -G Ninja -DFHICL_FUZZ=ON \
		-DCMAKE_BUILD_TYPE=RelWithDebInfo >build/fuzz/cmake.log
	@PATH="$(abspath $(BIN)):$$PATH" cmake --build build/fuzz >>build/fuzz/cmake.log
	@build/fuzz/fuzz/fuzz_engine -n $(or $(N),200) build/fuzz/corpus/*

kill-test: setup  ## imports killed with -9 at 200 random moments
	@ARCHIVERD_KILLS=200 $(BIN)/pytest tests/artdaqdb/test_killed.py

crash-test: setup  ## killed with -9 after every effect of every scenario, and 300 times under live load
	@ARCHIVERD_CRASH_POINTS=0 ARCHIVERD_DAEMON_KILLS=300 $(BIN)/pytest -n $(WORKERS) tests/e2e/test_crash_points.py

simulate: setup  ## years of operation in minutes, on virtual time with seeded faults (DAYS=…, ARGS=--seed N)
	@$(BIN)/python tests/simulation/simulate.py --days $(or $(DAYS),10000) $(ARGS)

outage-test: setup  ## UconDB killed, frozen, failing, cutting, slow during 200 uploads each
	@ARCHIVERD_OUTAGE_RUNS=200 $(BIN)/pytest tests/e2e/test_outages.py

healthy-site: setup  ## 220 clean records of every layout and profile, by the daemon and by once: no flag, all verified
	@ARCHIVERD_HEALTHY_RUNS=5 $(BIN)/pytest -n 2 tests/e2e/test_healthy_site.py

copy-test: setup  ## every way a run was once called verified and was not whole, 20 times each, four at a time
	@seq 20 | xargs -P 4 -I{} $(BIN)/pytest -q -n $(WORKERS) -p no:cacheprovider $(ARGS) $(addprefix tests/e2e/test_,$(addsuffix .py,\
		whole_records jumping_clock changed_directories damaged_blobs destinations names unmounted taken_over validation backfill))

conftoolp-test: setup  ## the experiment's library dying, hanging and killed at random during 100 imports
	@ARCHIVERD_CONFTOOLP_RUNS=100 $(BIN)/pytest -s -n 0 tests/e2e/test_conftoolp.py -k lose_nothing

mongo-servers:  ## servers for the tests of MongoDB, where Go and Maven exist
	@scripts/mongo-servers

lock: setup  ## resolve the dependencies of pyproject.toml anew into requirements/*.lock
	@scripts/lock $(ARGS)

clean:  ## remove everything that was made here
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
