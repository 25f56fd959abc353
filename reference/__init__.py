"""The exact decoder in torch: models, decoding loops and the shipped pair. May import specmath, never the reverse."""
