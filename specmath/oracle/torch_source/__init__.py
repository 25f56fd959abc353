"""Randomness of torch, intercepted: a function mode, and tensors of numbers that are not known yet."""
