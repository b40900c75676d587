"""``transfer try``: from photographs to a verdict on where to start, and a model."""
