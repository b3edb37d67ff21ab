"""Two stores compared, also while both take writes."""
