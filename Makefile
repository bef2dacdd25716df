# make train [ARGS="model=gap trainer.max_epochs=2"]   set up, fetch MNIST, train
# make test                                            set up and run the fast tests
# make reproduce [ARGS="ablation seeds=3 jobs=2"]      the documents' experiments: what is missing, and the pages
# make pages                                           every page and picture that comes from results/, byte for byte
# make benchmark                                       speed against what people use otherwise (docs/benchmarks)
# make attack [ARGS="1000 seed=7"]                     wrong calls, generated: how many are refused well
# make test-chaos [ARGS="200 seed=1"]                  kill -9 at every moment: what is resumed equals the uninterrupted
# make test-use                                        exports in a real browser, under sanitizers, on a chip (QEMU)
# make test-cluster                                    on a real SLURM, Ray, PostgreSQL and MLflow; jobs and servers lost
# make test-oldest                                     the tests with the oldest versions that pyproject.toml allows
PYTHON ?= python3
VENV   := .venv
READY  := $(VENV)/.ready
BEGUN  := $(VENV)/.begun
ARGS   ?=

.PHONY: train test test-slow test-use test-cluster test-oldest attack test-chaos reproduce pages benchmark peers lint format wheel setup clean

train: setup
	$(VENV)/bin/python -m mnist_cnn.train $(ARGS)

test: setup lint
	$(VENV)/bin/python -m pytest $(ARGS)

test-slow: setup
	$(VENV)/bin/python -m pytest -m slow $(ARGS)

# Needs Chromium, QEMU for ARM, gcc, node and ziglang, and says which is missing; leaves results/use/log.md.
test-use: setup
	$(VENV)/bin/python -m pytest -m use --numprocesses 0 tests/use $(ARGS)

# Needs root, Debian's slurm-wlm, munge and postgresql, and mnist-cnn[mlflow,wandb,ray]; says which is missing, and skips
# what needs it. Leaves results/cluster/log.md.
test-cluster: setup
	$(VENV)/bin/python -m pytest -m cluster --numprocesses 0 tests/cluster $(ARGS)

attack: setup
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(VENV)/bin/python tests/wrong_calls.py $(ARGS)

test-chaos: setup
	PYTHONPATH=tests:tests/integration OMP_NUM_THREADS=1 $(VENV)/bin/python tests/chaos.py $(ARGS)

# Old libraries warn of each other's newer parts, so here a warning is no error. Python 3.11: the oldest have no others.
test-oldest:
	$(PYTHON) -m venv .venv-oldest
	scripts/set_up.sh .venv-oldest --resolution lowest-direct
	.venv-oldest/bin/python -m pytest -W default $(ARGS)

reproduce: setup
	$(VENV)/bin/python -m mnist_cnn.reproduce $(ARGS)

pages: setup
	$(VENV)/bin/python -m mnist_cnn.reproduce pages
	$(VENV)/bin/python -m mnist_cnn.records book
	$(VENV)/bin/python scripts/draw_results.py results docs/results.png

# With Keras where `make peers` has put it, in an environment of its own.
benchmark: setup
	$(VENV)/bin/python scripts/benchmark.py $(ARGS)

peers:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement scripts/benchmarks/peers.txt

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

wheel: setup
	$(VENV)/bin/python -m build --wheel

setup: $(READY)

# .begun without .ready is a set-up that was interrupted: start it again from nothing. The lock keeps two calls of make
# from setting up at once.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; choose one with: make PYTHON=python3.11 ..."; exit 1; }
	@set -e; exec 9>.venv.lock; if command -v flock >/dev/null; then flock 9; fi; \
	if [ -e $(BEGUN) ] && [ ! -e $(READY) ]; then rm -rf $(VENV); fi; \
	mkdir -p $(VENV); touch $(BEGUN); rm -f $(READY); \
	$(PYTHON) -m venv $(VENV); \
	scripts/set_up.sh $(VENV) --constraint constraints.txt; \
	touch $(READY)

clean:
	rm -rf $(VENV) .venv-oldest .venv-peers .venv.lock build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
