"""One search from end to end: set up, search, deliver."""
