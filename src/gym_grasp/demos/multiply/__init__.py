"""From a few demonstrations to many: segments, frames, and a hand that follows them anew."""
