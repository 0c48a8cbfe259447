"""The paper's tables and figures, the throughput benchmark, and the task cards."""
