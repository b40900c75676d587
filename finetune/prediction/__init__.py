"""Prediction: the most probable classes of images, and their features, as files."""
