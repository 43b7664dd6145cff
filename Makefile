# `make demo` and `make test` set up everything that they need in .venv; nothing is installed by hand.
PYTHON ?= python3.11
CONSTRAINTS ?= constraints.txt
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.installed-for-demo
SLOW ?= not slow

.PHONY: demo test test-all suite test-newest test-oldest test-neighbours dist lint format bench bench-scores docs clean

# What the demo needs: the package itself and a plot.
$(DEMO_STAMP): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[plot]"
	@touch $@

$(STAMP): $(DEMO_STAMP)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[test,plot]"
	@touch $@

demo: $(DEMO_STAMP)  ## cross-validate HyperFusion beside its baselines on generated data
	$(BIN)/python examples/demo.py

test: lint suite  ## lint, import contracts, tests

suite: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "$(SLOW)"

test-all: SLOW := slow or not slow
test-all: test

# Only torch keeps its pin, since its newest build pulls gigabytes.
build/constraints-newest.txt: constraints.txt
	@mkdir -p build
	@grep '^torch==' constraints.txt > $@

test-newest: build/constraints-newest.txt  ## the suite on the newest versions of all else, in .venv-newest
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=build/constraints-newest.txt

test-oldest:  ## the suite, without lint, on the oldest versions that pyproject.toml declares, in .venv-oldest
	$(MAKE) suite VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

$(VENV)/.neighbours: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[test,plot,medical,neighbours]"
	@touch $@

test-neighbours: $(VENV)/.neighbours  ## Optuna, MAPIE, imbalanced-learn, skrub, accelerate, MONAI, torchio
	$(BIN)/python -m pytest -rs -m "slow or not slow" tests/sklearn_home/test_home_neighbours.py \
		tests/sklearn_home/test_home_parallel.py tests/images/test_augmentation.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## every benchmark of speed at small sizes, in under 10 minutes
	for script in layer_speed training_step estimator_overhead first_epoch search_cache prediction scale \
			alternatives cost usual_studies busy_machine wide_table; do \
		$(BIN)/python benchmarks/$$script.py --quick --results build/bench || exit 1; done

bench-scores: $(STAMP)  ## the scores that README states: hours; the real data only where it is found
	$(BIN)/python benchmarks/cohort_check.py --n-subjects 200 --shape 24
	$(BIN)/python benchmarks/cohort_fusions.py
	$(BIN)/python benchmarks/fusion_table.py
	-$(BIN)/python benchmarks/hc18_circumference.py
	-$(BIN)/python benchmarks/ixi_age.py
	-$(BIN)/python benchmarks/pad_cancer.py
	-$(BIN)/python benchmarks/fusion_table.py --data ixi
	-$(BIN)/python benchmarks/fusion_table.py --data pad

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[docs]"
	@touch $@

dist: $(STAMP)  ## sdist and wheel in dist/, checked, and the wheel tried in an environment of its own
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[release]"
	rm -rf dist build/smoke
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/smoke
	$(subst $(VENV),build/smoke,$(BIN))/python -m pip install --quiet --constraint $(CONSTRAINTS) torch
	$(subst $(VENV),build/smoke,$(BIN))/python -m pip install --quiet --constraint $(CONSTRAINTS) dist/*.whl
	cd build && smoke/$(notdir $(BIN))/python ../tests/smoke.py

docs: $(VENV)/.docs  ## the documentation, in docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) .venv-newest .venv-oldest build dist *.egg-info
