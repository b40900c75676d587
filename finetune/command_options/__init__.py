"""The options of the trainers, of evaluation and of prediction, one module each; none of them imports PyTorch."""
