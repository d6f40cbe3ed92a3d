"""Python imports this module when it starts, where PYTHONPATH holds its folder (see the module ``site``)."""

from short_measurements import install

install()
