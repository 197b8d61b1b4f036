"""Readers of the papers' own corpora, for whoever has them: each gives `clip.Clip`s."""
