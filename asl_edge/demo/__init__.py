"""The whole way on built-in drawn hands, each step by the same library call as its command."""
