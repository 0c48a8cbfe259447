"""Throughput benchmarks and the cards."""
