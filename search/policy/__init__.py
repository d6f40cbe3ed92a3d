"""A recurrent policy over the choices of a domain, and its training by proximal policy optimisation."""
