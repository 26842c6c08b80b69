"""The training that is supervised by hand landmarks: the network predicts 21 points, and classifies by them too."""
