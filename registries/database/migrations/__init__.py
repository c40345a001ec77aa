"""The shapes that its tables had, one after the other."""
