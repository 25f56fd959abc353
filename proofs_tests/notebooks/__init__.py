"""The notebooks run as scripts; what they claim is asserted inside them."""
