"""Makes the folder of the public hand model: fetches MediaPipe's wheel, converts its networks, compares them."""
