# One door. `make setup` and `make run` need nothing but Python; `make test` brings every server that it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup run test check format servers bench docs proto lock clean

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: setup  ## the hub on its embedded default, with sample services that come and go
	$(BIN)/pilot-plus demo

servers: setup  ## bring ZooKeeper, Consul, etcd, PostgreSQL, Envoy and a JRE into a cache folder
	$(BIN)/python -m devservers

check: setup  ## what machines hold: format, lint, strict types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two cores are enough for three workers: half of the time a test waits for a server.
test: check servers  ## everything, over real servers; ARGS="-k zookeeper" chooses
	$(BIN)/pytest -n 3 --dist loadgroup $(ARGS)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: servers  ## figures, against the real thing in the same run
	$(BIN)/python -m bench $(ARGS)

docs: setup  ## check that every example in the documentation does what it says
	$(BIN)/pytest tests/docs $(ARGS)

lock:  ## pin anew what pyproject.toml asks for
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --allow-unsafe --extra dev --extra sasl --no-emit-index-url --no-emit-trusted-host \
	    --strip-extras --generate-hashes -o requirements.lock pyproject.toml

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
