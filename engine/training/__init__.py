"""Corpora, losses and training loops. Nothing that runs live imports this package."""
