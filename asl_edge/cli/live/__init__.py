"""`asl-edge live`, its keys, and the programs of the platform that it uses."""
