"""What is exported: a run, a Keras file, an exported file or the tutorial's files, as one converted model."""
