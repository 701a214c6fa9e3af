# The whole set-up needs Python 3.11+ (venv, pip), make and a package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test test-long lint scale chaos outage drill bench follow cutover cadence rates fuzz guards audit clean

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "yse_ingest needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(VENV)/.installed ## The whole service on the sandbox: 31 real supernovae (ONCE=1 ends when all are stored)
	$(BIN)/yse-ingest up --sandbox $(if $(ONCE),--once)

# Four at a time: most of them wait. Those of the workers run in processes of their own, for
# Celery sets up logging once per process.
TOGETHER := -n 4 --dist loadfile
LONG     := tests/workers/test_secrets.py tests/workers/test_atlas_job.py \
            tests/cli/test_push_atlas.py tests/campaigns/test_beside_the_crons.py \
            tests/campaigns/test_follow_campaign.py tests/campaigns/test_short_drill.py \
            tests/campaigns/test_short_rates.py tests/campaigns/test_short_scale.py

test: $(VENV)/.installed ## The tests
	$(BIN)/pytest $(TOGETHER) --ignore=tests/workers --ignore=tests/test_up.py \
	  $(addprefix --ignore=,$(LONG))
	$(BIN)/pytest $(TOGETHER) tests/test_up.py tests/workers $(addprefix --ignore=,$(LONG))

test-long: $(VENV)/.installed ## The tests that wait long
	$(BIN)/pytest $(LONG)

scale: $(VENV)/.installed ## 100,000 targets: import, dispatch with two beats, add and remove; a claim out of a million
	$(BIN)/python -m tests.campaigns.scale

cutover: $(VENV)/.installed ## The cut-over beside six years of crons: 50 rounds of both, with figures
	$(BIN)/python -m tests.campaigns.cutover --rounds 50 --objects 31

lint: $(VENV)/.installed ## Format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

chaos: $(VENV)/.installed ## Faults of every kind, three seeds; figures in docs/chaos.md (SEED=7 replays one)
	$(BIN)/python -m tests.campaigns.chaos $(if $(SEED),--seed $(SEED))

outage: $(VENV)/.installed ## YSE-PZ is away for a day, 720 times as fast, with 10,000 points owed
	$(BIN)/python -m tests.campaigns.outage

drill: $(VENV)/.installed ## Three brokers of ZTF, one dead for six hours, one garbled, one lying; 720 times as fast
	$(BIN)/python -m tests.campaigns.drill

follow: $(VENV)/.installed ## A YSE-PZ with 5,000 transients, followed by status, tag and saved query; renames
	$(BIN)/python -m tests.campaigns.follow

bench: $(VENV)/.installed ## Every figure of speed beside its reference; docs/performance.md explains them
	$(BIN)/python -m bench

audit: ## Known vulnerabilities of the locked dependencies (asks PyPI)
	@PYTHON=$(PYTHON) .ci/audit

cadence: $(VENV)/.installed ## What the adaptive cadence saves on real light curves, and what it delays
	$(BIN)/python -m tests.campaigns.cadence

rates: $(VENV)/.installed ## Eight workers under one rate of a source, and a 429, from the source's own log
	$(BIN)/python -m tests.campaigns.rates

fuzz: $(VENV)/.installed ## 100,000 mutated inputs and a stateful model; INPUTS=n, SEED=n replays
	$(BIN)/python -m tests.campaigns.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED))

guards: $(VENV)/.installed ## Remove the guard of each known trap, and see its test fail
	$(BIN)/python -m tests.campaigns.guards

clean: ## Remove what was built, and the sandbox's state
	rm -rf $(VENV) var dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
