"""A server: a model behind HTTP and WebSocket. Needs the extra `serve`."""
