"""The Earth Mover's Distance: exact for small problems, with certified bounds for large ones."""
