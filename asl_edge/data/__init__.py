"""Finding images, splitting them honestly, arrays on disk, the leak report and the built-in synthetic hands."""
