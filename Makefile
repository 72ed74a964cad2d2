PYTHON ?= python3
RECIPE ?= fast
DATA ?= cifar10
ROOT ?=
EXPERIMENTS ?= *
SEEDS ?= 0
PRECISION ?=
KILLS ?= 60
SEED ?= 0
BIN := .venv/bin
NAME = reference-$(RECIPE)$(if $(PRECISION),-$(PRECISION))
SHARED = recipe=$(RECIPE) data=$(DATA) $(if $(ROOT),data.root=$(ROOT)) $(if $(PRECISION),trainer.precision=$(PRECISION))
SWEEP = outputs/sweeps/$(NAME)
READY := .venv/.ready

ifdef CELLS
$(error CELLS=$(CELLS): has been renamed; allowed is EXPERIMENTS=$(CELLS))
endif

.DEFAULT_GOAL := help
.PHONY: help setup test soak lint demo reproduce results

help:  ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

setup: $(READY)  ## Make .venv with everything in it (skipped if nothing changed)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@

test: setup  ## Run the tests (LONG=1: those of many processes or several seconds, too)
	$(BIN)/pytest $(if $(LONG),,-m 'not long')

soak: setup  ## Kill and resume real runs again and again (KILLS=60 SEED=0)
	$(BIN)/python -m tests.system.faults.kills --kills $(KILLS) --seed $(SEED)

lint: setup  ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

demo: setup  ## Run the whole experiment on embedded data, in minutes
	$(BIN)/python train.py experiment=demo pruner=global schedule=multi_step schedule.sparsity=0.98

reproduce: setup  ## Reproduce the reference (RECIPE=fast|full|patient|reference SEEDS=0,1,2 EXPERIMENTS='global_*' DATA=images ROOT=DIR PRECISION=bf16-mixed)
	$(BIN)/python -m study status $(SWEEP) $(SHARED) --experiments '$(EXPERIMENTS)' --seeds '$(SEEDS)'
	$(BIN)/python train.py -m $(SHARED) name=$(NAME) \
	  'experiment=glob(reference_$(EXPERIMENTS))' seed=$(SEEDS) || status=$$?; \
	  if [ $${status:-0} -lt 128 ]; then $(BIN)/python -m study report $(SWEEP) || status=1; fi; \
	  exit $${status:-0}

results: setup  ## Publish the finished runs of make reproduce, and of sweeps named methods-RECIPE, speed-ANYTHING and tried-ANYTHING, to results/, renew README and the report
	$(BIN)/python -m study publish $(wildcard $(foreach kind,reference methods,$(foreach recipe,fast full patient reference,$(foreach precision,-bf16-mixed -16-mixed,outputs/sweeps/$(kind)-$(recipe)$(precision)) outputs/sweeps/$(kind)-$(recipe))) outputs/sweeps/speed-* outputs/sweeps/tried-*)
