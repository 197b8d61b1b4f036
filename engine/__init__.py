"""The singer: sound in, motion and pictures out. No clock, thread, socket or device lives here."""
