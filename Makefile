# The two commands of the project are `make run` and `make test`; each installs
# what it misses first. The scripts do the work, so that they can be read,
# checked and called by themselves.

.PHONY: help run test chaos build setup lint clean

help:
	@echo 'make run    start the whole service here: Redis, worker, beat, API and Flower'
	@echo 'make test   run every check and test'
	@echo 'make chaos  disturb workers and Redis at length, and see that nothing is lost'
	@echo 'make build  build the programs into target/release'
	@echo 'make setup  install and fetch what is missing'
	@echo 'make lint   check the formatting, the lints and the scripts'
	@echo 'make clean  delete what was built and the data in var/'

run:
	@exec scripts/run

test:
	@exec scripts/test

chaos:
	@exec scripts/chaos

build: setup
	@exec scripts/build

setup:
	@exec scripts/setup

lint: setup
	@exec scripts/lint

clean:
	cargo clean
	rm -rf var
