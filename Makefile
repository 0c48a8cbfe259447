# make demo   set up, record demonstrations, train, evaluate and film a policy
# make test   set up, lint, check types and run the tests
# make cards  write the task cards and pictures of docs/tasks anew
# make clean  remove the environment and what was built
PYTHON ?= python3
VENV ?= .venv
# This very version: a range would take whatever CUDA build is newest.
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin

.PHONY: demo test lint cards clean
.DEFAULT_GOAL := test

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[dev,teleop]"
	touch $@

demo: $(VENV)/ready
	$(BIN)/gym-grasp demo

lint: $(VENV)/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: lint
	OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest --durations=10

cards: $(VENV)/ready
	$(BIN)/python -m gym_grasp.bench.cards docs/tasks

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache .mypy_cache
