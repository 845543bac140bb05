"""The parts of `scripts/bench.py`: what is started, what loads it, what is measured."""
