"""Environments: batched torch, and the faces that Gymnasium knows."""
