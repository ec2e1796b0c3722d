.PHONY: run test check lock images

run: ## Set up .venv, then the main job on synthetic data
	scripts/run

test: ## Set up .venv, then all tests
	scripts/test

check: ## Formatter, linter, types, generated files
	scripts/check

lock: ## Write the locks anew from pyproject.toml
	scripts/lock

images: ## Build the images; with REPOSITORY=..., push them and pin their digests
	scripts/setup
	.venv/bin/python images/build.py $(if $(REPOSITORY),--repository $(REPOSITORY)) $(TARGETS)
