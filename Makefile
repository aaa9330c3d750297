# The commands of hal_ros. Each sets up .venv by itself (scripts/setup_env.py); a second call starts at once.
#
#   make demo DURATION=20      seconds of simulated work (default 60)
#   TORCH_PIP_ARGS='...'       further arguments for pip when torch is installed, such as another index
#   PYTHON=/usr/bin/python3    the interpreter to build .venv with
#   TEST_PROCESSES=1           tests one after the other (default: two at once; those of ROS never two)
#   make device STAND_IN=1     without a GPU: on what the tests use for TensorRT and CUDA

PYTHON ?= python3
DURATION ?= 60
RECIPE ?= serve
TORCH_PIP_ARGS ?=
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2
STAND_IN ?=
DEVICE_ARGS ?=

export TORCH_PIP_ARGS
# One thread per process: robot, segmenter and recorder share the machine's cores.
export OMP_NUM_THREADS = 1
# ROS logs into the home folder otherwise.
export ROS_LOG_DIR = $(CURDIR)/log/ros

setup = @$(PYTHON) scripts/setup_env.py
python = @scripts/with_interfaces.sh .venv/bin/python

.PHONY: help demo demo-planner test check bench bench-full device train tables other-robots build clean

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo:  ## robot, segmenter, recorder and live view together; ends with a report
	$(setup) run
	$(python) -m hal_ros demo --duration $(DURATION)

demo-planner:  ## the same with a robot that a planner drives (examples/planner; RECIPE=serve)
	$(setup) run
	$(python) -m hal_ros demo --planner $(RECIPE) --duration $(DURATION) $(if $(wildcard models/planner/card.json),--model models/planner)

test:  ## all tests (PYTEST_ARGS='-k ticks')
	$(setup) test
	$(python) -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadgroup $(PYTEST_ARGS)

check:  ## format, lint, types, import rules, files
	$(setup) test
	$(python) -m ruff format --check --quiet .
	$(python) -m ruff check --quiet .
	$(python) -m mypy
	$(python) -m pytest -q --durations=0 test/test_architecture.py test/test_documents.py test/test_files.py

bench:  ## speed, memory and losses: a table and build/bench.json (torch for what is measured against training's code)
	$(setup) train
	$(python) -m hal_ros bench

bench-full:  ## the same with the long rows: soak, a training and fresh install
	$(setup) train
	$(python) -m hal_ros bench --full

device:  ## build and check TensorRT engines of models/ on this GPU, in 8 minutes: docs/results/device.json
	$(setup) $(if $(STAND_IN),test,device)
	$(python) -m hal_ros device $(if $(STAND_IN),--stand-in) $(DEVICE_ARGS)

train:  ## train models/tabletop from the benchmark
	$(setup) train
	$(python) -m hal_ros train config/train.yaml

tables:  ## train and score every system of docs/results (hours; goes on where it was interrupted)
	$(setup) train
	$(python) -m hal_ros tables --results docs/results

other-robots:  ## make bags of two other robots and their table: docs/results/other_robots.json (hours, resumable)
	$(setup) train
	@$(PYTHON) scripts/other_robots/make_bags.py aloha --out datasets/other_robots --processes 2
	@$(PYTHON) scripts/other_robots/make_bags.py panda --out datasets/other_robots --processes 2
	$(python) -m hal_ros tables --dataset other_robots --results docs/results

build:  ## build both packages with colcon into build/ and install/
	$(setup) build
	$(python) -m colcon build --base-paths . hal_msgs

clean:  ## remove everything that these commands made, but for datasets/, runs/ and recordings/
	rm -rf .venv build install log .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find hal_ros test launch scripts -name __pycache__ -prune -exec rm -rf {} +
