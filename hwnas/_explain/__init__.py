"""Users' own models: which of several is fastest, the page of an explanation, and what would make a model faster."""
