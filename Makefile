# The words of the project. `make demo` and `make test` set up what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# New requirements mean a new stamp, so the environment is brought up to date; else it is kept.
KEY := $(firstword $(shell cat requirements.txt requirements/light.txt pyproject.toml tools/install.py | cksum))
ALL := $(VENV)/.installed-$(KEY)
LIGHT := $(VENV)/.light-$(KEY)
# PyPI's PyTorch for Linux is the CUDA build, with 4 GB of libraries: without an NVIDIA card the demo does without it.
CUDA_BUILD := $(filter Linux,$(shell uname -s))
CARD := $(shell command -v nvidia-smi)
FOR_DEMO := $(if $(wildcard $(ALL)),$(ALL),$(if $(CUDA_BUILD),$(if $(CARD),$(ALL),$(LIGHT)),$(ALL)))

.PHONY: help install demo test unit faults attacks families check bench backbones notebooks wheels clean

help:
	@echo "make demo      sets up what it needs in $(VENV), then the main job on drawn materials: one report"
	@echo "               (DEMO='--epochs 1 --out DIR' gives it options: matlens demo --help)"
	@echo "make install   set up $(VENV) with both frameworks and all tools"
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

install: $(ALL)
	@$(HERE)

# The environment may be another clone's (VENV=...): then it is this one's now.
HERE = $(BIN)/python -c "import sys, matlens; sys.exit(not matlens.__file__.startswith('$(CURDIR)/'))" 2>/dev/null \
	|| $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .

$(ALL):
	@echo "Both frameworks and all tools: about 8 GB on Linux, most of it PyTorch's CUDA libraries."
	@$(PYTHON) tools/install.py $(VENV) requirements.txt
	@rm -f $(VENV)/.installed-* $(VENV)/.light-*
	@touch $@

$(LIGHT):
	@echo "What the demo needs, without PyTorch: about 2 GB. (make install sets everything up.)"
	@$(PYTHON) tools/install.py $(VENV) requirements/light.txt
	@rm -f $(VENV)/.installed-* $(VENV)/.light-*
	@touch $@

demo: $(FOR_DEMO)
	@$(HERE)
	$(BIN)/matlens demo $(DEMO)

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
	MATLENS_ATTACKS=all $(BIN)/python -m pytest -p no:cacheprovider -m "attacks and keras"

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
