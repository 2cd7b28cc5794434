"""Which modules are on for which organization: the rows, and what each process knows of them."""
