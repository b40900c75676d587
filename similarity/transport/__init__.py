"""The Earth Mover's Distance: exact for small problems, between certified bounds for large ones."""
