"""Make back ends by name, and examine the machine that measures (`hwnas doctor`)."""
