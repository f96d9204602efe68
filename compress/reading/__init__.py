"""Files of other formats as torch modules: one function for each operator, called in the file's order."""
