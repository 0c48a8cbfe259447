"""The session: ticks, clutch, latency, and what is recorded."""
