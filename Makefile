# Each target works on a fresh machine that has make and Python 3.11 or newer: it makes .venv,
# installs requirements.lock, and runs. A second call skips the installation.

VENV := .venv
BIN := $(VENV)/bin
CODE := clipmodel indexes retrieval benchmarks
export PHOTOS
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test torture lint bench pictures lock licences clean

help:
	@echo "make demo [PHOTOS=~/Pictures]   index and search some pictures; writes demo.png"
	@echo "make test                       run all tests, offline"
	@echo "make torture [ARGS=--quick]     try to break it, for fifteen minutes"
	@echo "make lint                       check style (ruff) and types (mypy)"
	@echo "make bench [NAME=search]        measure; see benchmarks/README.md"
	@echo "make pictures                   make the pictures of the README again (needs chromium)"
	@echo "make lock [ARGS=--upgrade]      write requirements*.lock, with newer versions if requested"
	@echo "make licences                   write the licences of all dependencies into NOTICE"
	@echo "make clean                      remove everything that these commands made"

demo: $(VENV)/core
	@case "$$PHOTOS" in "~/"*) PHOTOS="$$HOME/$${PHOTOS#??}" ;; esac; \
	$(BIN)/retrieve demo $${PHOTOS:+"$$PHOTOS"}

test: $(VENV)/dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --quiet $(ARGS)

torture: $(VENV)/dev
	$(BIN)/python -m tests.torture $(ARGS)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/mypy $(CODE)

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks $(NAME)

pictures: $(VENV)/dev
	$(BIN)/python docs/make_pictures.py

# Every version with the sums of its files, for all platforms; those that fit are kept unless
# ARGS=--upgrade asks for newer ones.
lock:
	rm -rf build/lock
	$(call new_venv,build/lock)
	build/lock/bin/pip install --quiet uv
	$(call locked,requirements.lock)
	$(call locked,requirements-dev.lock,--extra dev)
	$(call locked,requirements-training.lock,--extra training)

licences: $(VENV)/dev
	$(BIN)/python -m tests.licences

clean:
	rm -rf $(VENV) build dist *.egg-info demo demo.png
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(call new_venv,$(VENV))

$(VENV)/core: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing retrieve and what it needs (torch is large: a few minutes, once) ..."
	$(call installed,requirements.lock)
	@touch $@

$(VENV)/dev: pyproject.toml requirements-dev.lock | $(BIN)/python
	@echo "Installing retrieve and its development tools (torch is large: a few minutes, once) ..."
	$(call installed,requirements-dev.lock)
	@touch $(VENV)/core $@

# What a lock says and nothing else: each file is held against its sum.
define installed
$(BIN)/pip install --quiet --require-hashes -r $(1)
$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
endef

# setuptools builds the package itself. $(1): a lock, whose versions are kept; $(2): extras.
define locked
build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	$(ARGS) pyproject.toml build-requirements.in $(2) -o $(1)
endef

# The first Python that is new enough and can make virtual environments; PYTHON=... chooses another.
define new_venv
@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	if "$$python" -c "import sys, ensurepip, venv; assert sys.version_info >= (3, 11)" 2>/dev/null; \
	then echo "Making $(1) with $$("$$python" --version) ..."; exec "$$python" -m venv $(1); fi; \
done; \
echo "error: no Python 3.11 or newer with the venv module was found (on Debian and Ubuntu:" >&2; \
echo "       apt install python3-venv), or name one: make PYTHON=/path/to/python3" >&2; exit 1
endef
