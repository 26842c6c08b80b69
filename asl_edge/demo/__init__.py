"""The whole workflow on synthetic hands, each step by the same library call as its command."""
