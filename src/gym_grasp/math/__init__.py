"""Rotations and small linear systems, which every room may use."""
