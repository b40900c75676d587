"""The training loop: data, steps, optimiser, callbacks, resumable state, validation."""
