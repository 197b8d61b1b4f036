"""From sound to feature windows: resampling, separation, MFCC."""
