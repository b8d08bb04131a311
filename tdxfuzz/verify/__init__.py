"""All orders of a case: the search, what commutes, what is left to do."""
