"""Networks without their classifiers, loaded by name."""
