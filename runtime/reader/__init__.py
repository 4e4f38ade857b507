"""Reading of whole numbers: finding lines, searching strings under constraints, templates of forms."""
