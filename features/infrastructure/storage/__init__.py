"""Addresses of local and remote files, and the listings and copies of what they name."""
