"""Training the neural renderer: pairs of motion and true picture → weights for one identity.

motions → pairs (truth from the rasteriser, from Cycles) → lessons → task → score
"""
