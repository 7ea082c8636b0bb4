# Stands for the code of a function.
