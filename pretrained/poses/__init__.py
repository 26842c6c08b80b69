"""How people really make the letters: fits the angles and views of the synthetic hands to landmarks of real hands."""
