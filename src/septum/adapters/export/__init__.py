"""How does a model leave septum for other programs? Each file makes one format, or reads it back."""
