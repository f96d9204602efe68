"""One exported file on every instruction set: whether its answers agree, and where integers may saturate on some of them."""
