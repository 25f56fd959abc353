"""The drafters of `reference`: their trees, their candidates, their policies."""
