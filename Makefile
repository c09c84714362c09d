# `make read` reads a PDF; `make test` proves the whole. Both make .venv themselves and can be run again at any time.
PYTHON ?= python3
PDF ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# uv installs the same files, by the same hashes, in a part of the time; without it, or where it fails, pip does.
UV := $(shell command -v uv 2>/dev/null)
UV_INSTALL := $(UV) pip install --quiet --python $(BIN)/python --compile-bytecode
install = $(if $(UV),$(UV_INSTALL) $(1) || )$(PIP) install $(1)

.PHONY: help read up down test test-long test-boot test-bare tools check fmt bench accuracy screenshots docs lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 15) or sys.exit(f"Hearth needs Python 3.11 to 3.14; {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12 ...")'
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

.venv/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing Hearth and its locked dependencies into .venv (about a minute, once)"
	@if $(PIP) show --quiet pymupdf 2>/dev/null; then $(PIP) uninstall --yes pymupdf; fi  # pymupdf-lite owns the same files
	@$(call install,--no-deps --require-hashes --requirement requirements.lock)
	@$(call install,--no-deps --no-build-isolation --editable .)
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	@echo "Installing the locked test dependencies into .venv"
	@$(call install,--no-deps --require-hashes --requirement requirements-dev.lock)
	@touch $@

build/sample.pdf: | .venv/.installed
	@$(BIN)/hearth sample $@

read: .venv/.installed $(if $(PDF),,build/sample.pdf) ## Read a PDF:  make read PDF=paper.pdf  (without PDF, a sample that Hearth makes)
	@$(BIN)/hearth read --text "$(if $(PDF),$(PDF),build/sample.pdf)"

up: .venv/.installed ## Bring up Prefect here: server, deployments, worker
	@$(BIN)/hearth up

down: .venv/.installed ## End them
	@$(BIN)/hearth down

# Four at once keep two cores busy; each imports all tests first, which takes 10 s. A file stays on one worker, long files come first
# (tests/support/order.py). Bytecode is kept, also where the environment says otherwise: hundreds of processes start.
# Each run ends with its slowest 20 and what it skipped.
WORKERS ?= 4
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=20

FILES ?=
test: .venv/.installed-dev ## Run the unit tests, and one of each way through the whole (FILES="tests/unit" for some)
	@$(PYTEST) $(FILES)

test-long: .venv/.installed-dev ## Run the tests that `make test` leaves out: each is marked `long`, with why
	@$(PYTEST) -m "long and not always"

test-boot: .venv/.installed-dev ## Boot machines for real, in containers (as root, with `make tools` and a Debian mirror in reach; about ten minutes)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -p no:xdist -m boot tests/integration/boot

tools: | $(BIN)/python ## Install the programs that some tests need: nginx, Chromium, PostgreSQL, llama-server and others
	@PYTHON=$(BIN)/python tests/support/tools.sh

ROOTS ?= trixie sid
TESTS ?= yes
test-bare: ## Read and test in bare Debian roots with Python 3.13 and 3.14 (as root; ROOTS=sid for one, TESTS=no to read alone)
	@ROOTS="$(ROOTS)" TESTS="$(TESTS)" FILES="$(FILES)" WORKERS="$(WORKERS)" tests/bare/run.sh

check: .venv/.installed-dev ## Lint, formatting, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: .venv/.installed-dev ## Format and mend what ruff can mend
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: .venv/.installed-dev ## Measure starts, pages, documents, text layers and a real llama-server (`make tools`)
	@$(BIN)/python -m tests.benchmarks.run_all

accuracy: .venv/.installed-dev ## Measure the character error rate:  make accuracy PDF="a.pdf b.pdf"
	@$(BIN)/python -m tests.benchmarks.accuracy $(PDF)

screenshots: .venv/.installed-dev ## Use Prefect's UI in Chromium, and write docs/pictures/ui-*.png
	@$(BIN)/python -m tests.support.pictures

docs: .venv/.installed-dev ## Write the generated parts of docs/
	@$(BIN)/python -m tests.support.generated_docs

LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet --custom-compile-command "make lock"
LOCK := uv pip compile pyproject.toml $(LOCK_OPTIONS)
# Of tools in environments of their own. parliament imports pkg_resources, which newer setuptools warn of, then lack.
LOCK_TOOL := uv pip compile - $(LOCK_OPTIONS)
lock: ## Resolve the dependencies anew (needs uv)
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group build --extra aws --constraint requirements.lock --output-file requirements-aws.lock
	$(LOCK) --group dev --all-extras --constraint requirements.lock --output-file requirements-dev.lock
	printf "httpx>=0.28,<0.29\nstarlette>=1\nuvicorn>=0.34\n" | $(LOCK_TOOL) --constraint requirements.lock --output-file infra_scripts/sagemaker/requirements.txt
	echo "checkov>=3.3,<4" | $(LOCK_TOOL) --output-file tests/support/checkov.lock
	printf "parliament>=1.6.4,<2\nsetuptools<81\n" | $(LOCK_TOOL) --output-file tests/support/parliament.lock
	printf "gguf>=0.19,<0.20\nmineru-llama-cpp>=0.2,<0.3\n" | $(LOCK_TOOL) --output-file tests/support/llama-server.lock

clean: ## Remove .venv, .tools and what was built
	rm -rf .venv .tools build .mypy_cache .ruff_cache .pytest_cache .hypothesis
