"""Labelled images to arrays with a manifest and a leak report."""
