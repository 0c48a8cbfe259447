"""From a few demonstrations to many: segments, frames, and a hand that follows them anew."""

WANDER = 0.005
"""Deviation of the hand's wandering off its way along each axis, in m: from its corrections
policies learn to find back."""
