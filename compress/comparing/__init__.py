"""Two exported files, side by side: every tensor that both compute, on the same samples."""
