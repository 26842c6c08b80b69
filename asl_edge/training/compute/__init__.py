"""Backend, devices, hosts and the compute plan."""
