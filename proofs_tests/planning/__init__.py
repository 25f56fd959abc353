"""Plans: draft trees, draft lengths, costs, and what they promise."""
