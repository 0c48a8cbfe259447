"""Synthetic operators: one script per task, and the batch that runs them."""

from gym_grasp.demos.operators.operator import SyntheticOperator

__all__ = ["SyntheticOperator"]
