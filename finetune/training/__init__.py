"""The training loop and what surrounds it: data, optimiser, callbacks, validation."""
