"""Images of your own hand, from a camera or from recorded videos."""
