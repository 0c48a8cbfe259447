"""Batches of simulations: one interface, a CPU and a GPU engine."""
