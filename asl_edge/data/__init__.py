"""Images to arrays with an honest split and a leak report; capture, copy-paste augmentation and synthetic hands."""
