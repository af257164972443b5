# The words of the project. `make demo` and `make test` set up what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A new requirements.txt means a new stamp, so the environment is made again; else it is kept.
STAMP := $(VENV)/.installed-$(firstword $(shell cat requirements.txt pyproject.toml | cksum))

.PHONY: help install demo test unit faults attacks families check bench backbones notebooks wheels clean

help:
	@echo "make install   set up $(VENV)"
	@echo "make demo      the main job on drawn materials: four models, one report"
	@echo "make test      all tests"
	@echo "make unit      the quick ones"
	@echo "make faults    kill small runs at 100 random points and other jobs at 20, and go on with them; two runs at once"
	@echo "make families the contract of models for all families of networks, not only for those that each run tries"
	@echo "make attacks   the generators of odd datasets, photos, labels and run folders, at full length"
	@echo "make check     style and types"
	@echo "make bench     the benchmarks"
	@echo "make backbones networks of libraries through build, features and artifact: a table (BACKBONES='keras/ResNet* ...')"
	@echo "make notebooks write both notebooks from notebooks/source.py"
	@echo "make wheels    matlens and what it needs as wheels in dist/, for Kaggle without a network"

install: $(STAMP)
	@$(BIN)/python -c "import sys, matlens; sys.exit(not matlens.__file__.startswith('$(CURDIR)/'))" 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .

$(STAMP): requirements.txt pyproject.toml
	@echo "Setting up $(VENV): about 8 GB with PyTorch's CUDA libraries, some minutes the first time."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: install
	$(BIN)/matlens demo

test: install
	$(BIN)/python tests/run_all.py

unit: install
	$(BIN)/python tests/run_all.py --quick

faults: install
	$(BIN)/python tests/faults/kills.py
	$(BIN)/python tests/faults/kills.py --job all --kills 20
	MATLENS_FAULT_ROUNDS=20 $(BIN)/python -m pytest -p no:cacheprovider -m keras tests/faults/test_two_runs.py

attacks: install
	MATLENS_ATTACKS=all $(BIN)/python -m pytest -p no:cacheprovider -m "attacks and not keras and not torch"

families: install
	MATLENS_FAMILIES=all $(BIN)/python -m pytest -p no:cacheprovider -m "families and torch"
	MATLENS_FAMILIES=all $(BIN)/python -m pytest -p no:cacheprovider -m "families and keras"

check: install
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: install
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

backbones: install
	$(BIN)/python benchmarks/backbones.py $(foreach name,$(BACKBONES),'$(name)')

notebooks: install
	$(BIN)/python notebooks/make.py

# The frameworks are not among them: Kaggle has its own. KAGGLE_PYTHON is the version that `python --version` says there.
KAGGLE_PYTHON ?= $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
wheels: install
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(BIN)/python -m pip download --quiet --only-binary :all: --python-version $(KAGGLE_PYTHON) --dest dist dist/matlens-*.whl
	@du -sh dist

clean:
	rm -rf $(VENV) dist runs .mypy_cache .pytest_cache .ruff_cache
