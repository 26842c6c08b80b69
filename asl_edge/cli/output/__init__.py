"""What commands print: console, tables."""
