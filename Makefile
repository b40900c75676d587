# Two commands do everything on a fresh machine with Python 3.10 or newer and make:
#   make demo    install, then the whole job on embedded data
#   make test    the same, then every check and test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check format tests test-slow clean

demo: $(VENV)/.demo
	$(BIN)/transfer demo --out runs/demo

test: demo check tests

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tests: $(VENV)/.test
	$(BIN)/python -m pytest -m "not slow"

# What takes minutes: real archives at full size, many kills of one run.
test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs build *.egg-info

$(VENV)/.demo: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,notebooks,test]'
	touch $@
