"""Random transforms of a whole batch of training images."""
