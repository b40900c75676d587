"""The options of each command, one module each; none of them imports PyTorch, so that a wrong one is told at once."""
