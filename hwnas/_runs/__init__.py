"""The directory of one search: settings, journal, delivered networks; list and compare runs."""
