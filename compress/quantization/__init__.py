"""Where scales and integers come from: the operators' rules, observers, and the plan of where integers are."""
