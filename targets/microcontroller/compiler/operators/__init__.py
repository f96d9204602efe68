"""How each TFLite operator becomes C, one module an operator, named after it in lower case."""
