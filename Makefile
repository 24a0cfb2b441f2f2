# make demo | test | test-fast | test-versions | bench | docs | gallery | lint | format | sanitize | cases | cuda-headers | develop | clean
#
# For contributors (CONTRIBUTING.md): `make develop` once, then `make test K=subset` runs the tests whose names match.
#
# It needs Python 3.11 or later and a C++17 compiler, and installs everything else from PyPI into .venv.
# Julia is used if it is on PATH; see tools/julia_runner.py. For pixi, see pixi.toml.
PYTHON ?= python3
SUITES ?=
FUZZ_SECONDS ?= 60
K ?=

VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check -q

# The sources of the installed package. After `make develop`, Python imports python/ in place, so its files are not installed.
DEVELOP := $(wildcard $(VENV)/develop)
SOURCES := CMakeLists.txt pyproject.toml README.md $(shell find cmake csrc $(if $(DEVELOP),,python) julia/src julia/ext \
  julia/Project.toml -type f ! -path '*/tests/*' ! -path '*/__pycache__/*')

.PHONY: all develop demo test test-fast test-elementwise test-versions test-arm64 bench docs gallery lint format sanitize fuzz dist cases cuda-headers clean
all: $(VENV)/package

# An editable installation: an edit of a Python file reinstalls nothing, an edit of csrc/ rebuilds the core.
develop: | $(VENV)/bin/python
	@touch $(VENV)/develop
	@rm -f $(VENV)/package
	@$(MAKE) --no-print-directory $(VENV)/package

demo: $(VENV)/package
	python examples/demo.py

test: $(VENV)/package
	@python tools/run_tests.py $(if $(K),-k "$(K)") $(SUITES)

# About a minute: the tests that an edit is most likely to break.
test-fast: $(VENV)/package
	@python tools/run_tests.py fast

# The tests of Hermitian problems without the core, as on platforms without kernels: n ≤ 8 by element-wise operations.
ELEMENTWISE := $(addprefix hermitian/test_,eigh vjp jvp hessian rule small graded scales) \
  $(addprefix degeneracy/test_,coupled degeneracy policies refusals) $(addprefix runtime/test_,vmap jit x64) \
  $(addprefix spectral/test_,gauge spectral)
test-elementwise: export EIGENPAIR_KERNELS := off
test-elementwise: $(VENV)/package
	python -m pytest -q -n 2 tests/conformance/test_python.py -k "eigh or eigvalsh or spectral"
	python -m pytest -q -n 2 --dist loadfile $(ELEMENTWISE:%=tests/python/%.py)

# The oldest and the newest supported Python, JAX, NumPy and SciPy, each in its own environment.
test-versions: $(VENV)/package
	@python tools/run_tests.py versions

# The C tests on an emulated arm64: needs Debian's g++-aarch64-linux-gnu and qemu-user.
test-arm64: $(VENV)/package
	@python tools/run_tests.py arm64

# Needs clang with libFuzzer.
fuzz: $(VENV)/package
	python tools/fuzz.py $(FUZZ_SECONDS)

sanitize: $(VENV)/package
	@python tools/run_tests.py address thread

bench: $(VENV)/package $(VENV)/bench
	python benchmarks/run.py

docs: $(VENV)/package $(VENV)/docs
	mkdocs build --strict

# The scripts of examples/gallery: their pictures, page and notebooks in docs/.
gallery: $(VENV)/package
	python examples/make_gallery.py

lint: $(VENV)/dependencies
	@python tools/lint.py

format: $(VENV)/dependencies
	@python tools/lint.py --fix

# Into build/dist: sources, the wheel for this machine, and the wheel without libraries for all other platforms.
dist: $(VENV)/package $(VENV)/dist
	@python tools/dist.py

cases: $(VENV)/package
	python tests/cases/generate.py

# Compares our declarations with CUDA's headers: 1.6 GB of wheels, downloaded once into build/cuda-headers. Needs no GPU.
cuda-headers: | $(VENV)/bin/python
	@python tools/cuda_headers.py

clean:
	rm -rf build $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "eigenpair needs Python 3.11 or later"'
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv is missing: apt install python3-venv" >&2; exit 1; }

$(VENV)/dependencies: pyproject.toml tools/requirements.py | $(VENV)/bin/python
	@echo "Installing build tools and dependencies"
	@$(VENV)/bin/python tools/requirements.py build demo test lint > $(VENV)/requirements.txt
	@$(PIP) install -r $(VENV)/requirements.txt
	@touch $@

# XLA's headers of the oldest supported JAX, besides the newer JAX with which the tests run.
$(VENV)/xla: pyproject.toml tools/requirements.py | $(VENV)/bin/python
	@$(PIP) install --no-deps --target $(VENV)/xla --upgrade "$$($(VENV)/bin/python tools/requirements.py --xla-headers)"
	@touch $@

# Without build isolation, which would install the build tools again each time. `versions` installs the same wheel elsewhere.
$(VENV)/package: export EIGENPAIR_XLA_INCLUDE := $(CURDIR)/$(VENV)/xla/jaxlib/include
$(VENV)/package: $(SOURCES) $(VENV)/dependencies | $(VENV)/xla
	@echo "Building and installing eigenpair"
	@rm -rf build/wheel
ifeq ($(DEVELOP),)
	@$(PIP) wheel --no-build-isolation --no-deps -w build/wheel .
	@$(PIP) install --no-deps --force-reinstall build/wheel/*.whl
else
	@$(PIP) install --no-build-isolation --no-deps -e .
endif
	@touch $@

# The other libraries, such as torch, are large.
$(VENV)/bench: pyproject.toml | $(VENV)/bin/python
	@$(VENV)/bin/python tools/requirements.py bench > $(VENV)/requirements-bench.txt
	@$(PIP) install -r $(VENV)/requirements-bench.txt
	@touch $@

$(VENV)/dist: pyproject.toml | $(VENV)/bin/python
	@$(VENV)/bin/python tools/requirements.py dist > $(VENV)/requirements-dist.txt
	@$(PIP) install -r $(VENV)/requirements-dist.txt
	@touch $@

$(VENV)/docs: pyproject.toml | $(VENV)/bin/python
	@$(VENV)/bin/python tools/requirements.py docs > $(VENV)/requirements-docs.txt
	@$(PIP) install -r $(VENV)/requirements-docs.txt
	@touch $@
