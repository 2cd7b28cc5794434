"""Reading contacts out of files, and taking them in row by row. Only `taking`, `writing` and `reverting` touch the
database: the same file always gives the same rows and the same errors."""
