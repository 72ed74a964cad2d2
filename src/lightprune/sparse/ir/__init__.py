"""The compiler's two representations: the graph of operators, and the program of loops."""
