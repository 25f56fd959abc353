"""Sub-commands of `specmath` that need a model."""
