# Two commands matter: `make demo` and `make test`. Both set up .venv on their first run.
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Workers are the parallel part of a test run: threads inside them would wait for each other on a busy machine.
ONE_THREAD := OMP_NUM_THREADS=1
INSTALL := $(PIP) install -q -c constraints.txt

.PHONY: help demo test test-slow lint format wheel bench-pair bench-transport bench-arithmetic bench-priority bench-trees bench-decode kill-table bench-oracle audits gpu train clean
.DEFAULT_GOAL := help

help:  ## this list
	@echo "make TARGET [PYTHON=python3.12] [WORKERS=2]"
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.demo-ready  ## decode real prompts, check every rule, write demo/report.html
	$(BIN)/specmath demo

test: $(VENV)/.test-ready  ## all proofs and tests, doctests and the README's example
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not gpu" --doctest-modules --doctest-glob="*.md" \
		proofs_tests specmath reference docs README.md

test-slow: $(VENV)/.test-ready  ## the larger instances of the same proofs
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) -m "slow and not gpu" proofs_tests

lint: $(VENV)/.test-ready  ## ruff (rules and format) and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.test-ready  ## let ruff rewrite the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/.test-ready  ## build sdist and wheel, check the wheel in an empty environment
	PYTHON=$(BIN)/python .ci/wheel

bench-pair: $(VENV)/.demo-ready  ## what the shipped pair costs: draft step in target steps, training time
	$(BIN)/python benchmarks/pair.py

bench-transport: $(VENV)/.test-ready  ## what optimum and coupling cost, in argsorts and in other rules' rounds
	$(BIN)/python benchmarks/transport.py

bench-priority: $(VENV)/.test-ready  ## how close graded priority comes to the optimum on 2,400 fresh contexts; keeps the rows
	$(BIN)/python benchmarks/priority.py

bench-trees: $(VENV)/.test-ready  ## accepted tokens of the tree rules, against the joint optimum and on the pair
	$(BIN)/python benchmarks/trees.py

bench-arithmetic: $(VENV)/.demo-ready  ## what order-independent arithmetic costs, and how close it is to float32
	$(BIN)/python benchmarks/arithmetic.py

bench-decode: $(VENV)/.test-ready  ## decoders against plain decoding, transformers and native arithmetic; keeps the numbers
	$(BIN)/python -m benchmarks.decode --write benchmarks/results

kill-table: $(VENV)/.test-ready  ## every planted defect of a verifier, and which check or public test sees it; goes on where it was
	$(ONE_THREAD) $(BIN)/python -m benchmarks.kill_table

bench-oracle: $(VENV)/.test-ready  ## time to verdict of the exact audit against a chi-square test on samples; keeps the numbers
	$(ONE_THREAD) $(BIN)/python -m benchmarks.verdict_time --write benchmarks/results

audits: $(VENV)/.test-ready  ## audit the published implementations that are here; keeps docs/audits/verdicts.json and .md
	$(ONE_THREAD) $(BIN)/python -m benchmarks.audits

gpu: $(if $(GPU_PYTHON),,$(VENV)/.test-ready)  ## all CUDA evidence in less than 8 minutes; keeps benchmarks/results/gpu.json
	$(or $(GPU_PYTHON),$(BIN)/python) benchmarks/gpu.py

train: $(VENV)/.demo-ready  ## train the shipped pair again, on this Python's library
	$(BIN)/python -m reference.pair.train

clean:  ## remove what make built, .venv included; checkpoints of `make train` stay in build/pair
	rm -rf $(VENV) dist demo *.egg-info .pytest_cache .ruff_cache .hypothesis
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name pair -exec rm -rf {} +

# The environment. A stamp is written only after pip succeeded, so that an interrupted set-up is taken up again.
$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { \
		echo "'$(PYTHON)' was not found. Name an interpreter: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "specmath needs Python 3.11 to 3.13; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)." \
			"Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) -V 2>&1)"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "'$(PYTHON) -m venv $(VENV)' failed; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.demo-ready: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing specmath[torch,plot] into $(VENV), versions as in constraints.txt (once, some minutes)"
	@$(INSTALL) -e ".[torch,plot]"
	@touch $@

$(VENV)/.test-ready: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing specmath[test] into $(VENV), versions as in constraints.txt (once, some minutes)"
	@$(INSTALL) -e ".[test]"
	@touch $@
