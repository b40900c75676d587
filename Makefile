# Two commands do everything on a fresh machine with Python 3.10 or newer and make:
#   make demo    install, then the whole pipeline on embedded data
#   make test    the same, then every check and test
# `make help` lists all targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test check docs pictures notebooks format tests test-slow bench-quick faults audit hooks clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 20

demo: $(VENV)/.demo ## Install, then run the whole pipeline on data that the packages carry
	$(BIN)/transfer demo --out runs/demo

test: demo check docs tests bench-quick ## Run the demo, the linter, the type checker, the documentation, the tests, and every benchmark at smoke size

check: $(VENV)/.test ## Run the linter, the type checker, and the checks of the English
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/extensions/prose.py

docs: $(VENV)/.test ## Build the documentation in build/docs; a warning or a broken link fails
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs

notebooks: $(VENV)/.test ## Run the notebooks, and store what they show
	$(BIN)/python notebooks/execute.py notebooks/*.ipynb

pictures: $(VENV)/.demo ## Take the pictures of the documentation from the page of `make demo`, with Chromium
	$(BIN)/python docs/pictures/take.py

tests: $(VENV)/.test ## Run the tests, except the slow ones, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 8 --dist loadfile

test-slow: $(VENV)/.test ## Run the slow tests: real archives at full size, every architecture, many kills of one run
	$(BIN)/python -m pytest -m slow

bench-quick: $(VENV)/.test ## Run every benchmark at smoke size: it shows that they work, and measures nothing
	$(BIN)/python benchmarks/quick.py

faults: $(VENV)/.test ## Disturb every command 400 times: kills, full disks, damaged files, two at once; print what came of it
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/faults.py

format: $(VENV)/.test ## Fix what the linter can fix, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: $(VENV)/.test ## Look the installed packages up in the databases of known vulnerabilities; needs a network
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --skip-editable

hooks: $(VENV)/.test ## Check every commit before git makes it
	$(BIN)/pre-commit install

clean: ## Remove the environment, runs and build files
	rm -rf $(VENV) runs build *.egg-info

$(VENV)/.demo: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,docs,notebooks,test]'
	touch $@
