"""What the figures and tables of the page are drawn with."""
