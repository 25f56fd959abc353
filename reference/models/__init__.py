"""Language models that the decoders run: a protocol, exact tables, and a small Llama."""
