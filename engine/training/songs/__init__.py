"""Songs made with exact truth: who sings which phone and note when, and where the beats fall."""
