"""Where scales and integers come from: the operators' rules, observers, and the annotator that PT2E asks where to put them."""
