"""Accuracy of a trained classifier."""
