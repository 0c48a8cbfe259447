# make demo   set up, record demonstrations, train, evaluate and film a policy
# make test   set up, lint, check types and run the tests
# make test-slow   run the tests that take minutes each
# make newcomer   walk the path of README and docs/extending.md in a fresh clone, with all tests
# make test-gpu    run the tests that need a GPU; give a CUDA build, as TORCH="torch>=2.11,<2.14"
# make torture      try half a million steps a task, thousands of damaged files, kills and sieges
# make torture-full    the same for hours; it goes on where it was cut off
# make test-datasets   LeRobot and the viewers, which need environments of their own
# make client build the browser client of teleoperation (needs npm)
# make dist   build wheel and source distribution, the client inside, and try the wheel;
#             URL=https://… names the repository in the metadata
# make test-integrations  everything with other tools: their tests, test-lowest and test-datasets
# make test-lowest     the CPU path with the lowest torch, NumPy and Gymnasium (whose torch comes with CUDA: 3 GB)
# make docs   build the documentation's site into build/site; URL=https://… lets it link to the code
# make cards  write the cards and pictures of tasks anew, and the cards of the datasets in data/
# make datasets    record all demonstrations anew, replay them, and write the cards
# make constraints install the newest releases that pyproject.toml allows, and write them down
# make clean  remove the environment and what was built
PYTHON ?= python3
VENV ?= .venv
# The tested release: a range would take whatever CUDA build is newest.
TORCH ?= $(shell grep '^torch==' constraints.txt)
PYTEST_FLAGS ?=
WORKERS ?= 2
BIN := $(VENV)/bin
# Plugins by name: a stranger's, installed beside, may not bear several workers.
PYTEST := OMP_WAIT_POLICY=PASSIVE PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(BIN)/pytest -p xdist -p pytest_cov
TESTED := $(VENV)/constraints.txt
PIP := $(BIN)/pip install --quiet

.PHONY: demo test test-slow newcomer test-gpu torture torture-full client check-client dist tools test-integrations test-lowest test-datasets lint docs cards datasets constraints clean
.DEFAULT_GOAL := test

SAY := @echo "make:"

$(VENV)/ready: pyproject.toml constraints.txt
	$(SAY) "1/3 an environment of its own in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) has no venv; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PIP) --upgrade pip
	$(SAY) "2/3 installing $(TORCH), 200 MB and more: up to some minutes without a word"
	@$(PIP) "$(TORCH)"
	@grep -v '^torch==' constraints.txt > $(TESTED)
	$(SAY) "3/3 installing gym-grasp with MuJoCo and its tools, about a minute"
	@$(PIP) --constraint $(TESTED) --editable ".[dev,teleop]"
	@touch $@
	$(SAY) "done; 'source $(BIN)/activate' puts the command gym-grasp within reach"

demo: $(VENV)/ready
	@$(BIN)/gym-grasp demo
	$(SAY) "'source $(BIN)/activate' puts the command gym-grasp within reach"

# The browser client of teleoperation; without npm its end-to-end tests are skipped.
NO_NPM := npm is not installed: the page of teleoperation is not built, and what tests it in a browser is skipped; on Debian or Ubuntu: apt-get install npm
CLIENT := src/gym_grasp/teleop/webxr
MODULES := $(CLIENT)/node_modules/.package-lock.json
$(MODULES): $(CLIENT)/package-lock.json
	@if command -v npm >/dev/null; then echo "make: installing what builds the browser client"; \
		cd $(CLIENT) && npm ci --loglevel=error --no-audit --no-fund >/dev/null && touch node_modules/.package-lock.json; fi

$(CLIENT)/dist/index.html: $(shell find $(CLIENT)/src $(CLIENT)/public -type f) $(MODULES)
	@if command -v npm >/dev/null; then cd $(CLIENT) && npm run --silent build; else echo "make: $(NO_NPM)"; fi

client: $(CLIENT)/dist/index.html
	@test -f $< || { echo "make: without npm there is no client"; exit 1; }

check-client: $(MODULES)
	@if command -v npm >/dev/null; then cd $(CLIENT) && npm run --silent check; fi

# What setup.py refuses to do without the client.
URL ?=
dist: $(VENV)/ready client
	rm -rf dist build/lib build/bdist.*
	PROJECT_URL="$(URL)" $(BIN)/python -m build --outdir dist
	$(BIN)/python tests/packaging/smoke.py $$(ls $(CURDIR)/dist/*.whl) "$(TORCH)" $(CURDIR)/$(TESTED)

# Foreign tools that fit into $(VENV); the first are extras. robomimic's pins name what does not build,
# and ur_rtde is not built for every Python: without them their tests are skipped.
TOOLS := study,sb3,torchrl,skrl,rsl-rl,export,onnx
tools: $(VENV)/ready
	@$(PIP) --constraint $(TESTED) --editable ".[$(TOOLS)]"
	@$(PIP) --constraint $(TESTED) psutil six tensorboardX termcolor tqdm ur-rtde \
		&& $(PIP) --constraint $(TESTED) --no-deps torchvision robomimic \
		|| echo "make: robomimic and ur_rtde do not install here; their tests are skipped"

test-integrations: tools test-lowest test-datasets
	$(PYTEST) -m "slow or not slow" tests/integrations tests/test_examples.py

# The lowest releases that pyproject.toml allows of what other tools pin as well.
LOWEST := $(VENV)-lowest
$(LOWEST)/ready: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet pytest --editable . "torch==2.7.*" "numpy==2.0.*" "gymnasium==1.1.1"
	touch $@

test-lowest: $(LOWEST)/ready
	OMP_WAIT_POLICY=PASSIVE $(LOWEST)/bin/python -m pytest tests/envs/test_vector.py tests/envs/test_single.py \
		tests/envs/test_arrays.py tests/demos/test_reader.py tests/learning/test_learner.py \
		tests/learning/test_checkpoint.py tests/learning/test_loss.py tests/learning/test_networks.py

# What does not fit into $(VENV): LeRobot wants another torch and NumPy, the viewers other releases of rich.
test-datasets:
	PYTHON=$(PYTHON) sh tests/integrations/run_datasets.sh

lint: $(VENV)/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: lint check-client $(CLIENT)/dist/index.html tools
	$(SAY) "running the tests on $(WORKERS) workers: some ten minutes"
	$(PYTEST) -m "not slow and not realtime" -n $(WORKERS) --dist worksteal --durations=10 $(PYTEST_FLAGS)
	$(PYTEST) -m "realtime and not slow" --durations=5 $(PYTEST_FLAGS) $(if $(findstring --cov,$(PYTEST_FLAGS)),--cov-append)

test-slow: $(VENV)/ready
	$(PYTEST) -m slow --durations=0

newcomer:
	tests/newcomer.sh $(CURDIR)

test-gpu: $(VENV)/ready
	$(PIP) --constraint $(TESTED) --editable ".[cuda]"
	$(BIN)/pytest -m gpu --durations=10

# What is in tests/torture, in another amount; a table of what was tried, held and failed ends it.
# One worker more than cores, since some only wait. Root has more tried: file systems, networks.
torture: AMOUNT := short
torture-full: AMOUNT := full
torture torture-full: $(VENV)/ready
	rm -f build/torture-short.jsonl
	TORTURE=$(AMOUNT) $(PYTEST) tests/torture -m "not realtime" -n $$(($(WORKERS) + 1)) --dist worksteal $(PYTEST_FLAGS); kept=$$?; \
	TORTURE=$(AMOUNT) $(PYTEST) tests/torture -m "realtime" $(PYTEST_FLAGS) && exit $$kept

# Warnings are errors: links, anchors and names of the API have to exist, and people to get at them.
docs: $(VENV)/ready
	@$(PIP) --constraint $(TESTED) --editable ".[docs]"
	$(BIN)/python docs/assemble.py build/docs $(URL)
	@$(BIN)/zensical build --clean --strict > build/docs.log 2>&1 || { cat build/docs.log; exit 1; }
	@cat build/docs.log; ! grep -q griffe build/docs.log
	@$(BIN)/python tests/site_check.py build/site

cards: $(VENV)/ready
	$(BIN)/python -m gym_grasp.bench.cards docs data

datasets: $(VENV)/ready
	$(BIN)/gym-grasp demos record --all --overwrite
	for file in data/*.hdf5; do $(BIN)/gym-grasp demos validate $$file || exit 1; done
	$(BIN)/python -m gym_grasp.bench.cards docs data

# Without CUDA's packages, and torch without its build: which of them fits is the machine's affair.
constraints: $(VENV)/ready
	$(PIP) --upgrade --upgrade-strategy eager "$(TORCH)" --editable ".[dev,teleop,docs,$(TOOLS)]"
	$(BIN)/pip freeze --exclude-editable \
		| grep -Eiv '^(nvidia|cuda|triton|warp-lang|mujoco-warp)' | sed 's/+.*//' > constraints.txt
	touch $(VENV)/ready

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache .mypy_cache
