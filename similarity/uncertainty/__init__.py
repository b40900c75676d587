"""How far class means of finitely many images may be from the true ones."""
