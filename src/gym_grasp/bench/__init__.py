"""Throughput benchmarks and the cards."""

import sys

from gym_grasp.errors import end_in_a_line

if sys.argv[:1] == ["-m"]:  # `python -m` imports the packages of what it is about to run
    end_in_a_line()
