"""What works on this machine, and which provider runs which node."""
