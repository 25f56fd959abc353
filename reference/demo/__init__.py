"""What `specmath demo` computes, one step a file, and the report that shows it."""
