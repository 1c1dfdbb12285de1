# Each target stands alone on a fresh machine that has make and Python 3.11 or newer: it makes .venv,
# installs what requirements.lock says, and runs. A second call finds that done.

VENV := .venv
BIN := $(VENV)/bin
CODE := clipmodel indexes retrieval benchmarks
export PHOTOS
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test torture lint bench lock clean

help:
	@echo "make demo [PHOTOS=~/Pictures]   see pictures found by words; writes demo.png"
	@echo "make test                       all tests, offline"
	@echo "make torture [ARGS=--quick]     try to break it, for five minutes"
	@echo "make lint                       style (ruff) and types (mypy)"
	@echo "make bench [NAME=search]        measure; see benchmarks/README.md"
	@echo "make lock                       write requirements.lock anew"
	@echo "make clean                      remove what these made"

demo: $(VENV)/core
	@case "$$PHOTOS" in "~/"*) PHOTOS="$$HOME/$${PHOTOS#??}" ;; esac; \
	$(BIN)/retrieve demo $${PHOTOS:+"$$PHOTOS"}

test: $(VENV)/dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --quiet $(ARGS)

torture: $(VENV)/dev
	$(BIN)/python -m tests.torture $(ARGS)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/mypy $(CODE)

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks $(NAME)

lock:
	rm -rf build/lock
	$(call new_venv,build/lock)
	build/lock/bin/pip install --quiet -e ".[dev,training]"
	grep "^#" requirements.lock > build/lock/header
	build/lock/bin/pip freeze --all --exclude-editable --exclude pip > build/lock/versions
	cat build/lock/header build/lock/versions > requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info demo demo.png
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(call new_venv,$(VENV))

$(VENV)/core: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing retrieve and what it needs (torch is large: a few minutes, once) ..."
	$(BIN)/pip install --quiet -c requirements.lock -e .
	@touch $@

$(VENV)/dev: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing retrieve and its development tools (torch is large: a few minutes, once) ..."
	$(BIN)/pip install --quiet -c requirements.lock -e ".[dev]"
	@touch $(VENV)/core $@

# The first Python that is new enough and can make virtual environments; PYTHON=... chooses another.
define new_venv
@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	if "$$python" -c "import sys, ensurepip, venv; assert sys.version_info >= (3, 11)" 2>/dev/null; \
	then echo "Making $(1) with $$("$$python" --version) ..."; exec "$$python" -m venv $(1); fi; \
done; \
echo "error: no Python 3.11 or newer with the venv module was found (on Debian and Ubuntu:" >&2; \
echo "       apt install python3-venv), or name one: make PYTHON=/path/to/python3" >&2; exit 1
endef
