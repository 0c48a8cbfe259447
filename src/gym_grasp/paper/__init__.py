"""The paper's tables and figures, made from published results."""
