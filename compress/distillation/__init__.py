"""Learning from a teacher: its answers, what it computes on the way, or only the statistics of its BatchNorms."""
