"""Images of your own hand from a camera or recorded videos."""
