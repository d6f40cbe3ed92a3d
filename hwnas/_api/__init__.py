"""The Python face: what the command line does, as functions."""
