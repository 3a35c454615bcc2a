# The targets a newcomer needs; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
TEST_STAMP := .venv/.installed-test
# One thread a process: two clinics train side by side on two cores.
export OMP_NUM_THREADS ?= 1

.PHONY: help install run test soak check lint format lock locks sbom docs clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## make .venv with everything that running needs
run: $(STAMP)  ## train adapters across two invented clinics and print strict span F1
	@$(BIN)/clinfed simulate

test: $(TEST_STAMP)  ## install what tests need and run all tiers (a tier that cannot run here says why)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile
	$(BIN)/python -m pytest -m "(simulation or deployment or gpu) and not soak" --numprocesses 2 --dist loadfile --durations 10

soak: $(TEST_STAMP)  ## run the tests that take long and seldom break (CONTRIBUTING.md says which, and when)
	$(BIN)/python -m pytest -m "soak and not timed" --numprocesses 2 --dist loadfile --durations 0
	$(BIN)/python -m pytest -m "soak and timed" --durations 0

check: lint  ## format, lint, types, the import table, fast tests
	$(BIN)/python -m pytest

lint: $(TEST_STAMP)  ## format, lint and types alone
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(TEST_STAMP)  ## let ruff write the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(TEST_STAMP)  ## write the versions that are installed, and so were tested, into constraints-tested.txt
	(head -1 constraints-tested.txt; $(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+cpu$$//') > build.lock && mv build.lock constraints-tested.txt

locks: $(TEST_STAMP)  ## write locks/site.txt: what a site installs, with hashes (Linux, x86-64, Python 3.11)
	$(BIN)/uv pip compile pyproject.toml --extra site -c constraints.txt -c constraints-tested.txt --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-annotate --no-header --quiet -o locks/site.txt

sbom: $(TEST_STAMP)  ## write build/site.cdx.json: the software bill of materials (CycloneDX) of locks/site.txt
	@mkdir -p build
	$(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements locks/site.txt --pyproject pyproject.toml --of JSON --output-reproducible -o build/site.cdx.json

docs: $(TEST_STAMP)  ## build the pages into build/docs; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going docs build/docs

clean:  ## remove what the other targets made
	rm -rf .venv build dist .ruff_cache .mypy_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "clinfed needs Python 3.11 or newer; try make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

$(STAMP): .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train]'
	@touch $@

$(TEST_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@
