"""The decoders of `reference`: their laws, their bookkeeping, their randomness."""
