"""The measures of the field, and reports made with them."""
