"""What tests make their models, runs, arrays, images and videos with; `conftest.py` loads all of it."""
