"""Sampling error of class means and of the distances computed from them."""
