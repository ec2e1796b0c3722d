.PHONY: run quick test test-cluster check lock images docs

run: ## Set up .venv, then the main job on synthetic data
	scripts/run

quick: ## Set up .venv, then the tests of a minute
	scripts/quick

test: ## Set up .venv, then all tests
	scripts/test

test-cluster: ## Try on your Kubeflow what a training needs of it; ARGUMENTS="--profile cpu-only ..."
	scripts/setup
	.venv/bin/lesionflow doctor --deep $(ARGUMENTS)

check: ## Formatter, linter, types, generated files
	scripts/check

lock: ## Write the locks anew from pyproject.toml
	scripts/lock

images: ## Build the images; with REPOSITORY=..., push them and pin their digests
	scripts/setup
	.venv/bin/python images/build.py $(if $(REPOSITORY),--repository $(REPOSITORY)) $(TARGETS)

docs: ## Build the site into site/; warnings and broken links are errors
	scripts/docs
