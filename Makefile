# make demo   set up, record demonstrations, train, evaluate and film a policy
# make test   set up, lint, check types and run the tests
# make test-slow   run the tests that take minutes each
# make test-gpu    run the tests that need a GPU; give a CUDA build, as TORCH="torch>=2.11,<2.14"
# make client build the browser client of teleoperation (needs npm)
# make cards  write the cards and pictures of tasks anew, and the cards of the datasets in data/
# make datasets    record all demonstrations anew, replay them, and write the cards
# make clean  remove the environment and what was built
PYTHON ?= python3
VENV ?= .venv
# This very version: a range would take whatever CUDA build is newest.
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-gpu client lint cards datasets clean
.DEFAULT_GOAL := test

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[dev,teleop]"
	touch $@

demo: $(VENV)/ready
	$(BIN)/gym-grasp demo

# The browser client of teleoperation; without npm its end-to-end tests are skipped.
CLIENT := src/gym_grasp/teleop/webxr
$(CLIENT)/dist/index.html: $(wildcard $(CLIENT)/src/*) $(CLIENT)/package-lock.json
	if command -v npm >/dev/null; then cd $(CLIENT) && npm ci --silent && npm run --silent build; fi

client: $(CLIENT)/dist/index.html

lint: $(VENV)/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: lint client
	OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest --durations=10

test-slow: $(VENV)/ready
	OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -m slow --durations=0

test-gpu: $(VENV)/ready
	$(BIN)/pip install --quiet --editable ".[cuda]"
	$(BIN)/pytest -m gpu --durations=10

cards: $(VENV)/ready
	$(BIN)/python -m gym_grasp.bench.cards docs data

datasets: $(VENV)/ready
	$(BIN)/gym-grasp demos record --all --overwrite
	for file in data/*.hdf5; do $(BIN)/gym-grasp demos validate $$file || exit 1; done
	$(BIN)/python -m gym_grasp.bench.cards docs data

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache .mypy_cache
