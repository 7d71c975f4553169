# Every target installs what it needs into .venv and var/ of this folder; you install nothing by hand.
# The newest Python that Slipway supports. A name that does not run does not count: a version manager can leave one.
PYTHON ?= $(shell for v in .14 .13 .12 .11 ""; do python3$$v -c "" 2>/dev/null && echo python3$$v && break; done)
PY := .venv/bin/python
INSTALL = @$(PYTHON) -c "" 2>/dev/null || { echo "slipway: cannot run Python 3.11 or newer (got $(PYTHON)); install it with your system's packages, or run: uv python install 3.13" >&2; exit 1; }; \
	$(PYTHON) config/dev/install.py
# If the Python of .venv was removed, by an upgrade of the system for example, everything is installed again.
ifneq ($(wildcard .venv/*.done),)
$(wildcard .venv/*.done): $(shell $(PY) -c "" 2>/dev/null || echo reinstall)
endif

.PHONY: reinstall help run otel test test-browser screenshots lint docs bench wheel lock clean
.DEFAULT_GOAL := help

reinstall:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' Makefile

run: .venv/run.done ## start the whole system, ready to use; Ctrl-C stops it
	@exec $(PY) -m config.dev.run

otel: .venv/otel.done ## install what the export of traces needs, see docs/deploy.md

test: .venv/test.done .venv/suite.done ## run all tests, or some: make test T=tests/rollout/test_gate.py
	@$(PY) -m pytest $(T)

test-browser: .venv/browser.done ## run the browser tests; they need Debian's chromium and chromium-driver
	@$(PY) -m pytest tests/browser -n 0

screenshots: .venv/browser.done ## take the documentation's screenshots again (two minutes)
	@$(PY) -m pytest tests/browser/take_screenshots.py -n 0

lint: export SECRET_KEY = for the linters that load the settings
lint: export SITE_URL = http://127.0.0.1
lint: .venv/test.done ## check style, types, import contracts and missing migrations
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@$(PY) -m mypy --no-error-summary
	@$(PY) -c 'import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())' import_contracts.toml --no-logo
	@$(PY) manage.py makemigrations --check --dry-run

docs: .venv/docs.done ## run every command and code block of the documentation, then build it into var/docs
	@$(PY) -m pytest tests/docs
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict --site-dir var/docs
	@echo "to read the documentation, run: $(PY) -m http.server --directory var/docs"

bench: .venv/bench.done ## measure every figure of docs/benchmarks.md again
	@for script in bench/[a-z]*.py; do $(PY) $$script || exit 1; done

wheel: .venv/test.done ## build the package of the last commit into var/dist; it needs no network, and is the same each time
	@rm -rf var/wheel var/dist && mkdir -p var/wheel && umask 022 && git -c tar.umask=022 archive HEAD | tar -x -C var/wheel && \
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(PY) -m pip wheel --quiet --no-index --no-build-isolation --no-deps --wheel-dir var/dist var/wheel
	@ls var/dist/*.whl

lock: .venv/test.done ## resolve requirements*.in into requirements*.txt, with hashes
	@for set in requirements requirements-install requirements-otel requirements-dev requirements-bench requirements-browser requirements-docs; do \
		$(PY) -m uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" \
		$$([ $$set = requirements-otel ] && echo --constraints requirements.txt) $$set.in -o $$set.txt || exit 1; done

clean: ## stop the embedded servers; remove .venv and var/ with all data; .env stays
	@[ -n "$(PYTHON)" ] || { echo "slipway: cannot find Python 3.11 or newer, which finds the data to remove; install it first" >&2; exit 1; }
	@$(PYTHON) -m config.embedded.clean
	@rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/run.done: requirements.txt requirements-install.txt config/dev/install.py
	$(INSTALL) requirements.txt
	@touch $@

.venv/otel.done: requirements.txt requirements-otel.txt requirements-install.txt config/dev/install.py
	$(INSTALL) requirements.txt requirements-otel.txt
	@touch $@ .venv/run.done

.venv/suite.done: .venv/test.done tests/fetch_suite.py
	@$(PY) -m tests.fetch_suite
	@touch $@

.venv/bench.done: .venv/test.done requirements-bench.txt
	$(INSTALL) requirements.txt requirements-dev.txt requirements-bench.txt
	@touch $@

.venv/browser.done: .venv/test.done requirements-browser.txt
	$(INSTALL) requirements.txt requirements-dev.txt requirements-browser.txt
	@touch $@

.venv/docs.done: .venv/test.done requirements-docs.txt
	$(INSTALL) requirements.txt requirements-dev.txt requirements-docs.txt
	@touch $@

.venv/test.done: requirements.txt requirements-dev.txt requirements-install.txt config/dev/install.py
	$(INSTALL) requirements.txt requirements-dev.txt
	@touch $@ .venv/run.done .venv/otel.done
