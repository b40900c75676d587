"""The strategies, one module each: see :mod:`similarity.selection.strategy`."""
