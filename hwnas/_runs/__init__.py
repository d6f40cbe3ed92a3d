"""The directory of one search: settings, journal, winners; list and compare runs."""
