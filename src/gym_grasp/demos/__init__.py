"""Demonstrations: what an episode is, its file, a crash-safe writer, a reader and the replay."""
