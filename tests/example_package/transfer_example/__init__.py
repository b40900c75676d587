"""One dataset scheme, one strategy and one loss for the transfer toolkit."""
