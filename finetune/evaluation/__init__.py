"""Evaluation of trained classifiers: predictions, metrics, test-time augmentation."""
