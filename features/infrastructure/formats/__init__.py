"""Readers and writers of each file format, with bounds."""
