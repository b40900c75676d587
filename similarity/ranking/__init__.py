"""Ranking of source domains by their distance to a target."""
