"""How accurate: on unseen signers, under changes of the image, after adapting."""
