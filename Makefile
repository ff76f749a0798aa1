# make app   sets up and opens the playground on the bundled demo collection
#            (CLASSROOM=1: for visitors, who change nothing, on all addresses; see README)
# make api   sets up and serves the REST API; its pages are at http://localhost:8502/docs
# make test  sets up and passes the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
API_PORT ?= 8502

.PHONY: app api test check slow clean help

help:
	@sed -n '1,4s/^# //p' Makefile

# The stamp holds the requirements that are installed: a change installs again.
$(VENV)/.app: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 15) else "Python 3.11 to 3.14 is needed, this is %d.%d. Run: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt
	@touch $@

$(VENV)/.api: requirements-api.txt $(VENV)/.app
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-api.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements-train.txt requirements-api.txt $(VENV)/.app
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	@touch $@

ifdef CLASSROOM
export PLAYGROUND_MODE := classroom
ADDRESS ?= 0.0.0.0
endif
ADDRESS ?= 127.0.0.1

app: $(VENV)/.app
	$(BIN)/python -m streamlit run server.py --server.port $(PORT) --server.address $(ADDRESS)

api: $(VENV)/.api
	$(BIN)/python api.py --port $(API_PORT)

# Two at a time: much of a test's time is waiting for a server or a browser.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py

clean:
	rm -rf $(VENV) artifacts
