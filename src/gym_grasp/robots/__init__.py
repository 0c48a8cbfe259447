"""Robot models: their MJCF, names, limits and couplings, and where every number comes from."""
