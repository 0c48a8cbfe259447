"""Sweeps of training runs, who performs them, and their results."""
